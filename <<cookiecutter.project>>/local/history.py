"""The history of deliveries, read from the local services: stacks, executions, jobs and metrics."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - its name there

from local import approval
from local.stacks import failure_reason, find_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud import Cloud

    from local.project import Project

# What a call raises when nothing answers any more.
UNREACHABLE = (ConnectionError, HTTPClientError)
HOOK_FAILED = re.compile(r"validation functions failed: (\S+) \(")
REFUSED = re.compile(r"error: \S.*")
ROLLBACK = "codeDeployRollback"  # who makes the deployment that moves traffic back
SETTLED_WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
UNDER_WAY = ("InProgress", "Stopping")  # of an execution of the pipeline
RUN = "Run"  # the step that failed where no other did
ACTION_STATUS = {
    "Succeeded": "Succeeded",
    "Failed": "Failed",
    "InProgress": "InProgress",
    "Abandoned": "Stopped",
}
JOB_STATUS = {"Completed": "Succeeded", "InProgress": "InProgress", "Stopping": "InProgress"}


@dataclass(frozen=True)
class Record:
    """One stage as the services recorded it.

    status is Succeeded, Failed, Stopped or InProgress; seconds is the time so far while it is in progress.
    """

    name: str
    status: str
    seconds: float
    reason: str = ""
    log: str = ""


@dataclass(frozen=True)
class Decision:
    """A decision of the governor.

    `event` and `of` say which event asked, and about which object. `at` is the time of the decision.
    `execution` is the pipeline's execution that the decision started. `again` is the time, in ISO 8601, at
    which a refusal is checked again, and empty where the refusal is final.
    """

    event: str
    of: str
    decision: str
    reason: str
    at: datetime
    execution: str = ""
    again: str = ""


def cut_off(record: Record) -> Record:
    """Mark a stage in progress as failed, since the cloud ended during the stage."""
    if record.status != "InProgress":
        return record
    return replace(record, status="Failed", reason="the local cloud ended", log=".local/logs/cloud.log")


def stack_record(cloud: Cloud, stage: str, stack_name: str, since: datetime) -> Record | None:
    """Read the stack's latest operation that began after `since`; None when there was none."""
    if find_stack(cloud, stack_name) is None:
        return None
    events = cloud.client("cloudformation").describe_stack_events(StackName=stack_name)["StackEvents"]
    own = [
        event
        for event in events
        if event["ResourceType"] == "AWS::CloudFormation::Stack"
        and event["LogicalResourceId"] == stack_name
        and event["Timestamp"] >= since
    ]
    if not own:
        return None
    newest, oldest = own[0], own[-1]
    if newest["ResourceStatus"].endswith("_IN_PROGRESS"):
        return Record(stage, "InProgress", _since(oldest["Timestamp"]))
    seconds = (newest["Timestamp"] - oldest["Timestamp"]).total_seconds()
    if newest["ResourceStatus"] in SETTLED_WELL:
        return Record(stage, "Succeeded", seconds)
    return Record(stage, "Failed", seconds, failure_reason(cloud, stack_name), ".local/logs/cloud.log")


def executions(cloud: Cloud, pipeline: str) -> list[dict[str, Any]]:
    """List the pipeline's executions, the newest first; none for a pipeline that does not exist."""
    try:
        found = cloud.client("codepipeline").list_pipeline_executions(pipelineName=pipeline)
    except ClientError as error:
        if error.response["Error"]["Code"] == "PipelineNotFoundException":
            return []
        raise
    return list(found["pipelineExecutionSummaries"])


def executions_of(cloud: Cloud, pipeline: str, revision: str) -> list[str]:
    """Name the executions that took a revision of the source."""
    return [
        execution["pipelineExecutionId"]
        for execution in executions(cloud, pipeline)
        if any(taken["revisionId"] == revision for taken in execution.get("sourceRevisions", []))
    ]


def execution_status(cloud: Cloud, pipeline: str, execution_id: str) -> str:
    """Return the status of an execution of the pipeline."""
    answer = cloud.client("codepipeline").get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution_id
    )
    return str(answer["pipelineExecution"]["status"])


def action_records(cloud: Cloud, pipeline: str, execution_id: str) -> list[Record]:
    """Read what the execution's actions did, each state machine with its jobs, and what it waits for."""
    found: list[Record] = []
    for action in actions(cloud, pipeline, execution_id):
        found.append(_action_record(cloud, action))
        if action["input"]["actionTypeId"]["provider"] == "StepFunctions":
            external = _external(action)
            found += job_records(cloud, external.rpartition(":")[2]) if external else []
    return found + _waiting(cloud, pipeline, execution_id)


