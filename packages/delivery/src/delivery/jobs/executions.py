"""Executions of pipelines and of state machines, which start jobs and builds."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from delivery.cloud import UNREACHABLE, is_missing, pages
from delivery.history.actions import failure
from delivery.history.state_machines import describe_execution, failure_reason
from delivery.interrupts import delayed
from delivery.jobs.job import COMPLETED, FAILED, IN_PROGRESS, STOPPED, STOPPING, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from delivery.cloud import Cloud
    from delivery.jobs.job import Known

T = TypeVar("T")
POLL_SECONDS = 0.2
REASON = "stopped by a person"
INTERRUPTED = "The command that started it was interrupted."
MACHINE_STATUS = {
    "RUNNING": IN_PROGRESS,
    "PENDING_REDRIVE": IN_PROGRESS,
    "SUCCEEDED": COMPLETED,
    "ABORTED": STOPPED,
}
PIPELINE_STATUS = {
    "InProgress": IN_PROGRESS,
    "Stopping": STOPPING,
    "Succeeded": COMPLETED,
    "Failed": FAILED,
}
TOO_EARLY = (
    "A new pipeline starts at once, as on AWS; the upload of its source has started another execution."
)
OVER_ALREADY = ("PipelineExecutionNotStoppableException", "DuplicatedStopRequestException")


class PipelineExecutions:
    """The executions of all pipelines of CodePipeline; an id is PIPELINE:EXECUTION."""

    kind = "pipeline"

    def all(self, cloud: Cloud, known: Known) -> Iterator[Job]:
        """Yield every execution; the actions of those of `known` that have failed are not read again."""
        codepipeline = cloud.client("codepipeline")
        for pipeline in [one["name"] for one in pages(codepipeline, "list_pipelines", "pipelines")]:
            for job in self._of(cloud, pipeline):
                yield _explained(cloud, job, known.ended(job.id))

    def read(self, cloud: Cloud, job: Job) -> Job | None:
        """Return an execution as it is now, or None when it does not exist any more."""
        listed = self._of(cloud, job.id.partition(":")[0])
        return next((_explained(cloud, one) for one in listed if one.id == job.id), None)

    def stop(self, cloud: Cloud, job: Job) -> None:
        """Stop an execution, and the builds and state machines that its actions wait for.

        CodePipeline leaves these running: without abandoning them, it waits until they end by themselves.
        """
        pipeline, _, execution = job.id.partition(":")
        running = [one for one in _actions(cloud, pipeline, execution) if one["status"] == IN_PROGRESS]
        try:
            cloud.client("codepipeline").stop_pipeline_execution(
                pipelineName=pipeline, pipelineExecutionId=execution, abandon=True, reason=REASON
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in OVER_ALREADY:
                raise
        for action in running:
            _stop_action(cloud, action)

    def log_streams(self, job: Job) -> None:  # noqa: ARG002 - the signature of every kind
        """Return None: an execution has no log of its own."""
        return

    def _of(self, cloud: Cloud, pipeline: str) -> Iterator[Job]:
        codepipeline = cloud.client("codepipeline")
        listed = pages(
            codepipeline, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=pipeline
        )
        for one in listed:
            yield _pipeline_job(pipeline, one)


def stop_started(cloud: Cloud, pipeline: str, execution: str) -> str:
    """Stop an execution that an interrupted command has started, and return a sentence on its end."""
    executions = PipelineExecutions()
    job = Job(executions.kind, f"{pipeline}:{execution}", "", IN_PROGRESS, datetime.now(UTC))
    try:
        executions.stop(cloud, job)
        while (found := executions.read(cloud, job)) and not found.is_over:
            time.sleep(POLL_SECONDS)
    except UNREACHABLE:
        return "The local cloud has ended, and the execution with it."
    state = found.status if found else "deleted"
    return f"Interrupted: the execution {execution} is {state}; the local cloud and what was deployed stay."


def run_machine(cloud: Cloud, machine: str, content: str, wait: Callable[[str], T]) -> T:
    """Start an execution of a state machine, and return what `wait` does of it; an interrupt stops it."""
    execution = ""
    try:
        with delayed():
            started = cloud.client("stepfunctions").start_execution(stateMachineArn=machine, input=content)
            execution = started["executionArn"]
        return wait(execution)
    except KeyboardInterrupt:
        if execution:
            stop_machine(cloud, execution, cause=INTERRUPTED)
        raise


def stop_machine(cloud: Cloud, execution: str, **reason: str) -> bool:
    """Stop an execution with the jobs that its tasks wait for; return False where it does not run."""
    try:
        cloud.client("stepfunctions").stop_execution(executionArn=execution, **reason)
    except ClientError:
        found = describe_execution(cloud, execution)
        if found and found["status"] == "RUNNING":
            raise
        return False
    return True


def _pipeline_job(pipeline: str, found: dict[str, Any]) -> Job:
    status = PIPELINE_STATUS.get(found["status"], STOPPED)
    revisions = {f"revision of {one['actionName']}": one["revisionId"] for one in _revisions(found)}
    reason = found.get("stopTrigger", {}).get("reason", "")
    return Job(
        kind=PipelineExecutions.kind,
        id=f"{pipeline}:{found['pipelineExecutionId']}",
        arn="",
        status=status,
        started=found["startTime"],
        ended=None if status in (IN_PROGRESS, STOPPING) else found["lastUpdateTime"],
        parameters={"trigger": found.get("trigger", {}).get("triggerType", ""), **revisions},
        reason=reason or ("" if status != STOPPED else found["status"]),
    )


def _explained(cloud: Cloud, job: Job, known: Job | None = None) -> Job:
    """Return an execution that failed with the reason of its action; a retry may give it another."""
    if job.status != FAILED or job.reason:
        return job
    if known and known.ended == job.ended:
        return known
    pipeline, _, execution = job.id.partition(":")
    reason = failure(cloud, pipeline, execution)
    if job.parameters == {"trigger": "CreatePipeline"}:  # without the revision of a source
        reason = f"{reason} {TOO_EARLY}"
    return replace(job, reason=reason)


def _revisions(found: dict[str, Any]) -> list[dict[str, str]]:
    return [one for one in found.get("sourceRevisions", []) if "revisionId" in one]


def _actions(cloud: Cloud, pipeline: str, execution: str) -> list[dict[str, Any]]:
    return list(
        pages(
            cloud.client("codepipeline"),
            "list_action_executions",
            "actionExecutionDetails",
            pipelineName=pipeline,
            filter={"pipelineExecutionId": execution},
        )
    )


def _stop_action(cloud: Cloud, action: dict[str, Any]) -> None:
    """Stop what an action waits for; nothing happens where that has ended already."""
    started = action.get("output", {}).get("executionResult", {}).get("externalExecutionId")
    provider = action["input"]["actionTypeId"]["provider"]
    if not started:
        return
    if provider == "StepFunctions":
        stop_machine(cloud, started, cause=REASON)
    elif provider == "CodeBuild":
        try:
            cloud.client("codebuild").stop_build(id=started)
        except ClientError as error:
            if not is_missing(error):
                raise


class MachineExecutions:
    """The executions of all state machines of Step Functions; an id is MACHINE:EXECUTION."""

    kind = "state machine"

    def all(self, cloud: Cloud, known: Known) -> Iterator[Job]:
        """Yield every execution; those of `known` that have ended are not described again."""
        steps = cloud.client("stepfunctions")
        machines = list(pages(steps, "list_state_machines", "stateMachines"))
        for machine in (one["stateMachineArn"] for one in machines if one.get("type") != "EXPRESS"):
            for one in pages(steps, "list_executions", "executions", stateMachineArn=machine):
                job = known.ended(one["executionArn"]) or self._find(cloud, one["executionArn"])
                if job:
                    yield job

    def read(self, cloud: Cloud, job: Job) -> Job | None:
        """Return an execution as it is now, or None when it does not exist any more."""
        return self._find(cloud, job.arn)

    def stop(self, cloud: Cloud, job: Job) -> None:
        """Stop an execution, and with it the jobs that its tasks wait for."""
        stop_machine(cloud, job.arn, cause=REASON)

    def log_streams(self, job: Job) -> None:  # noqa: ARG002 - the signature of every kind
        """Return None: an execution has no log of its own."""
        return

    @staticmethod
    def _find(cloud: Cloud, arn: str) -> Job | None:
        try:
            return _machine_job(cloud.client("stepfunctions").describe_execution(executionArn=arn))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise


def _machine_job(found: dict[str, Any]) -> Job:
    status = MACHINE_STATUS.get(found["status"], FAILED)
    timed_out = "the execution timed out" if found["status"] == "TIMED_OUT" else ""
    return Job(
        kind=MachineExecutions.kind,
        id=found["executionArn"].partition(":execution:")[2],
        arn=found["executionArn"],
        status=status,
        started=found["startDate"],
        ended=found.get("stopDate"),
        parameters=_input(found.get("input", "")),
        reason=(failure_reason(found) or timed_out) if status in (FAILED, STOPPED) else "",
    )


def _input(text: str) -> dict[str, Any]:
    """Return an execution's input; one that is not an object under the name `input`."""
    try:
        read = json.loads(text or "{}")
    except ValueError:
        read = text
    return read if isinstance(read, dict) else {"input": read}
