"""Schedules of Model Monitor: an endpoint's captured data are analysed for each hour of the simulated clock.

The analyzer is an image that runs on AWS alone. Here the project's own monitor does its work: it is started
with the environment that Model Monitor gives a container, and leaves the analyzer's files, words and metrics.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localcloud.core import kept, ministack, object_store
from localcloud.core.clock import MONITORING_DELAY, iso, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.core.service import Kept
from localcloud.services.sagemaker.pagination import paginate, select
from localcloud.services.sagemaker.processing import ProcessingJob
from localcloud.services.sagemaker.resource_store import ResourceStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation
    from localcloud.core.timers import Timer
    from localcloud.services.sagemaker.endpoint import Endpoint
    from localcloud.services.sagemaker.endpoints import Endpoints
    from localcloud.services.sagemaker.jobs import Jobs

logger = logging.getLogger(__name__)
HOUR = 3600
HOURLY = "cron(0 * ? * * *)"
NAMESPACE = "aws/sagemaker/Endpoints/data-metrics"
FORMAT = json.dumps({"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}})
BASELINE = "/opt/ml/processing/baseline"
LIST_MEMBERS = {"MonitoringScheduleName", "ScheduledTimeAfter", "MaxResults", "NextToken"}
NO_DATA = "Job inputs had no data"
COMPLETED_WITH_VIOLATIONS = "CompletedWithViolations"


class MonitoringJob(ProcessingJob):
    """A processing job that a schedule has started, and whose metrics SageMaker publishes."""

    kept = (*ProcessingJob.kept, "schedule")

    def __init__(self, context: CloudContext, request: Json, schedule: str = "") -> None:
        """Take a request and the ARN of the schedule."""
        super().__init__(context, request)
        self.schedule = schedule

    def describe(self) -> Json:
        """Return the answer of DescribeProcessingJob."""
        return {**super().describe(), "MonitoringScheduleArn": self.schedule}

    def publish(self) -> None:
        """Upload the outputs, and publish the metrics that the container has left."""
        super().publish()
        folders = [host.folder / "output" / "metrics" / "cloudwatch" for host in self.hosts]
        for path in (path for folder in folders for path in sorted(folder.glob("*.jsonl"))):
            if data := [_metric(line) for line in path.read_text(encoding="utf-8").splitlines() if line]:
                ministack.put_metrics(NAMESPACE, data)

    @property
    def outcome(self) -> str:
        """The status of the execution; a completed job's message says whether it has found violations."""
        violated = (self.message or "").startswith(COMPLETED_WITH_VIOLATIONS)
        return COMPLETED_WITH_VIOLATIONS if self.status == "Completed" and violated else self.status


def _metric(line: str) -> Json:
    """Return a metric of a container's line as PutMetricData takes it."""
    metric: Json = json.loads(line)
    return {**metric, "Timestamp": datetime.fromisoformat(metric["Timestamp"]).timestamp()}


@dataclass
class MonitoringExecution:
    """One execution of a schedule: its job, or the reason why it has no job."""

    scheduled: float
    endpoint: str
    created: float = field(default_factory=now)
    job: MonitoringJob | None = None
    failure: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the job runs."""
        return self.job is not None and not self.job.finished.is_set()

    def saved(self) -> Json:
        """Return what of the execution outlives the cloud: its job by name."""
        members = kept.attributes(self, ("scheduled", "endpoint", "created", "failure"))
        return {**members, "job": self.job.name if self.job else None}

    @classmethod
    def restored(cls, saved: Json, processing: Jobs) -> MonitoringExecution:
        """Return the execution that `saved` described."""
        return cls(**{**saved, "job": processing.jobs.get(saved["job"])})

    def summary(self, schedule: str) -> Json:
        """Return the execution's summary in lists and descriptions."""
        reason = self.job.reason if self.job else self.failure
        summary: Json = {
            "MonitoringScheduleName": schedule,
            "ScheduledTime": self.scheduled,
            "CreationTime": self.created,
            "LastModifiedTime": self.job.modified if self.job else self.created,
            "MonitoringExecutionStatus": self.job.outcome if self.job else "Failed",
            "EndpointName": self.endpoint,
            "MonitoringType": "DataQuality",
        }
        summary |= {"ProcessingJobArn": self.job.arn} if self.job else {}
        return summary | ({"FailureReason": reason} if reason else {})


