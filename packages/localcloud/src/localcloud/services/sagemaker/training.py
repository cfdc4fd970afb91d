"""Training jobs."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from localcloud.core import object_store, protocol
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker import images
from localcloud.services.sagemaker.hosts import deliver, list_function
from localcloud.services.sagemaker.jobs import Job
from localcloud.services.sagemaker.pagination import select
from localcloud.services.sagemaker.scripts import Program

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.hosts import Host

CHECKPOINTS = "/opt/ml/checkpoints/"
HYPERPARAMETERS = "input/config/hyperparameters.json"
# The channels into which the SageMaker SDK puts a script and the programs that start it.
CODE_CHANNELS = ("code", "sm_drivers")
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
    summary_members = ("TrainingEndTime", "SecondaryStatus")
    kept = (*Job.kept, "stages", "metrics")

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Begin with the first stage.

        Raises:
            ServiceError: the request has no image, or no instances.
        """
        _check_algorithm(request)
        super().__init__(context, request)
        self.stages = [
            {"Status": "Starting", "StartTime": self.created, "StatusMessage": MESSAGES["Starting"]}
        ]
        self.metrics: list[Json] = []

    def check(self) -> None:
        """Check that the local cloud can run the request, and that its inputs exist.

        Raises:
            ServiceError: the request has an input that the local cloud can't download.
        """
        for channel in self.request.get("InputDataConfig", []):
            _check_channel(channel)
        self.context.entrypoint()

    def cluster(self) -> Json:
        """Return the request's settings of the instances."""
        cluster: Json = self.request["ResourceConfig"]
        return cluster

    def program(self) -> Program:
        """Return the script of the request, or the image's own program with the argument `train`."""
        specification = self.request["AlgorithmSpecification"]
        channels = [channel["ChannelName"] for channel in self.request.get("InputDataConfig", [])]
        return Program(
            image=specification["TrainingImage"],
            entrypoint=specification.get("ContainerEntrypoint", []),
            arguments=specification.get("ContainerArguments", ["train"]),
            code=[HYPERPARAMETERS, *(f"input/data/{name}" for name in channels if name in CODE_CHANNELS)],
        )

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
        configs = {name: _channel_config(channel) for name, channel in channels.items()}
        for host in self.hosts:
            for name in ("input/config", "input/data", "model", "output"):
                (host.folder / name).mkdir(parents=True)
            host.write_json(HYPERPARAMETERS, self.request.get("HyperParameters", {}))
            host.write_json("input/config/inputdataconfig.json", configs)
            host.write_json("input/config/resourceconfig.json", self._resources(host))
        for name, channel in channels.items():
            deliver(channel["DataSource"]["S3DataSource"], self.hosts, f"/opt/ml/input/data/{name}")
        self._download_checkpoints()

    def publish(self) -> None:
        """Upload the output directory, unless it is empty, and the model, which comes last."""
        self._read_metrics()
        self._upload_checkpoints()
        for host in self.hosts:
            (host.folder / "output" / "failure").unlink(missing_ok=True)
        self._upload("output", "output.tar.gz")
        self._upload("model", "model.tar.gz")

    def publish_stopped(self) -> None:
        """Upload the model of a job that was stopped and has ended in time, as AWS does."""
        self._read_metrics()
        self._upload_checkpoints()
        self._upload("model", "model.tar.gz")

    def failure(self, host: Host) -> str:
        """Return the text of the failure file in AWS's words."""
        self._read_metrics()
        self._upload_checkpoints()
        return f"AlgorithmError: {host.read('output/failure')}, exit code: {host.code}"

    def record_stage(self, stage: str, message: str = "") -> None:
        """Record a secondary status, and the end of the one before."""
        self.modified = now()
        self.stages[-1]["EndTime"] = self.modified
        text = message or MESSAGES.get(stage, stage)
        transition = {"Status": stage, "StartTime": self.modified, "StatusMessage": text}
        if stage in ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded"):
            transition["EndTime"] = self.modified
        self.stages.append(transition)

    def describe(self) -> Json:
        """Return the answer of DescribeTrainingJob."""
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
            **select(request, *_description_members()),
        }
        if self.started:
            seconds = max(1, round((self.ended or now()) - self.started))
            description |= {"TrainingStartTime": self.started, "TrainingTimeInSeconds": seconds}
        if self.finished.is_set() or self.status in ("Completed", "Failed", "Stopped"):
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
        """Upload a directory of all instances as one archive; a file of the last instance replaces others."""
        sources = [host.folder / directory for host in self.hosts]
        if not any(path for source in sources for path in source.iterdir()):
            return
        key = self.request["OutputDataConfig"].get("KmsKeyId")
        object_store.upload(f"{self._destination()}/{archive}", object_store.archive(*sources), key)

    def _download_checkpoints(self) -> None:
        if (config := self.request.get("CheckpointConfig")) is None:
            return
        uri = config["S3Uri"].rstrip("/") + "/"
        objects = object_store.objects_of_prefix(uri) if object_store.keys_under(uri) else []
        for host in self.hosts:
            into = host.path(config.get("LocalPath", CHECKPOINTS))
            into.mkdir(parents=True, exist_ok=True)
            object_store.download(objects, into)

    def _upload_checkpoints(self) -> None:
        if (config := self.request.get("CheckpointConfig")) is None:
            return
        for host in self.hosts:
            object_store.upload_directory(host.path(config.get("LocalPath", CHECKPOINTS)), config["S3Uri"])

    def _read_metrics(self) -> None:
        definitions = self.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        # The last match counts: the first instance's log is the last one.
        logs = [host.log for host in reversed(self.hosts)] if definitions else []
        text = "\n".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
        for definition in definitions:
            matches = re.findall(definition["Regex"], text)
            value = _number(matches[-1]) if matches else None
            if value is not None:
                self.metrics.append({"MetricName": definition["Name"], "Value": value, "Timestamp": now()})