def actions(cloud: Cloud, pipeline: str, execution_id: str) -> list[dict[str, Any]]:
    """List the execution's actions, in the order in which they began."""
    found = cloud.client("codepipeline").list_action_executions(
        pipelineName=pipeline, filter={"pipelineExecutionId": execution_id}
    )
    return list(reversed(found["actionExecutionDetails"]))


def stack_action(cloud: Cloud, pipeline: str, execution_id: str, stack: str) -> Record | None:
    """Read the action that deployed the stack in the execution, if it has begun."""
    for action in actions(cloud, pipeline, execution_id):
        if action["input"].get("resolvedConfiguration", {}).get("StackName") == stack:
            return _action_record(cloud, action)
    return None


def training_execution(cloud: Cloud, project: Project, execution_id: str) -> str:
    """Give the address of the training's execution within the pipeline's; empty while there is none."""
    machine = f":{project.slug}-workflow:"
    found = (_external(action) for action in actions(cloud, f"{project.slug}-pipeline", execution_id))
    return next((address for address in found if machine in address), "")


def trained(cloud: Cloud, project: Project, execution_id: str) -> str:
    """Give the address of the training's execution once it has succeeded; empty before that."""
    training = training_execution(cloud, project, execution_id)
    ended = ended_execution(cloud, training) if training else None
    return training if ended and ended["status"] == "SUCCEEDED" else ""


def waits_for(cloud: Cloud, pipeline: str, execution_id: str, stage: str) -> bool:
    """Return whether the execution waits until another execution leaves the stage."""
    return stage in {name for name, _ in _stages_awaited(cloud, pipeline, execution_id)}


def _stages_awaited(cloud: Cloud, pipeline: str, execution_id: str) -> Iterator[tuple[str, str]]:
    state = cloud.client("codepipeline").get_pipeline_state(name=pipeline)
    for stage in state["stageStates"]:
        if any(one["pipelineExecutionId"] == execution_id for one in stage.get("inboundExecutions", [])):
            yield stage["stageName"], stage.get("latestExecution", {}).get("pipelineExecutionId", "")


def _waiting(cloud: Cloud, pipeline: str, execution_id: str) -> list[Record]:
    return [
        Record(stage, "InProgress", 0.0, f"waits until execution {other} leaves the stage")
        for stage, other in _stages_awaited(cloud, pipeline, execution_id)
    ]


def _action_record(cloud: Cloud, action: dict[str, Any]) -> Record:
    status = ACTION_STATUS[action["status"]]
    name, began = action["actionName"], action["startTime"]
    if status == "InProgress":
        return Record(name, status, _since(began), *_asked(cloud, action))
    seconds = (action["lastUpdateTime"] - began).total_seconds()
    result = action.get("output", {}).get("executionResult", {})
    reason = result.get("errorDetails", {}).get("message", "") if status == "Failed" else ""
    if failed := HOOK_FAILED.search(reason):
        reason = f"{reason} {_said_by_hook(cloud, failed[1], began)}".strip()
    elif reason:
        reason = f"{reason} {_said_by_build(action)}".strip()
    return Record(name, status, seconds, reason, _build_log(action))


def _said_by_hook(cloud: Cloud, function: str, since: datetime) -> str:
    """Read from a hook's log why it failed: CodeDeploy only knows that it did."""
    group, start = f"/aws/lambda/{function}", int(since.timestamp() * 1000)
    try:
        found = cloud.client("logs").filter_log_events(logGroupName=group, startTime=start)["events"]
    except ClientError:  # the group is deleted with the stack
        return ""
    lines = [event["message"] for event in found]
    results = [json.loads(line) for line in lines if line.startswith('{"event": "Hook ended"')]
    return str(results[-1].get("Reason", "")) if results else ""


def _asked(cloud: Cloud, action: dict[str, Any]) -> tuple[str, ...]:
    """Read what a person is asked, with what is known of the model."""
    if action["input"]["actionTypeId"]["category"] != "Approval":
        return ()
    asked = action["input"].get("resolvedConfiguration", {}).get("CustomData", "")
    known = approval.describe_model(cloud, action["pipelineExecutionId"])
    said = (asked, known and f"Its evaluation: {known}", "'python -m local approve' or 'reject' answers.")
    return (" ".join(filter(None, said)),)


