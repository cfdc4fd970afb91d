"""The history of deliveries: what the services recorded, in the words of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from delivery import approval
from delivery.cloud import DeliveryError
from delivery.history import executions, governor, monitoring, traffic, training
from delivery.history.actions import action_records
from delivery.history.jobs import job_records
from delivery.history.record import Record, cut_off
from delivery.history.state_machines import ended_execution, execution_output, explained, failure_reason
from delivery.jobs.executions import PipelineExecutions
from delivery.jobs.job import Known

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localcloud import Cloud

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)


class Answers:
    """A cloud whose calls have fixed answers, which may be errors, by their names."""

    region = "eu-central-1"

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def client(self, service: str) -> Any:
        """Return what answers for each service."""
        del service
        return self

    def get_paginator(self, operation: str) -> Any:
        """Return pages with the operation's answer alone."""
        return SimpleNamespace(paginate=lambda **arguments: [getattr(self, operation)(**arguments)])

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.calls.append((name, arguments))
            if isinstance(self.answers[name], Exception):
                raise self.answers[name]
            return self.answers[name]

        return call


def error(code: str, message: str = "so") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


def action(name: str, state: str, provider: str = "CodeBuild", **output: Any) -> dict[str, Any]:
    return {
        "actionName": name,
        "status": state,
        "startTime": BEGAN,
        "lastUpdateTime": BEGAN + timedelta(seconds=2),
        "pipelineExecutionId": "one",
        "input": {"actionTypeId": {"category": "Build", "provider": provider}},
        "output": {"executionResult": output},
    }


def test_a_cloud_without_a_project_has_no_history(cloud: Cloud) -> None:
    """What is not deployed yet is not an error, and neither is what has not begun."""
    machine = f"arn:aws:states:{cloud.region}:000000000000:execution:none:none"
    assert executions.list_executions(cloud, "none-pipeline") == []
    assert executions.executions_of(cloud, "none-pipeline", "1") == []
    assert approval.find(cloud, "none-pipeline") is None
    assert governor.decisions(cloud, "none", BEGAN) == []
    assert job_records(cloud, "none") == []
    assert ended_execution(cloud, machine) is None
    assert execution_output(cloud, machine) == {}
    assert not monitoring.alarm_is_on(cloud, "none")
    assert traffic.answered(cloud, "none") == 0


