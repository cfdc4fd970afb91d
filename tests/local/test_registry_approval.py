"""The project's registry stack on the local cloud: an approval in one place is carried out in the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline

if TYPE_CHECKING:
    from pathlib import Path

ENDED = ("Succeeded", "Failed", "Stopped", "Superseded")
LOCATION = "DefinitionS3Location: registry.asl.json"


@dataclass
class Line:
    """A pipeline with a training, an approval and a promotion, with the registry beside it."""

    rig: Any
    project: str
    bucket: str

    @property
    def name(self) -> str:
        """Return the pipeline's name."""
        return f"{self.project}-pipeline"

    def begin(self) -> tuple[str, str]:
        """Start an execution, register a model for it as its training would, and return both."""
        body = small_pipeline.zipped(small_pipeline.FILES)
        version = self.rig.s3.put_object(Bucket=self.bucket, Key="source.zip", Body=body)["VersionId"]
        own = str(self.rig.until(lambda: self.started(version))[0])
        package = self.rig.sagemaker.create_model_package(
            ModelPackageGroupName=self.project, CustomerMetadataProperties={"PipelineExecutionId": own}
        )["ModelPackageArn"]
        self.rig.put(f"models/{own}/package.json", json.dumps({"ModelPackageArn": package}))
        return own, str(package)

    def started(self, version: str) -> list[str]:
        """List the executions with a version of the source."""
        found = self.rig.codepipeline.list_pipeline_executions(pipelineName=self.name)
        return [
            one["pipelineExecutionId"]
            for one in found["pipelineExecutionSummaries"]
            if any(source["revisionId"] == version for source in one["sourceRevisions"])
        ]

    def approval_token(self, stage: str) -> str:
        """Wait until a stage requests approval, and return the token."""

        def token() -> Any:
            stages = self.rig.codepipeline.get_pipeline_state(name=self.name)["stageStates"]
            (found,) = [one for one in stages if one["stageName"] == stage]
            return found["actionStates"][0].get("latestExecution", {}).get("token")

        return str(self.rig.until(token))

    def answer(self, stage: str, action: str, status: str = "Approved") -> None:
        """Answer an approval in the pipeline, once it is requested."""
        self.rig.codepipeline.put_approval_result(
            pipelineName=self.name,
            stageName=stage,
            actionName=action,
            result={"summary": "not today", "status": status},
            token=self.approval_token(stage),
        )

    def decide(self, package: str, status: str) -> None:
        """Set the approval status in the registry."""
        self.rig.sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription="seen"
        )

    def ended(self, own: str) -> str:
        """Wait for the end of an execution, and return its status."""
        seen = self.rig.until(
            lambda: self.rig.codepipeline.get_pipeline_execution(
                pipelineName=self.name, pipelineExecutionId=own
            )["pipelineExecution"]["status"],
            lambda status: status in ENDED,
        )
        return str(seen)

    def settled(self, package: str, status: str) -> Any:
        """Wait until a package has a status, and return its description."""
        return self.rig.until(
            lambda: self.rig.sagemaker.describe_model_package(ModelPackageName=package),
            lambda seen: seen["ModelApprovalStatus"] == status,
        )


@pytest.fixture(scope="module")
def line(rig: Any, local_folder: Path) -> Line:
    """Deploy the project's registry, and a pipeline with the stages that the registry expects."""
    project = rig.unique("r")
    rig.sagemaker.create_model_package_group(ModelPackageGroupName=project)
    definition = {"StartAt": "Promote", "States": {"Promote": {"Type": "Succeed"}}}
    promote = rig.stepfunctions.create_state_machine(
        name=rig.unique("promote"), roleArn=rig.role, definition=json.dumps(definition)
    )["stateMachineArn"]
    stages = [
        {"Name": "Hold", "Actions": [{**small_pipeline.approval(), "Name": "Hold"}]},
        {"Name": "DeployDev", "Actions": [{**small_pipeline.approval(), "Name": "Approve"}]},
        {"Name": "DeployPrd", "Actions": [small_pipeline.invoke(promote)]},
    ]
    rig.deploy(f"{project}-pipeline", small_pipeline.template(f"{project}-pipeline", stages), {})
    stacks = local_folder.parent / "stacks"
    key = f"{project}/registry.asl.json"
    rig.put(key, (stacks / "registry.asl.json").read_text(encoding="utf-8"))
    text = (stacks / "registry.yml").read_text(encoding="utf-8")
    assert LOCATION in text
    outputs = rig.outputs(f"{project}-pipeline")
    parameters = {
        "Project": project,
        "ArtifactBucket": rig.bucket,
        "KmsKeyArn": "arn:aws:kms:eu-central-1:000000000000:key/1",
        "NotificationTopicArn": outputs["Topic"],
    }
    packaged = text.replace(LOCATION, f"DefinitionS3Location: {{Bucket: {rig.bucket}, Key: {key}}}")
    described = rig.deploy(f"{project}-registry", packaged, parameters)
    assert described["StackStatus"] == "CREATE_COMPLETE", rig.reasons(f"{project}-registry")
    made = Line(rig, project, outputs["Bucket"])
    first = rig.codepipeline.list_pipeline_executions(pipelineName=made.name)["pipelineExecutionSummaries"][0]
    made.ended(first["pipelineExecutionId"])
    return made


@pytest.mark.parametrize("is_pending", [True, False])
@pytest.mark.parametrize(("status", "end"), [("Approved", "Succeeded"), ("Rejected", "Failed")])
def test_a_decision_in_the_registry_answers_the_pipeline(
    line: Line, status: str, end: str, *, is_pending: bool
) -> None:
    """The decision may come before or after the request for approval."""
    own, package = line.begin()
    if is_pending:
        line.answer("Hold", "Hold")
        line.approval_token("DeployDev")
        line.decide(package, status)
    else:
        line.decide(package, status)
        line.answer("Hold", "Hold")
    assert line.ended(own) == end
    described = line.settled(package, status)
    assert described["ApprovalDescription"] == "seen"


def test_a_model_in_production_is_approved(line: Line) -> None:
    """The registry shows which model serves."""
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.answer("DeployDev", "Approve")
    assert line.ended(own) == "Succeeded"
    assert "into production" in line.settled(package, "Approved")["ApprovalDescription"]


def test_a_rejection_in_the_pipeline_rejects_the_version(line: Line) -> None:
    """The version has the summary of the rejection."""
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.answer("DeployDev", "Approve", "Rejected")
    assert line.ended(own) == "Failed"
    assert line.settled(package, "Rejected")["ApprovalDescription"].endswith("Rejected: not today")


def test_a_decision_about_another_version_answers_nothing(line: Line) -> None:
    """The pending approval belongs to one execution only."""
    earlier, outdated = line.begin()
    line.answer("Hold", "Hold", "Rejected")
    assert line.ended(earlier) == "Failed"
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.approval_token("DeployDev")
    line.decide(outdated, "Approved")
    line.answer("DeployDev", "Approve", "Rejected")
    assert line.ended(own) == "Failed"
    line.settled(package, "Rejected")
