"""Schedules of Model Monitor: each hour of the clock that runs faster, what an endpoint captured is analysed.

The analyzer is an image that runs on AWS alone. Here the project's own monitor does its work: it is started
with the environment that Model Monitor gives a container, and leaves the analyzer's files, words and metrics.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack, object_store
from localcloud.core.clock import MONITORING_DELAY, iso, now
from localcloud.core.errors import ServiceError, validation_error
from localcloud.services.sagemaker.models import Catalogue
from localcloud.services.sagemaker.processing import ProcessingJob
from localcloud.services.sagemaker.tags import chosen, paged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Operation
    from localcloud.services.sagemaker.endpoints import Endpoint, Endpoints
    from localcloud.services.sagemaker.jobs import Jobs

logger = logging.getLogger(__name__)
HOUR = 3600
HOURLY = "cron(0 * ? * * *)"
NAMESPACE = "aws/sagemaker/Endpoints/data-metrics"
FORMAT = json.dumps({"sagemakerCaptureJson": {"captureIndexNames": ["endpointInput", "endpointOutput"]}})
BASELINE = "/opt/ml/processing/baseline"
LISTED = {"MonitoringScheduleName", "ScheduledTimeAfter", "MaxResults", "NextToken"}
NO_DATA = "Job inputs had no data"
VIOLATED = "CompletedWithViolations"


class MonitoringJob(ProcessingJob):
    """A processing job that a schedule has started: SageMaker publishes what metrics it leaves."""

    def __init__(self, context: CloudContext, request: Json, schedule: str) -> None:
        """Take a valid request and the ARN of the schedule."""
        super().__init__(context, request)
        self.schedule = schedule

    def describe(self) -> Json:
        """Return what DescribeProcessingJob answers."""
        return {**super().describe(), "MonitoringScheduleArn": self.schedule}

    def publish(self) -> None:
        """Upload the outputs, and publish the metrics that were handed over."""
        super().publish()
        left = [host.base / "output" / "metrics" / "cloudwatch" for host in self.hosts]
        for path in (path for folder in left for path in sorted(folder.glob("*.jsonl"))):
            if data := [metric(line) for line in path.read_text(encoding="utf-8").splitlines() if line]:
                ministack.put_metrics(NAMESPACE, data)

    @property
    def outcome(self) -> str:
        """The status of the execution: a job that found violations has ended well, and says so."""
        violated = (self.message or "").startswith(VIOLATED)
        return VIOLATED if self.status == "Completed" and violated else self.status


def metric(line: str) -> Json:
    """Return a metric as PutMetricData takes it, of a line that a container left."""
    given: Json = json.loads(line)
    return {**given, "Timestamp": datetime.fromisoformat(given["Timestamp"]).timestamp()}


@dataclass
class Execution:
    """One run of a schedule: its job, or why there is none."""

    scheduled: float
    endpoint: str
    began: float = field(default_factory=now)
    job: MonitoringJob | None = None
    failure: str = ""

    @property
    def busy(self) -> bool:
        """Whether its job has not ended."""
        return self.job is not None and not self.job.over.is_set()

    def summary(self, schedule: str) -> Json:
        """Return what a list of executions says of it."""
        reason = self.job.reason if self.job else self.failure
        known: Json = {
            "MonitoringScheduleName": schedule,
            "ScheduledTime": self.scheduled,
            "CreationTime": self.began,
            "LastModifiedTime": self.job.modified if self.job else self.began,
            "MonitoringExecutionStatus": self.job.outcome if self.job else "Failed",
            "EndpointName": self.endpoint,
            "MonitoringType": "DataQuality",
        }
        known |= {"ProcessingJobArn": self.job.arn} if self.job else {}
        return known | ({"FailureReason": reason} if reason else {})


@dataclass
class Schedules(Catalogue):
    """The schedules, each with a timer to its next analysis, and what became of the earlier ones."""

    member: str = "MonitoringSchedule"
    kind: str = "monitoring-schedule"
    noun: str = "monitoring schedule"
    endpoints: Endpoints = field(kw_only=True)
    processing: Jobs = field(kw_only=True)
    executions: dict[str, list[Execution]] = field(default_factory=dict)
    timers: dict[str, threading.Timer] = field(default_factory=dict)
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

    def create(self, request: Json) -> Json:
        """Keep a schedule, whose first analysis is that of the hour that has begun."""
        check(request["MonitoringScheduleConfig"])
        made = super().create({**request, "MonitoringScheduleStatus": "Scheduled"})
        name, clock = request["MonitoringScheduleName"], self.context.clock
        self.executions[name] = []
        self._plan(name, int(clock.to_simulated(now()) // HOUR + 1) * HOUR)
        return made

    def update(self, request: Json) -> Json:
        """Take another configuration from the next analysis on."""
        check(request["MonitoringScheduleConfig"])
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
            "EndpointName": watched(item)["EndpointName"],
            **item,
        }
        if self.executions[name]:
            description["LastMonitoringExecutionSummary"] = self.executions[name][-1].summary(name)
        return description

    def delete(self, request: Json) -> Json:
        """Forget a schedule with its executions; a job that runs goes on to its end."""
        name = request["MonitoringScheduleName"]
        with self.lock:
            super().delete(request)
            self.timers.pop(name).cancel()
            del self.executions[name]
        return {}

    def list_executions(self, request: Json) -> Json:
        """List the executions of a schedule, the newest first."""
        strange = sorted(request.keys() - LISTED)
        if strange or "MonitoringScheduleName" not in request:
            raise validation_error(
                "The local cloud lists executions by MonitoringScheduleName and ScheduledTimeAfter only."
            )
        name = request["MonitoringScheduleName"]
        self.find(name)
        found = [
            each.summary(name)
            for each in reversed(self.executions[name])
            if each.scheduled >= request.get("ScheduledTimeAfter", 0)
        ]
        return paged(request, found, "MonitoringExecutionSummaries")

    def close(self) -> None:
        """Start nothing any more."""
        with self.lock:
            self.closed = True
            for timer in self.timers.values():
                timer.cancel()

    def _plan(self, name: str, hour: int) -> None:
        """Wait until capture of the hour before that one has come; hours are those of the faster clock."""
        wait = self.context.clock.to_real(hour + MONITORING_DELAY) - now()
        timer = threading.Timer(max(0.0, wait), ministack.in_context(lambda: self._come(name, hour)))
        timer.daemon = True
        with self.lock:
            if not self.closed and name in self.items:
                self.timers[name] = timer
                timer.start()

    def _come(self, name: str, hour: int) -> None:
        """Analyse the hour before that one, unless the last analysis is still busy, and plan the next."""
        with self.lock:
            item, before = self.items.get(name), self.executions.get(name, [])
        if item is None:
            return
        if not any(each.busy for each in before[-1:]):
            with ministack.scope(self.context.region):
                before.append(self._execute(item, hour))
        self._plan(name, hour + HOUR)

    def _execute(self, item: Json, hour: int) -> Execution:
        """Start the job over one hour, or say why there is none."""
        execution = Execution(self.context.clock.to_real(hour), watched(item)["EndpointName"])
        try:
            endpoint = self.endpoints.find(execution.endpoint)
            request = job_request(item, endpoint, hour, self.context)
            execution.job = MonitoringJob(self.context, request, item["MonitoringScheduleArn"])
            self.processing.begin(execution.job, [])
        except (ServiceError, object_store.DataError) as error:
            execution.job = None
            execution.failure = getattr(error, "message", str(error))
            logger.info("%s: %s", item["MonitoringScheduleName"], execution.failure)
        return execution


def check(config: Json) -> None:
    """Refuse a schedule that the local cloud does not run."""
    definition = config.get("MonitoringJobDefinition", {})
    inputs = definition.get("MonitoringInputs", [])
    if [list(each) for each in inputs] != [["EndpointInput"]] or "BaselineConfig" not in definition:
        raise validation_error(
            "The local cloud takes a schedule with a MonitoringJobDefinition of its own, which has one"
            " EndpointInput and a BaselineConfig."
        )
    if config.get("ScheduleConfig", {}).get("ScheduleExpression") != HOURLY:
        raise validation_error(f"The local cloud monitors hourly: ScheduleExpression must be {HOURLY}.")


def definition_of(item: Json) -> Json:
    """Return what a schedule says of its jobs."""
    definition: Json = item["MonitoringScheduleConfig"]["MonitoringJobDefinition"]
    return definition


def watched(item: Json) -> Json:
    """Return the input of a schedule: which endpoint, and where its data go."""
    found: Json = definition_of(item)["MonitoringInputs"][0]["EndpointInput"]
    return found


def job_request(item: Json, endpoint: Endpoint, hour: int, context: CloudContext) -> Json:
    """Return the request of a job over the hour that ends at `hour`, as Model Monitor writes it."""
    definition, name = definition_of(item), item["MonitoringScheduleName"]
    start, end = context.clock.to_real(hour - HOUR), context.clock.to_real(hour)
    inputs = [*baseline_inputs(definition), *capture_inputs(endpoint, watched(item)["LocalPath"], start, end)]
    output = definition["MonitoringOutputConfig"]["MonitoringOutputs"][0]["S3Output"]
    folder = f"{endpoint.name}/{name}/{datetime.fromtimestamp(hour - HOUR, UTC):%Y/%m/%d/%H}"
    own = {
        "dataset_format": FORMAT,
        "dataset_source": watched(item)["LocalPath"],
        "output_path": output["LocalPath"],
        "baseline_statistics": f"{BASELINE}/stats/{basename(definition, 'StatisticsResource')}",
        "baseline_constraints": f"{BASELINE}/constraints/{basename(definition, 'ConstraintsResource')}",
        "start_time": iso(start),
        "end_time": iso(end),
        "sagemaker_endpoint_name": endpoint.name,
        "sagemaker_monitoring_schedule_name": name,
    }
    uploaded = {**output, "S3Uri": f"{output['S3Uri'].rstrip('/')}/{folder}"}
    key = chosen(definition["MonitoringOutputConfig"], "KmsKeyId")
    return {
        "ProcessingJobName": f"model-monitoring-{uuid.uuid4().hex}",
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {**key, "Outputs": [{"OutputName": "result", "S3Output": uploaded}]},
        "ProcessingResources": definition["MonitoringResources"],
        "AppSpecification": {
            **chosen(definition["MonitoringAppSpecification"], "ImageUri"),
            "ContainerArguments": [context.project.commands.monitor],
        },
        "Environment": {**definition.get("Environment", {}), **own},
        **chosen(definition, "StoppingCondition", "NetworkConfig", "RoleArn"),
    }


def basename(definition: Json, resource: str) -> str:
    """Return the file's name of a part of the baseline."""
    return str(definition["BaselineConfig"][resource]["S3Uri"].rpartition("/")[2])


