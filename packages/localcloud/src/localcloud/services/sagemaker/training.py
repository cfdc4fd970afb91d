"""Training jobs."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from localcloud.core import object_store, protocol
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.hosts import deliver, objects_of
from localcloud.services.sagemaker.jobs import Job
from localcloud.services.sagemaker.tags import chosen

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.hosts import Host

CHECKPOINTS = "/opt/ml/checkpoints/"
MESSAGES = {
    "Starting": "Starting the training job",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class TrainingJob(Job):
    """A job that trains a model: channels in, model.tar.gz out."""

    kind, member, noun = "training-job", "TrainingJob", "training job"
    summarised = ("TrainingEndTime", "SecondaryStatus")

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Refuse what only AWS can do, and inputs that aren't there."""
        super().__init__(context, request)
        if "TrainingImage" not in request["AlgorithmSpecification"]:
            raise validation_error(
                "AlgorithmSpecification needs a TrainingImage; the local cloud has no algorithms."
            )
        for channel in request.get("InputDataConfig", []):
            check_channel(channel)
        self.stages = [
            {"Status": "Starting", "StartTime": self.created, "StatusMessage": MESSAGES["Starting"]}
        ]
        self.metrics: list[Json] = []
        self.context.entrypoint()

    def cluster(self) -> Json:
        """Return what the request says of the instances."""
        cluster: Json = self.request["ResourceConfig"]
        return cluster

    def command(self) -> list[str]:
        """Return what SageMaker runs: the image with the argument `train`, or what the request says."""
        specification = self.request["AlgorithmSpecification"]
        entrypoint = specification.get("ContainerEntrypoint") or self.context.entrypoint()
        return [*entrypoint, *specification.get("ContainerArguments", ["train"])]

    def environment(self) -> dict[str, str]:
        """Return the request's environment and the job's name."""
        return {
            **self.request.get("Environment", {}),
            "TRAINING_JOB_NAME": self.name,
            "TRAINING_JOB_ARN": self.arn,
        }

    def prepare(self) -> None:
        """Write the configuration and download each channel."""
        channels = {channel["ChannelName"]: channel for channel in self.request.get("InputDataConfig", [])}
        configs = {name: channel_config(channel) for name, channel in channels.items()}
        for host in self.hosts:
            for name in ("input/config", "input/data", "model", "output"):
                (host.base / name).mkdir(parents=True)
            configure(host, "hyperparameters", self.request.get("HyperParameters", {}))
            configure(host, "inputdataconfig", configs)
            configure(host, "resourceconfig", self._resources(host))
        for name, channel in channels.items():
            deliver(channel["DataSource"]["S3DataSource"], self.hosts, f"/opt/ml/input/data/{name}")
        self._bring_checkpoints()

    def publish(self) -> None:
        """Upload the output directory, when it holds something, and the model, which comes last."""
        self._read_metrics()
        self._keep_checkpoints()
        for host in self.hosts:
            (host.base / "output" / "failure").unlink(missing_ok=True)
        self._upload("output", "output.tar.gz")
        self._upload("model", "model.tar.gz")

    def salvage(self) -> None:
        """Upload the model of a job that ended in time when it was stopped, as AWS does."""
        self._read_metrics()
        self._keep_checkpoints()
        self._upload("model", "model.tar.gz")

    def failure(self, host: Host) -> str:
        """Return the text of the failure file in AWS's words."""
        self._read_metrics()
        self._keep_checkpoints()
        return f"AlgorithmError: {host.read('output/failure')}, exit code: {host.code}"

    def entered(self, stage: str, message: str = "") -> None:
        """Note a secondary status, and end the one before."""
        self.modified = now()
        self.stages[-1]["EndTime"] = self.modified
        text = message or MESSAGES.get(stage, stage)
        transition = {"Status": stage, "StartTime": self.modified, "StatusMessage": text}
        if stage in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
            transition["EndTime"] = self.modified
        self.stages.append(transition)

    def describe(self) -> Json:
        """Return what DescribeTrainingJob answers."""
        request = self.request
        description: Json = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.stages[-1]["Status"],
            "SecondaryStatusTransitions": [dict(stage) for stage in self.stages],
            "ModelArtifacts": {"S3ModelArtifacts": f"{self._destination()}/model.tar.gz"},
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "EnableNetworkIsolation": False,
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": False,
            **chosen(request, *described()),
        }
        if self.started:
            spent = max(1, round((self.ended or now()) - self.started))
            description |= {"TrainingStartTime": self.started, "TrainingTimeInSeconds": spent}
        if self.over.is_set() or self.status in ("Completed", "Failed", "Stopped"):
            description["TrainingEndTime"] = self.ended
            description["BillableTimeInSeconds"] = description.get("TrainingTimeInSeconds", 1)
        if self.metrics:
            description["FinalMetricDataList"] = self.metrics
        return description | ({"FailureReason": self.reason} if self.reason else {})

    def _resources(self, host: Host) -> Json:
        instance = self.cluster().get("InstanceType", "ml.m5.large")
        names = [each.name for each in self.hosts]
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": names}
        return {
            "current_host": host.name,
            "current_instance_type": instance,
            "current_group_name": "homogeneousCluster",
            "hosts": names,
            "instance_groups": [group],
            "network_interface_name": "lo",
        }

    def _destination(self) -> str:
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    def _upload(self, directory: str, archive: str) -> None:
        """Put what the instances left in a directory into one archive; of one name, the last's stays."""
        sources = [host.base / directory for host in self.hosts]
        if not any(path for source in sources for path in source.iterdir()):
            return
        key = self.request["OutputDataConfig"].get("KmsKeyId")
        object_store.upload(f"{self._destination()}/{archive}", object_store.archive(*sources), key)

    def _bring_checkpoints(self) -> None:
        if (config := self.request.get("CheckpointConfig")) is None:
            return
        uri = config["S3Uri"].rstrip("/") + "/"
        found = object_store.of_prefix(uri) if object_store.under(uri) else []
        for host in self.hosts:
            into = host.path(config.get("LocalPath", CHECKPOINTS))
            into.mkdir(parents=True, exist_ok=True)
            object_store.download(found, into)

    def _keep_checkpoints(self) -> None:
        if (config := self.request.get("CheckpointConfig")) is None:
            return
        for host in self.hosts:
            object_store.upload_directory(host.path(config.get("LocalPath", CHECKPOINTS)), config["S3Uri"])

    def _read_metrics(self) -> None:
        definitions = self.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        # The last value counts, and of several instances the first's.
        logs = [host.log for host in reversed(self.hosts)] if definitions else []
        text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
        for definition in definitions:
            found = re.findall(definition["Regex"], text)
            value = number(found[-1]) if found else None
            if value is not None:
                self.metrics.append({"MetricName": definition["Name"], "Value": value, "Timestamp": now()})