@cache
def _description_members() -> tuple[str, ...]:
    """Return the members that DescribeTrainingJob may have."""
    shape: Any = protocol.model("sagemaker").operation_model("DescribeTrainingJob").output_shape
    return tuple(shape.members)


def _check_algorithm(request: Json) -> None:
    """Check that the request has an algorithm and instances, and an algorithm that can run here."""
    # botocore's model does not require them, because jobs without servers have neither.
    for member in ("AlgorithmSpecification", "ResourceConfig"):
        if member not in request:
            raise validation_error(
                f"1 validation error detected: Value null at '{member[0].lower()}{member[1:]}' failed to "
                "satisfy constraint: Member must not be null"
            )
    specification = request["AlgorithmSpecification"]
    if "TrainingImage" not in specification:
        raise validation_error(
            "AlgorithmSpecification needs a TrainingImage; the local cloud has no algorithms."
        )
    if not specification.get("ContainerEntrypoint"):
        images.check_program(
            specification["TrainingImage"],
            f"Training job {request['TrainingJobName']}",
            "Train by a script of your own (ContainerEntrypoint, or ModelTrainer's source_code), or take the "
            "image of this project.",
        )


def _check_channel(channel: Json) -> None:
    """Check that the local cloud can download a channel, and, as CreateTrainingJob does, that it has data."""
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise validation_error(f"Channel {channel['ChannelName']}: the local cloud reads S3DataSource only.")
    for member, value in (
        ("InputMode", channel.get("InputMode", "File")),
        ("CompressionType", channel.get("CompressionType", "None")),
        ("RecordWrapperType", channel.get("RecordWrapperType", "None")),
    ):
        if value not in ("File", "None"):
            raise validation_error(
                f"Channel {channel['ChannelName']}: the local cloud has no {member} {value}."
            )
    try:
        list_function(source["S3DataType"])
        empty = source["S3DataType"] == "S3Prefix" and not object_store.keys_under(source["S3Uri"])
    except object_store.DataError as error:
        raise validation_error(str(error)) from None
    if empty:
        raise validation_error(object_store.no_objects(source["S3Uri"]))


def _channel_config(channel: Json) -> Json:
    """Return a channel's entry in inputdataconfig.json."""
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def _number(match: Any) -> float | None:
    """Return the number that a metric's regular expression has matched; None if it is not a number."""
    try:
        return float(match[0] if isinstance(match, tuple) else match)
    except ValueError:
        return None
