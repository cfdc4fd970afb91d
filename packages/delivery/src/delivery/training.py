"""One training without a delivery: the project's own training, up to the evaluation, in a local cloud.

A state machine runs the jobs, so that they need no process of the person who started them.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from delivery.cloud import DeliveryError
from delivery.history.jobs import job_records
from delivery.history.state_machines import describe_execution, execution_output, failure_reason
from delivery.interrupts import delayed
from delivery.jobs.executions import stop_machine
from delivery.raw_data import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from delivery.cloud import Cloud
    from delivery.sagemaker_sdk import SdkSettings

# The names of models in the commands of other projects of SageMaker, which are valid here for good.
MODEL_NAMES = {"linear_regression": "linear_model", "tensorflow": "multilayer_perceptron"}
WORKFLOW = "stacks/workflow.asl.json"
# The states of the project's training machine that lead to what a single training leaves out: the record of
# production, the champion, the gate, the registry and the notifications.
SHORTENED = {
    "InitializeListing": "ListData",
    "RunBaselineAndTraining": "EvaluateModel",
    "EvaluateModel": "ReturnTraining",
    "ExtractFailureReason": "FailExecution",
}
NOTIFY, FAIL, END = "NotifyFailure", "FailExecution", "ReturnTraining"
NO_CHAMPION = {
    "production": {"PipelineExecutionId": "none", "Watermark": {"LastModified": "1970-01-01T00:00:00Z"}},
    "champion": "none",
    "champions": [],
}
RETURN = {
    "Type": "Succeed",
    "Output": {"TrainingJobName": "{% $training.JobName %}", "ModelDataUrl": "{% $training.ModelDataUrl %}"},
}
POLL_SECONDS = 0.25
RUNNING, SUCCEEDED = "RUNNING", "SUCCEEDED"  # executions
IN_PROGRESS = "InProgress"  # jobs


@dataclass(frozen=True)
class Training:
    """A training that is started: its name, and where its files are."""

    project: str
    name: str
    machine: str
    bucket: str

    @property
    def arn(self) -> str:
        """The execution of the state machine."""
        return f"{self.machine.replace(':stateMachine:', ':execution:')}:{self.name}"

    @property
    def folder(self) -> str:
        """The key below which all its files are."""
        return f"runs/{self.name}"

    @property
    def artifact(self) -> str:
        """The address that the model will have, if no job has to be repeated."""
        return f"s3://{self.bucket}/{self.folder}/training/{self.project}-train-{self.name}-0/output/model.tar.gz"


@dataclass(frozen=True)
class Trained:
    """The end of a training: the model's address, its metrics with their intervals, and warnings."""

    artifact: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A training to start: the project's definition, the data by their names, and the jobs' input.

    `input` returns the input of the state machine for the name of a training.
    """

    project: str
    workflow: Path
    settings: SdkSettings
    data: Mapping[str, Path]
    input: Callable[[str], dict[str, Any]]


def new_name() -> str:
    """Return a name that no other training has."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def data_prefix(name: str) -> str:
    """Return the folder of a training's data in the bucket, which no other training reads."""
    return f"runs/{name}/data/"