def _build_log(action: dict[str, Any]) -> str:
    """Name the log of a build, from the project's folder."""
    address = _external_url(action)
    return f".local/logs/builds/{address.rpartition('/')[2]}" if address.startswith("file:") else ""


def _said_by_build(action: dict[str, Any]) -> str:
    """Read from a build's log what its commands refused: CodeBuild says no more than which of them failed."""
    parts = urlsplit(_external_url(action))
    try:
        text = Path(unquote(parts.path)).read_text(encoding="utf-8") if parts.scheme == "file" else ""
    except (OSError, UnicodeDecodeError):
        return ""
    said = REFUSED.findall(text)
    return said[-1] if said else ""


def _external_url(action: dict[str, Any]) -> str:
    return str(action.get("output", {}).get("executionResult", {}).get("externalExecutionUrl", ""))


def _external(action: dict[str, Any]) -> str:
    return str(action.get("output", {}).get("executionResult", {}).get("externalExecutionId", ""))


def describe_execution(cloud: Cloud, execution_arn: str) -> dict[str, Any] | None:
    """Describe the execution, or return None when it does not exist."""
    try:
        return dict(cloud.client("stepfunctions").describe_execution(executionArn=execution_arn))
    except ClientError as error:
        if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
            return None
        raise


def ended_execution(cloud: Cloud, execution_arn: str) -> dict[str, Any] | None:
    """Describe the execution when it has ended, with any status."""
    found = describe_execution(cloud, execution_arn)
    return found if found and found["status"] != "RUNNING" else None


def monitoring_executions(
    cloud: Cloud, schedule: str, since: datetime, until: datetime
) -> list[dict[str, Any]] | None:
    """List Model Monitor's executions since then, oldest first, when one of them looked as far as `until`."""
    listed = cloud.client("sagemaker").get_paginator("list_monitoring_executions")
    found = [
        each
        for page in listed.paginate(MonitoringScheduleName=schedule, ScheduledTimeAfter=since)
        for each in page["MonitoringExecutionSummaries"]
    ]
    running = any(each["MonitoringExecutionStatus"] in {"InProgress", "Stopping"} for each in found)
    complete = any(each["ScheduledTime"] >= until for each in found)
    return found[::-1] if complete and not running else None


def executions_after(cloud: Cloud, machine: str, jobs: list[str]) -> list[dict[str, Any]] | None:
    """Describe the state machine's executions that the jobs' events started, once they have ended."""
    listed = cloud.client("stepfunctions").get_paginator("list_executions")
    found = [
        ended
        for page in listed.paginate(stateMachineArn=machine)
        for each in page["executions"]
        if (ended := ended_execution(cloud, each["executionArn"]))
    ]
    by_job = {json.loads(each["input"]).get("detail", {}).get("ProcessingJobName"): each for each in found}
    return [by_job[job] for job in jobs] if all(job in by_job for job in jobs) else None


def alarm_is_on(cloud: Cloud, name: str) -> bool:
    """Return whether the alarm is in ALARM."""
    found = cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return any(alarm["StateValue"] == "ALARM" for alarm in found)


def execution_output(cloud: Cloud, execution_arn: str) -> dict[str, Any]:
    """Give the execution's output, empty while there is none."""
    execution = describe_execution(cloud, execution_arn) or {}
    return dict(json.loads(execution.get("output") or "{}"))


def beside_model(cloud: Cloud, model_url: str, name: str) -> dict[str, Any]:
    """Read a JSON file that the training put beside a model; empty where it put none."""
    address = urlsplit(model_url)
    folder = address.path.strip("/").rpartition("/")[0]
    try:
        stored = cloud.client("s3").get_object(Bucket=address.netloc, Key=f"{folder}/{name}.json")
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchKey":
            return {}
        raise
    return dict(json.loads(stored["Body"].read()))


def decisions(cloud: Cloud, slug: str, since: datetime) -> list[Decision]:
    """Return the governor's decisions since a time, oldest first; none where no governor is deployed."""
    stack = find_stack(cloud, f"{slug}-governor") or {}
    machines = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    if "StateMachineArn" not in machines:
        return []
    listed = cloud.client("stepfunctions").get_paginator("list_executions")
    ended = [
        each
        for page in listed.paginate(stateMachineArn=machines["StateMachineArn"], statusFilter="SUCCEEDED")
        for each in page["executions"]
        if each["stopDate"] >= since
    ]
    found = (_decision(cloud, each) for each in sorted(ended, key=lambda one: one["stopDate"]))
    return [decision for decision in found if decision]