@dataclass
class MonitoringSchedules(ResourceStore):
    """The schedules, each with a timer for its next execution, and the earlier executions."""

    member: str = "MonitoringSchedule"
    kind: str = "monitoring-schedule"
    noun: str = "monitoring schedule"
    endpoints: Endpoints = field(kw_only=True)
    processing: Jobs = field(kw_only=True)
    executions: dict[str, list[MonitoringExecution]] = field(default_factory=dict)
    timers: dict[str, Timer] = field(default_factory=dict)
    closed: bool = False

    def operations(self) -> dict[str, Operation]:
        """Return the operations on schedules and their executions."""
        return {
            "CreateMonitoringSchedule": self.create,
            "DescribeMonitoringSchedule": self.describe,
            "UpdateMonitoringSchedule": self.update,
            "DeleteMonitoringSchedule": self.delete,
            "ListMonitoringExecutions": self.list_executions,
        }

    def kept(self) -> dict[str, Kept]:
        """Return how the schedules and their executions outlive the cloud, after the jobs."""
        return {**super().kept(), "monitoring executions": Kept(self._save, self._load, self._resume)}

    def _save(self) -> Json:
        return {name: [each.saved() for each in list(ran)] for name, ran in self.executions.items()}

    def _load(self, saved: Json) -> None:
        for name, executions in saved.items():
            # An execution whose job is too old to be kept is gone with it.
            present = [each for each in executions if each["job"] in {None, *self.processing.jobs}]
            self.executions[name] = [MonitoringExecution.restored(each, self.processing) for each in present]

    def _resume(self) -> None:
        for name in self.items:
            self._plan_next_hour(name)

    def create(self, request: Json) -> Json:
        """Create a schedule, which first analyses the hour that has begun."""
        _check(request["MonitoringScheduleConfig"])
        answer = super().create({**request, "MonitoringScheduleStatus": "Scheduled"})
        name = request["MonitoringScheduleName"]
        self.executions[name] = []
        self._plan_next_hour(name)
        return answer

    def update(self, request: Json) -> Json:
        """Change the configuration from the next execution on."""
        _check(request["MonitoringScheduleConfig"])
        item = self.find(request["MonitoringScheduleName"])
        item |= {"MonitoringScheduleConfig": request["MonitoringScheduleConfig"], "LastModifiedTime": now()}
        return {"MonitoringScheduleArn": item["MonitoringScheduleArn"]}

    def describe(self, request: Json) -> Json:
        """Describe a schedule, with its last execution."""
        name = request["MonitoringScheduleName"]
        item = self.find(name)
        description = {
            "LastModifiedTime": item["CreationTime"],
            "MonitoringType": "DataQuality",
            "EndpointName": _endpoint_input(item)["EndpointName"],
            **item,
        }
        if self.executions[name]:
            description["LastMonitoringExecutionSummary"] = self.executions[name][-1].summary(name)
        return description

    def delete(self, request: Json) -> Json:
        """Delete a schedule with its executions; a running job continues to its end."""
        name = request["MonitoringScheduleName"]
        with self.lock:
            super().delete(request)
            self.context.timers.cancel(self.timers.pop(name))
            del self.executions[name]
        return {}

    def list_executions(self, request: Json) -> Json:
        """List the executions of a schedule, the newest first.

        Raises:
            ServiceError: the schedule does not exist, or the request has another filter.
        """
        if request.keys() - LIST_MEMBERS or "MonitoringScheduleName" not in request:
            raise validation_error(
                "The local cloud lists executions by MonitoringScheduleName and ScheduledTimeAfter only."
            )
        name = request["MonitoringScheduleName"]
        self.find(name)
        summaries = [
            each.summary(name)
            for each in reversed(self.executions[name])
            if each.scheduled >= request.get("ScheduledTimeAfter", 0)
        ]
        return paginate(request, summaries, "MonitoringExecutionSummaries")

    def close(self) -> None:
        """Start no execution any more."""
        with self.lock:
            self.closed = True
            for timer in self.timers.values():
                self.context.timers.cancel(timer)

    def _plan_next_hour(self, name: str) -> None:
        """Plan the analysis of the simulated hour that has begun."""
        self._plan(name, int(self.context.clock.simulated() // HOUR + 1) * HOUR)

    def _plan(self, name: str, hour: int) -> None:
        """Plan the analysis of the simulated hour that ends at `hour`, after its captured data have come."""
        act = ministack.in_context(lambda: self._execute_and_plan(name, hour))
        with self.lock:
            if not self.closed and name in self.items:
                self.timers[name] = self.context.timers.at(hour + MONITORING_DELAY, act, f"schedule {name}")

    def _execute_and_plan(self, name: str, hour: int) -> None:
        """Analyse the hour before that one, unless the last execution still runs, and plan the next one."""
        with self.lock:
            item, executions = self.items.get(name), self.executions.get(name, [])
        if item is None:
            return
        if not any(each.is_running for each in executions[-1:]):
            with ministack.scope(self.context.region):
                executions.append(self._execute(item, hour))
        self._plan(name, hour + HOUR)

    def _execute(self, item: Json, hour: int) -> MonitoringExecution:
        """Start the job over one hour, or record why there is none."""
        execution = MonitoringExecution(
            self.context.clock.to_real(hour), _endpoint_input(item)["EndpointName"]
        )
        try:
            endpoint = self.endpoints.find(execution.endpoint)
            request = _job_request(item, endpoint, hour, self.context)
            execution.job = MonitoringJob(self.context, request, item["MonitoringScheduleArn"])
            execution.job.check()
            self.processing.begin(execution.job, [])
        except (ServiceError, object_store.DataError) as error:
            execution.job = None
            execution.failure = getattr(error, "message", str(error))
            logger.info("%s: %s", item["MonitoringScheduleName"], execution.failure)
        return execution


def _check(config: Json) -> None:
    """Check that the local cloud can run a schedule."""
    definition = config.get("MonitoringJobDefinition", {})
    inputs = definition.get("MonitoringInputs", [])
    if [list(each) for each in inputs] != [["EndpointInput"]] or "BaselineConfig" not in definition:
        raise validation_error(
            "The local cloud takes a schedule with a MonitoringJobDefinition of its own, which has one"
            " EndpointInput and a BaselineConfig."
        )
    if config.get("ScheduleConfig", {}).get("ScheduleExpression") != HOURLY:
        raise validation_error(f"The local cloud monitors hourly: ScheduleExpression must be {HOURLY}.")


def _definition(item: Json) -> Json:
    """Return the job definition of a schedule."""
    definition: Json = item["MonitoringScheduleConfig"]["MonitoringJobDefinition"]
    return definition


def _endpoint_input(item: Json) -> Json:
    """Return the input of a schedule: its endpoint, and the path of the captured data in the container."""
    endpoint_input: Json = _definition(item)["MonitoringInputs"][0]["EndpointInput"]
    return endpoint_input


def _job_request(item: Json, endpoint: Endpoint, hour: int, context: CloudContext) -> Json:
    """Return the request of a job over the hour that ends at `hour`, as Model Monitor writes it."""
    definition, name = _definition(item), item["MonitoringScheduleName"]
    start, end = context.clock.to_real(hour - HOUR), context.clock.to_real(hour)
    inputs = [
        *_baseline_inputs(definition),
        *_capture_inputs(endpoint, _endpoint_input(item)["LocalPath"], start, end),
    ]
    output = definition["MonitoringOutputConfig"]["MonitoringOutputs"][0]["S3Output"]
    folder = f"{endpoint.name}/{name}/{datetime.fromtimestamp(hour - HOUR, UTC):%Y/%m/%d/%H}"
    environment = {
        "dataset_format": FORMAT,
        "dataset_source": _endpoint_input(item)["LocalPath"],
        "output_path": output["LocalPath"],
        "baseline_statistics": f"{BASELINE}/stats/{_file_name(definition, 'StatisticsResource')}",
        "baseline_constraints": f"{BASELINE}/constraints/{_file_name(definition, 'ConstraintsResource')}",
        "start_time": iso(start),
        "end_time": iso(end),
        "sagemaker_endpoint_name": endpoint.name,
        "sagemaker_monitoring_schedule_name": name,
    }
    uploaded = {**output, "S3Uri": f"{output['S3Uri'].rstrip('/')}/{folder}"}
    key = select(definition["MonitoringOutputConfig"], "KmsKeyId")
    return {
        "ProcessingJobName": f"model-monitoring-{uuid.uuid4().hex}",
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {**key, "Outputs": [{"OutputName": "result", "S3Output": uploaded}]},
        "ProcessingResources": definition["MonitoringResources"],
        "AppSpecification": {
            **select(definition["MonitoringAppSpecification"], "ImageUri"),
            "ContainerArguments": [context.project.commands.monitor],
        },
        "Environment": {**definition.get("Environment", {}), **environment},
        **select(definition, "StoppingCondition", "NetworkConfig", "RoleArn"),
    }


def _file_name(definition: Json, resource: str) -> str:
    """Return the file name of a part of the baseline."""
    return str(definition["BaselineConfig"][resource]["S3Uri"].rpartition("/")[2])


def _baseline_inputs(definition: Json) -> Iterator[Json]:
    """Yield the inputs that hold the baseline."""
    for name, resource in (("constraints", "ConstraintsResource"), ("stats", "StatisticsResource")):
        uri = definition["BaselineConfig"][resource]["S3Uri"]
        yield _job_input(f"baseline_{name}", uri, f"{BASELINE}/{name}")


def _capture_inputs(endpoint: Endpoint, path: str, start: float, end: float) -> Iterator[Json]:
    """Yield the folders with the data captured from `start` to `end`, in real epoch seconds."""
    config = endpoint.config.get("DataCaptureConfig")
    if config is None:
        raise validation_error(f"Endpoint {endpoint.name} captures no data.")
    root = config["DestinationS3Uri"].rstrip("/")
    folders = [f"{endpoint.name}/{endpoint.variant_name}/{folder}" for folder in _hour_folders(start, end)]
    existing = [folder for folder in folders if object_store.keys_under(f"{root}/{folder}/")]
    if not existing:
        raise validation_error(NO_DATA)
    for number, folder in enumerate(existing, 1):
        yield _job_input(f"endpoint_input_{number}", f"{root}/{folder}", f"{path}/{folder}")


def _hour_folders(start: float, end: float) -> list[str]:
    """Return the folders of captured data of a time span: they are named by this machine's hours."""
    first, last = int(start // HOUR), int((end - 1e-3) // HOUR)
    moments = (datetime.fromtimestamp(hour * HOUR, UTC) for hour in range(first, last + 1))
    return [f"{moment:%Y/%m/%d/%H}" for moment in moments]


def _job_input(name: str, uri: str, path: str) -> dict[str, Any]:
    """Return an input of a processing job."""
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source}
