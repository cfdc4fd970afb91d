"""The project's own governor on the local cloud: its events, its decisions and its starts."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

executions: Any = importlib.import_module("delivery.history.executions")
governor: Any = importlib.import_module("delivery.history.governor")
approval: Any = importlib.import_module("delivery.approval")

PACKAGED = "DefinitionS3Location: governor.asl.json"
A_DAY = "86400"  # ten minutes at this speed, longer than any test


@dataclass
class GovernedPipeline:
    """A pipeline, its data and its governor."""

    rig: Any
    project: str
    bucket: str
    began: datetime

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return f"{self.project}-pipeline"

    def upload(self, key: str, body: bytes = b"price\n1\n") -> None:
        """Put a file into the artifact bucket."""
        self.rig.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def started(self) -> list[dict[str, Any]]:
        """Return the executions that an upload of the source did not start, oldest first."""
        client = self.rig.codepipeline
        listed = client.list_pipeline_executions(pipelineName=self.pipeline)["pipelineExecutionSummaries"]
        return [
            client.get_pipeline_execution(
                pipelineName=self.pipeline, pipelineExecutionId=each["pipelineExecutionId"]
            )["pipelineExecution"]
            for each in reversed(listed)
            if each["trigger"]["triggerType"] == "StartPipelineExecution"
        ]

    def statuses(self) -> list[str]:
        """Return the status of each execution of the pipeline, newest first."""
        listed = self.rig.codepipeline.list_pipeline_executions(pipelineName=self.pipeline)
        return [each["status"] for each in listed["pipelineExecutionSummaries"]]

    def reasons(self) -> list[str]:
        """Return the reasons of these executions."""
        return [variables(each)["Reason"] for each in self.started()]

    def ask(self, **given: str) -> None:
        """Start the governor, as another state machine would."""
        self.rig.stepfunctions.start_execution(stateMachineArn=self.machine(), input=json.dumps(given))

    def raise_alarm(self, name: str) -> None:
        """Change an alarm of the project from OK to ALARM."""
        self.rig.cloudwatch.put_metric_alarm(
            AlarmName=f"{self.project}-{name}",
            Namespace="drift",
            MetricName=name,
            Statistic="Maximum",
            Period=3600,
            EvaluationPeriods=1,
            Threshold=0.1,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
        for state in ("OK", "ALARM"):
            self.rig.cloudwatch.set_alarm_state(
                AlarmName=f"{self.project}-{name}", StateValue=state, StateReason="test"
            )

    def decided(self) -> list[Any]:
        """Return the decisions so far, oldest first."""
        return list(governor.decisions(self.rig.cloud, self.project, self.began))

    def until_decided(self, count: int) -> Any:
        """Wait for a number of decisions, and return the last of them."""
        return self.rig.until(self.decided, lambda seen: len(seen) >= count, 40.0)[count - 1]

    def answer(self, status: str) -> None:
        """Answer the pending approval, and wait for the end of its execution."""
        pending = self.rig.until(lambda: approval.find(self.rig.cloud, self.pipeline))
        approval.answer(self.rig.cloud, pending, status, "so")
        self.rig.until(
            lambda: executions.execution_status(self.rig.cloud, self.pipeline, pending.execution_id),
            lambda status: status != "InProgress",
        )

    def machine(self) -> str:
        """Return the ARN of the governor."""
        return str(self.rig.outputs(f"{self.project}-governor")["StateMachineArn"])

    def running(self) -> list[str]:
        """Return the running executions of the governor."""
        found = self.rig.stepfunctions.list_executions(stateMachineArn=self.machine(), statusFilter="RUNNING")
        return [each["name"] for each in found["executions"]]

    def retries(self) -> list[str]:
        """Return the times at which refused requests are retried."""
        found = self.rig.scheduler.list_schedules(NamePrefix=f"{self.project}-look-again")["Schedules"]
        return [self.rig.scheduler.get_schedule(Name=each["Name"])["ScheduleExpression"] for each in found]


def variables(execution: dict[str, Any]) -> dict[str, str]:
    """Return the variables of an execution of the pipeline."""
    return {each["name"]: each["resolvedValue"] for each in execution["variables"]}


@pytest.fixture
def govern(fast: Any, local_folder: Path) -> Iterator[Callable[..., GovernedPipeline]]:
    """Return a function that deploys the governor's template beside a small pipeline without data."""
    stacks, made = local_folder.parent / "stacks", []

    def deployed(**limits: str) -> GovernedPipeline:
        project = fast.unique("g")[:13]
        made.append(project)
        own = deploy_pipeline(fast, project)
        fast.put(f"{project}.asl.json", (stacks / "governor.asl.json").read_text(encoding="utf-8"))
        place = json.dumps({"Bucket": fast.bucket, "Key": f"{project}.asl.json"})
        template = (stacks / "governor.yml").read_text(encoding="utf-8")
        assert PACKAGED in template
        parameters = {
            "Project": project,
            "ArtifactBucket": own["Bucket"],
            "KmsKeyArn": "arn:aws:kms:eu-central-1:000000000000:key/1",
            "NotificationTopicArn": own["Topic"],
            "ProductionParameter": f"/{project}/production",
            **limits,
        }
        text = template.replace(PACKAGED, f"DefinitionS3Location: {place}")
        settled = fast.deploy(f"{project}-governor", text, parameters)
        assert settled["StackStatus"] == "CREATE_COMPLETE", fast.reasons(f"{project}-governor")
        return GovernedPipeline(fast, project, own["Bucket"], datetime.now(UTC))

    yield deployed
    for project in made:
        for kind in ("governor", "pipeline"):
            fast.cloudformation.delete_stack(StackName=f"{project}-{kind}")