def test_files_beside_a_model_may_be_missing(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="beside", CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_object(Bucket="beside", Key="models/one/intervals.json", Body=b'{"rows": 3}')
    model = "s3://beside/models/one/model.tar.gz"
    assert training.beside_model(cloud, model, "intervals") == {"rows": 3}
    assert training.beside_model(cloud, model, "explanation") == {}


def test_an_approval_that_nobody_waits_for_is_not_answered(cloud: Cloud) -> None:
    with pytest.raises(DeliveryError, match="No approval of none-pipeline waits; 'python -m local status'"):
        approval.reply(cloud, "none-pipeline", "Approved", "")


def test_an_approval_that_was_answered_meanwhile_says_so() -> None:
    pending = approval.Pending("p-pipeline", "DeployDev", "Approve", "token", "one")
    refusing = Answers(put_approval_result=error("ApprovalAlreadyCompletedException", "It was answered."))
    message = "^Approve of stage DeployDev waits, execution one: It was answered.$"
    with pytest.raises(DeliveryError, match=message):
        approval.answer(refusing, pending, "Approved", "")


def test_actions_are_read_in_their_order_with_why_they_failed(tmp_path: Path) -> None:
    """CodeBuild knows which command failed, and its log what that refused; an execution may also wait."""
    log = tmp_path / "build-one.log"
    log.write_text("error: first\nx\nerror: the colour is mud\n", encoding="utf-8")
    failed = action(
        "Make", "Failed", externalExecutionUrl=log.as_uri(), errorDetails={"message": "Status 2."}
    )
    waits = {
        "stageName": "Deploy",
        "inboundExecutions": [{"pipelineExecutionId": "one"}],
        "latestExecution": {"pipelineExecutionId": "two"},
    }
    cloud = Answers(
        list_action_executions={"actionExecutionDetails": [failed, action("Take", "Succeeded", "S3")]},
        get_pipeline_state={"stageStates": [waits, {"stageName": "Source"}]},
    )
    assert action_records(cloud, "p-pipeline", "one") == [
        Record("Take", "Succeeded", 2.0),
        Record(
            "Make", "Failed", 2.0, "Status 2. error: the colour is mud", ".local/logs/builds/build-one.log"
        ),
        Record("Deploy", "InProgress", 0.0, "waits until execution two leaves the stage"),
    ]
    assert executions.waits_for(cloud, "p-pipeline", "one", "Deploy")
    assert not executions.waits_for(cloud, "p-pipeline", "one", "Source")


def test_a_failed_execution_of_a_pipeline_has_the_reason_of_its_action() -> None:
    """Protects the row of 'jobs' from an empty reason; what is known is not asked for again."""
    summary = {"pipelineExecutionId": "one", "status": "Failed", "startTime": BEGAN, "lastUpdateTime": BEGAN}
    details = [
        action("Make", "Failed", errorDetails={"message": "The source is missing."}),
        action("Take", "Failed", errorDetails={"message": "It was retried."}),
    ]
    cloud = Answers(
        list_pipelines={"pipelines": [{"name": "p"}]},
        list_pipeline_executions={"pipelineExecutionSummaries": [summary]},
        list_action_executions={"actionExecutionDetails": details},
    )
    known = Known()
    for _ in range(2):
        (job,) = PipelineExecutions().all(cloud, known)
        assert (job.id, job.reason) == ("p:one", "Make: The source is missing.")
        known.add(job)
    assert [name for name, _ in cloud.calls].count("list_action_executions") == 1
    summary["lastUpdateTime"] = BEGAN + timedelta(seconds=1)
    details[0]["output"]["executionResult"]["errorDetails"]["message"] = "Another."
    assert [one.reason for one in PipelineExecutions().all(cloud, known)] == ["Make: Another."]
    read = PipelineExecutions().read(cloud, job)
    assert read is not None
    assert read.reason == "Make: Another."


def test_the_training_is_the_workflow_of_its_own_project() -> None:
    """The state machines of verification and of a project of similar name are others."""
    arns = [f"arn:aws:states:r:1:execution:{name}:one" for name in ("p-verify", "pp-workflow", "p-workflow")]
    details = [action(arn, "Succeeded", "StepFunctions", externalExecutionId=arn) for arn in arns]
    cloud = Answers(
        list_action_executions={"actionExecutionDetails": details}, describe_execution={"status": "RUNNING"}
    )
    assert training.training_execution(cloud, "p", "one") == arns[2]
    assert training.trained(cloud, "p", "one") == ""
    cloud.answers["describe_execution"] = {"status": "SUCCEEDED"}
    assert training.trained(cloud, "p", "one") == arns[2]
    assert dict(cloud.calls)["list_action_executions"]["pipelineName"] == "p-pipeline"


STOPPED = {"TrainingJobName": "t-1", "TrainingJobStatus": "Stopped", "HyperParameters": {"a": "b"}}
REFUSED = {"ProcessingJobName": "p-1", "FailureReason": "AlgorithmError", "ExitMessage": 'no "x"\n{1}'}


@pytest.mark.parametrize(
    ("error", "cause", "said"),
    [
        ("States.TaskFailed", json.dumps(STOPPED), "its training job t-1 was stopped"),
        ("States.TaskFailed", json.dumps(REFUSED), 'processing job p-1: no "x"\n{1}'),
        (
            "PrepareFailed",
            f'States.TaskFailed: {json.dumps(REFUSED)[:-1]}, "Cut',
            'PrepareFailed: processing job p-1: no "x"\n{1}',
        ),
        ("NoData", "There is no {file}.", "NoData: There is no {file}."),
        ("States.TaskFailed", '{"Other": 1}', 'States.TaskFailed: {"Other": 1}'),
        ("", "", ""),
    ],
)
def test_a_failed_job_is_a_sentence_and_not_its_description(error: str, cause: str, said: str) -> None:
    """Protects the person who reads why a state machine ended from a job's whole description as JSON."""
    assert failure_reason({"error": error, "cause": cause}) == said
    assert explained(f"ended as FAILED: {error}: {cause}").endswith(said.rpartition("Failed: ")[2])


def test_traffic_is_that_of_the_stack_since_then_without_rollbacks() -> None:
    step = {"time": 1001.2341, "aws_seconds": 60, "weights": {"2": 0.1}}

    def deployment(**other: Any) -> dict[str, Any]:
        own = {"applicationName": "p-prd-App", "created": 1000.0, "creator": "user", "shifts": [step]}
        return own | other

    deployments = [
        deployment(),
        deployment(applicationName="p-prdx-App"),
        deployment(created=1.0),
        deployment(creator=traffic.ROLLBACK),
    ]
    moved = traffic.shift(deployments, "p-prd", datetime.fromtimestamp(500, UTC))
    assert moved == [{"seconds": 1.234, "aws_seconds": 60, "weights": {"2": 0.1}}]


def test_a_stage_in_progress_fails_with_its_cloud() -> None:
    ended = Record("Train", "Succeeded", 1.0)
    cut = cut_off(Record("Train", "InProgress", 1.0))
    assert cut_off(ended) == ended
    assert (cut.status, cut.reason, cut.log) == ("Failed", "the local cloud ended", ".local/logs/cloud.log")