def _decision(cloud: Cloud, execution: dict[str, Any]) -> Decision | None:
    """Read a decision from the execution's output; most executions decide nothing."""
    output = execution_output(cloud, execution["executionArn"])
    asked, at = (output.get("Reason", ""), output.get("Event", "")), execution["stopDate"]
    match output.get("Result"):
        case "Started":
            reason = f"New data: {output['DataVersion']}"
            return Decision(*asked, "Started", reason, at, output["PipelineExecutionId"])
        case "Refused":
            reason = f"{output['Why']}: {output['Explanation']}"
            return Decision(*asked, "Refused", reason, at, again=output.get("LookAgainAt", ""))
    return None


def job_records(cloud: Cloud, execution_name: str) -> list[Record]:
    """Read the execution's training and processing jobs, in the order in which they began."""
    sagemaker = cloud.client("sagemaker")
    jobs = [*_processing_jobs(sagemaker, execution_name), *_training_jobs(sagemaker, execution_name)]
    return [record for _, record in sorted(jobs, key=lambda job: job[0])]


def _processing_jobs(sagemaker: Any, execution_name: str) -> Iterator[tuple[datetime, Record]]:
    found = sagemaker.list_processing_jobs(NameContains=execution_name)["ProcessingJobSummaries"]
    for name in (summary["ProcessingJobName"] for summary in found):
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        reason = job.get("FailureReason") or job.get("ExitMessage", "")
        yield _job_record(name, job, job["ProcessingJobStatus"], job.get("ProcessingEndTime"), reason)


def _training_jobs(sagemaker: Any, execution_name: str) -> Iterator[tuple[datetime, Record]]:
    found = sagemaker.list_training_jobs(NameContains=execution_name)["TrainingJobSummaries"]
    for name in (summary["TrainingJobName"] for summary in found):
        job = sagemaker.describe_training_job(TrainingJobName=name)
        yield _job_record(
            name, job, job["TrainingJobStatus"], job.get("TrainingEndTime"), job.get("FailureReason", "")
        )


def _job_record(
    name: str, job: dict[str, Any], job_status: str, ended: datetime | None, reason: str
) -> tuple[datetime, Record]:
    began = job["CreationTime"]
    status = JOB_STATUS.get(job_status, job_status)
    seconds = (ended - began).total_seconds() if ended else _since(began)
    failed = reason if status in ("Failed", "Stopped") else ""
    return began, Record(name, status, seconds, failed, _job_log(name, job))


def _job_log(name: str, job: dict[str, Any]) -> str:
    """Name the log of a job, or the folder with those of its instances, from the project's folder."""
    cluster = job.get("ResourceConfig") or job["ProcessingResources"]["ClusterConfig"]
    folder = f".local/logs/jobs/{name}"
    return folder if cluster["InstanceCount"] > 1 else f"{folder}/algo-1.log"


def shift(cloud: Cloud, stack: str, since: datetime) -> list[dict[str, Any]]:
    """Read how CodeDeploy moved the traffic of the stack's function after `since`, step by step."""
    return [
        {
            "seconds": round(step["time"] - deployment["created"], 3),
            "aws_seconds": step["aws_seconds"],
            "weights": step["weights"],
        }
        for deployment in cloud.deployments()
        if deployment["applicationName"].startswith(f"{stack}-")
        and deployment["created"] >= since.timestamp()
        and deployment["creator"] != ROLLBACK
        for step in deployment["shifts"]
    ]


def answered(cloud: Cloud, endpoint_name: str, variant: str = "AllTraffic") -> int:
    """Count the requests that the endpoint answered well, from its metrics."""
    made = _metric_sum(cloud, "Invocations", endpoint_name, variant)
    refused = _metric_sum(cloud, "Invocation4XXErrors", endpoint_name, variant)
    broken = _metric_sum(cloud, "Invocation5XXErrors", endpoint_name, variant)
    return made - refused - broken


def _metric_sum(cloud: Cloud, metric: str, endpoint_name: str, variant: str) -> int:
    now = datetime.now(UTC)
    statistics = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint_name},
            {"Name": "VariantName", "Value": variant},
        ],
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(minutes=1),
        Period=86400 + 120,
        Statistics=["Sum"],
    )
    return sum(round(point["Sum"]) for point in statistics["Datapoints"])


def _since(begin: datetime) -> float:
    return (datetime.now(UTC) - begin).total_seconds()