def deploy_pipeline(fast: Any, project: str) -> dict[str, str]:
    """Deploy a pipeline with an approval; without a production record, all data are new."""
    name, stages = f"{project}-pipeline", [{"Name": "Ask", "Actions": [small_pipeline.approval()]}]
    fast.deploy(name, small_pipeline.template(name, stages), {})
    own: dict[str, str] = fast.outputs(name)
    return own


def with_source(made: GovernedPipeline) -> GovernedPipeline:
    """Upload the source, and end the execution that the upload starts.

    The pipeline's creation started an execution too. Where this execution finds the source, it waits for an
    approval as well, so its failure comes first.
    """
    made.rig.until(made.statuses, lambda statuses: statuses == ["Failed"])
    made.upload("source.zip", small_pipeline.zipped({}))
    made.answer("Rejected")
    return made


def test_a_burst_of_uploads_starts_the_pipeline_once(govern: Callable[..., GovernedPipeline]) -> None:
    """The start comes after the quiet period, which the cloud's speed shortens like every wait of AWS."""
    made = govern(QuietSeconds="600")  # four seconds here, in which even a busy machine uploads a few files
    for number in range(5):
        made.upload(f"raw/{number}.csv")
    made.upload("raw/readme.txt")
    made.rig.until(made.started)
    made.rig.until(made.running, lambda names: not names)
    (began,) = made.started()
    assert variables(began)["Reason"] == "data"
    assert variables(began)["DataVersion"].endswith(" raw/4.csv")
    assert [(each.event, each.decision, each.execution) for each in made.decided()] == [
        ("data", "Started", began["pipelineExecutionId"])
    ]


@pytest.mark.e2e  # for its time
def test_drift_starts_the_pipeline_once_within_the_cooldown_and_again_after_it(
    govern: Callable[..., GovernedPipeline],
) -> None:
    """A refusal has a reason, and is retried when the cooldown ends, without another change of the alarm."""
    # The cooldown is fifteen seconds here, in which even a busy machine asks twice.
    made = with_source(govern(QuietSeconds=A_DAY, CooldownSeconds="2250", LookAgainSeconds="60"))
    made.upload("raw/a.csv")
    made.raise_alarm("other-any")
    made.raise_alarm("drift-any")
    first = made.until_decided(1)
    assert (first.event, first.decision) == ("drift", "Started"), first.reason
    assert first.of.startswith(f"{made.project}-drift-any ")
    role = made.rig.cloudformation.describe_stack_resource(
        StackName=f"{made.project}-governor", LogicalResourceId="StateMachineRole"
    )["StackResourceDetail"]["PhysicalResourceId"]
    (began,) = made.started()
    assert f":assumed-role/{role}/" in began["trigger"]["triggerDetail"]
    made.ask(Reason="drift", Event="an hour later")
    assert made.until_decided(2).reason.startswith(f"RunInProgress: Execution {first.execution}")
    made.answer("Approved")
    made.ask(Reason="drift", Event="two hours later")
    assert made.until_decided(3).reason.startswith("Cooldown: The last start was at ")
    assert len(made.retries()) == 1
    last = made.until_decided(4)
    assert (last.event, last.of, last.decision) == ("drift", f"again at {made.decided()[1].again}", "Started")
    assert made.reasons() == ["drift", "drift"]
    made.rig.until(made.retries, lambda retries: retries == [])
    made.answer("Rejected")


def test_each_time_of_the_schedule_is_decided(govern: Callable[..., GovernedPipeline]) -> None:
    """The scheduler passes its time in the input; without data the request is refused, and not retried."""
    made = govern(ScheduleExpression="rate(5 minutes)", ScheduleState="ENABLED")
    made.until_decided(2)
    for each in made.decided():
        assert (each.event, each.decision, each.again) == ("schedule", "Refused", "")
        assert each.reason == "NoNewData: The data folder holds nothing to train on."
        assert each.at.timestamp() - datetime.fromisoformat(each.of).timestamp() < 60
    assert len({each.of for each in made.decided()}) == len(made.decided())
    assert made.retries() == []