@cache
def described() -> tuple[str, ...]:
    """Return the members that DescribeTrainingJob may have."""
    shape: Any = protocol.model("sagemaker").operation_model("DescribeTrainingJob").output_shape
    return tuple(shape.members)


def check_channel(channel: Json) -> None:
    """Refuse a channel that the local cloud can't feed, or that has no data, as CreateTrainingJob does."""
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise validation_error(f"Channel {channel['ChannelName']}: the local cloud reads S3DataSource only.")
    for member, given in (
        ("InputMode", channel.get("InputMode", "File")),
        ("CompressionType", channel.get("CompressionType", "None")),
        ("RecordWrapperType", channel.get("RecordWrapperType", "None")),
    ):
        if given not in ("File", "None"):
            raise validation_error(
                f"Channel {channel['ChannelName']}: the local cloud has no {member} {given}."
            )
    try:
        objects_of(source["S3DataType"])
        empty = source["S3DataType"] == "S3Prefix" and not object_store.under(source["S3Uri"])
    except object_store.DataError as error:
        raise validation_error(str(error)) from None
    if empty:
        raise validation_error(object_store.no_objects(source["S3Uri"]))


def channel_config(channel: Json) -> Json:
    """Return what inputdataconfig.json says of a channel."""
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def configure(host: Host, name: str, content: Json) -> None:
    """Write a configuration file of an instance."""
    (host.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def number(found: Any) -> float | None:
    """Return what a metric's regular expression has found, as a number."""
    try:
        return float(found[0] if isinstance(found, tuple) else found)
    except ValueError:
        return None