def baseline_inputs(definition: Json) -> Iterator[Json]:
    """Yield the inputs that hold the baseline."""
    for name, resource in (("constraints", "ConstraintsResource"), ("stats", "StatisticsResource")):
        uri = definition["BaselineConfig"][resource]["S3Uri"]
        yield job_input(f"baseline_{name}", uri, f"{BASELINE}/{name}")


def capture_inputs(endpoint: Endpoint, path: str, start: float, end: float) -> Iterator[Json]:
    """Yield the folders with what was captured from `start` to `end`; raise ServiceError without any."""
    config = endpoint.config.get("DataCaptureConfig")
    if config is None:
        raise validation_error(f"Endpoint {endpoint.name} captures no data.")
    root = config["DestinationS3Uri"].rstrip("/")
    folders = [f"{endpoint.name}/{endpoint.variant_name}/{folder}" for folder in hours(start, end)]
    found = [folder for folder in folders if object_store.under(f"{root}/{folder}/")]
    if not found:
        raise validation_error(NO_DATA)
    for number, folder in enumerate(found, 1):
        yield job_input(f"endpoint_input_{number}", f"{root}/{folder}", f"{path}/{folder}")


def hours(start: float, end: float) -> list[str]:
    """Return the folders of capture for a time: captures lie by the hour of this machine."""
    first, last = int(start // HOUR), int((end - 1e-3) // HOUR)
    moments = (datetime.fromtimestamp(hour * HOUR, UTC) for hour in range(first, last + 1))
    return [f"{moment:%Y/%m/%d/%H}" for moment in moments]


def job_input(name: str, uri: str, path: str) -> dict[str, Any]:
    """Return an input of a processing job."""
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": source}