def definition(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training machine of a project without what follows the evaluation.

    Raises:
        DeliveryError: The machine lacks a state that leads there.

    """
    machine = copy.deepcopy(dict(workflow))
    states: dict[str, Any] = machine["States"]
    for name in (*SHORTENED, FAIL):
        if name not in states:
            raise DeliveryError(
                f"{WORKFLOW} has no state {name}, by which 'train' finds its jobs: restore it."
            )
    for name, following in SHORTENED.items():
        states[name]["Next"] = following
    states["InitializeListing"]["Assign"] |= NO_CHAMPION
    states[END] = RETURN
    states[NOTIFY] = {"Type": "Pass", "Next": FAIL}
    reachable = _reachable(states, machine["StartAt"])
    machine["States"] = {name: state for name, state in states.items() if name in reachable}
    return machine


def _reachable(states: Mapping[str, Any], first: str) -> set[str]:
    found, left = set[str](), [first]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _following(states[name])
    return found


def _following(state: Mapping[str, Any]) -> Iterator[str]:
    for each in (state, *state.get("Choices", ()), *state.get("Catch", ())):
        if "Next" in each:
            yield each["Next"]
    if "Default" in state:
        yield state["Default"]


def prepare(cloud: Cloud, plan: Plan) -> Training:
    """Upload the data, and create the state machine of a training, which `start` starts.

    Raises:
        DeliveryError: A file changes during its upload, or the project's machine is another.

    """
    name, bucket = new_name(), plan.settings.bucket
    s3 = cloud.client("s3")
    for key, path in plan.data.items():
        digest = digest_of(path)
        s3.upload_file(str(path), bucket, f"{data_prefix(name)}{key}")
        if digest_of(path) != digest:
            raise DeliveryError(f"{path} changed while it was uploaded; train when nothing writes to it.")
    return Training(plan.project, name, _machine(cloud, plan), bucket)


def start(cloud: Cloud, plan: Plan, training: Training) -> None:
    """Start the jobs; these need nothing of the caller's process from then on.

    A signal interrupts after the answer; `stop` stops what there is by then.
    """
    content = json.dumps(plan.input(training.name))
    with delayed():
        cloud.client("stepfunctions").start_execution(
            stateMachineArn=training.machine, name=training.name, input=content
        )


def wait_for_job(cloud: Cloud, training: Training) -> None:
    """Wait until the first job is accepted.

    Raises:
        DeliveryError: The training ended before; the message has the reason.

    """
    while not job_records(cloud, training.name):
        if _ended(cloud, training):
            return
        time.sleep(POLL_SECONDS)


def wait(cloud: Cloud, training: Training) -> None:
    """Wait until the training has succeeded.

    Raises:
        DeliveryError: The training failed or was stopped; the message has the reason.

    """
    while not _ended(cloud, training):
        time.sleep(POLL_SECONDS)


def stop(cloud: Cloud, training: Training) -> bool:
    """Stop the training with its jobs, and wait until these have ended; return whether it was running."""
    cause = "The command 'train' was interrupted."
    if not stop_machine(cloud, training.arn, error="Stopped", cause=cause):
        return False
    while any(record.status == IN_PROGRESS for record in job_records(cloud, training.name)):
        time.sleep(POLL_SECONDS)
    return True


def read_result(cloud: Cloud, training: Training) -> Trained:
    """Return the model and the metrics of a training that has succeeded."""
    output = execution_output(cloud, training.arn)
    gate, intervals = (_evaluation(cloud, training, name) for name in ("gate", "intervals"))
    return Trained(
        output["ModelDataUrl"], gate["metrics"], intervals.get("metrics", {}), tuple(intervals["warnings"])
    )


def _evaluation(cloud: Cloud, training: Training, name: str) -> dict[str, Any]:
    key = f"{training.folder}/evaluation/{name}.json"
    stored = cloud.client("s3").get_object(Bucket=training.bucket, Key=key)
    return dict(json.loads(stored["Body"].read()))


def _ended(cloud: Cloud, training: Training) -> bool:
    """Return whether the training has succeeded; raise DeliveryError if it ended otherwise."""
    found = describe_execution(cloud, training.arn)
    if found is None:
        raise DeliveryError(f"The training {training.name} is not in the local cloud any more.")
    if found["status"] in {RUNNING, SUCCEEDED}:
        return bool(found["status"] == SUCCEEDED)
    reason = failure_reason(found) or "no cause"
    raise DeliveryError(f"The training {training.name} ended as {found['status']}: {reason}")


def _machine(cloud: Cloud, plan: Plan) -> str:
    """Create the state machine of the project's present definition, or find it; return its ARN."""
    text = re.sub(r"\$\{(\w+)\}", lambda found: _substitution(cloud, plan, found[1]), _definition(plan))
    client = cloud.client("stepfunctions")
    name = f"{plan.project}-train-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    try:
        created = client.create_state_machine(name=name, definition=text, roleArn=plan.settings.role_arn)
        return str(created["stateMachineArn"])
    except client.exceptions.StateMachineAlreadyExists:
        account = plan.settings.role_arn.split(":")[4]
        return f"arn:aws:states:{cloud.region}:{account}:stateMachine:{name}"


def _definition(plan: Plan) -> str:
    try:
        workflow = json.loads(plan.workflow.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeliveryError(f"{WORKFLOW} can't be read: {error}") from None
    return json.dumps(definition(workflow), ensure_ascii=False)


def _substitution(cloud: Cloud, plan: Plan, name: str) -> str:
    account = plan.settings.role_arn.split(":")[4]
    known = {
        "ArtifactBucket": plan.settings.bucket,
        "KmsKeyArn": f"arn:aws:kms:{cloud.region}:{account}:alias/aws/s3",
        "Project": plan.project,
        "SageMakerRoleArn": plan.settings.role_arn,
    }
    if name not in known:
        raise DeliveryError(f"{WORKFLOW} needs {name} before the evaluation, and 'train' has none.")
    return known[name]
