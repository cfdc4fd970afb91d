"""The project's registry stack on the local cloud: an approval given in one place counts in the other."""

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
    """A pipeline that holds, asks and promotes, with the registry beside it."""

    rig: Any
    project: str
    bucket: str

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return f"{self.project}-pipeline"

    def begin(self) -> tuple[str, str]:
        """Start an execution, and register a model for it as its training would; return both."""
        body = small_pipeline.zipped(small_pipeline.FILES)
        version = self.rig.s3.put_object(Bucket=self.bucket, Key="source.zip", Body=body)["VersionId"]
        own = str(self.rig.until(lambda: self.started(version))[0])
        package = self.rig.sagemaker.create_model_package(
            ModelPackageGroupName=self.project, CustomerMetadataProperties={"PipelineExecutionId": own}
        )["ModelPackageArn"]
        self.rig.put(f"models/{own}/package.json", json.dumps({"ModelPackageArn": package}))
        return own, str(package)

    def started(self, version: str) -> list[str]:
        """List the executions that took a version of the source."""
        found = self.rig.codepipeline.list_pipeline_executions(pipelineName=self.name)
        return [
            one["pipelineExecutionId"]
            for one in found["pipelineExecutionSummaries"]
            if any(source["revisionId"] == version for source in one["sourceRevisions"])
        ]

    def asked(self, stage: str) -> str:
        """Wait until a stage's approval is asked, and return its token."""

        def token() -> Any:
            stages = self.rig.codepipeline.get_pipeline_state(name=self.name)["stageStates"]
            (found,) = [one for one in stages if one["stageName"] == stage]
            return found["actionStates"][0].get("latestExecution", {}).get("token")

        return str(self.rig.until(token))

    def answer(self, stage: str, action: str, status: str = "Approved") -> None:
        """Answer an approval in the pipeline, once it is asked."""
        self.rig.codepipeline.put_approval_result(
            pipelineName=self.name,
            stageName=stage,
            actionName=action,
            result={"summary": "not today", "status": status},
            token=self.asked(stage),
        )

    def decide(self, package: str, status: str) -> None:
        """Decide in the registry."""
        self.rig.sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus=status, ApprovalDescription="seen"
        )

    def ended(self, own: str) -> str:
        """Wait for an execution's end and say how it was."""
        seen = self.rig.until(
            lambda: self.rig.codepipeline.get_pipeline_execution(
                pipelineName=self.name, pipelineExecutionId=own
            )["pipelineExecution"]["status"],
            lambda status: status in ENDED,
        )
        return str(seen)

    def settled(self, package: str, status: str) -> Any:
        """Wait until a package has a status, and describe it."""
        return self.rig.until(
            lambda: self.rig.sagemaker.describe_model_package(ModelPackageName=package),
            lambda seen: seen["ModelApprovalStatus"] == status,
        )


@pytest.fixture(scope="module")
def line(rig: Any, local_folder: Path) -> Line:
    """Deploy the registry as the project has it, and a pipeline with the stages that it knows."""
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


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(("status", "end"), [("Approved", "Succeeded"), ("Rejected", "Failed")])
def test_a_decision_in_the_registry_answers_the_pipeline(
    line: Line, status: str, end: str, *, asked: bool
) -> None:
    """Whether the approval waits by then or is asked later."""
    own, package = line.begin()
    if asked:
        line.answer("Hold", "Hold")
        line.asked("DeployDev")
        line.decide(package, status)
    else:
        line.decide(package, status)
        line.answer("Hold", "Hold")
    assert line.ended(own) == end
    described = line.settled(package, status)
    assert described["ApprovalDescription"] == "seen"


def test_production_approves_its_version(line: Line) -> None:
    """Whoever looks into the registry sees what serves."""
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.answer("DeployDev", "Approve")
    assert line.ended(own) == "Succeeded"
    assert "into production" in line.settled(package, "Approved")["ApprovalDescription"]


def test_a_rejection_in_the_pipeline_rejects_the_version(line: Line) -> None:
    """With what was said."""
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.answer("DeployDev", "Approve", "Rejected")
    assert line.ended(own) == "Failed"
    assert line.settled(package, "Rejected")["ApprovalDescription"].endswith("Rejected: not today")


def test_another_version_answers_nothing(line: Line) -> None:
    """The approval that waits is that of one execution alone."""
    earlier, outdated = line.begin()
    line.answer("Hold", "Hold", "Rejected")
    assert line.ended(earlier) == "Failed"
    own, package = line.begin()
    line.answer("Hold", "Hold")
    line.asked("DeployDev")
    line.decide(outdated, "Approved")
    line.answer("DeployDev", "Approve", "Rejected")
    assert line.ended(own) == "Failed"
    line.settled(package, "Rejected")
