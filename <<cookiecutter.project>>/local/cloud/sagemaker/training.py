"""Training jobs."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from local.cloud import protocol, storage
from local.cloud.clock import now
from local.cloud.errors import validation_error
from local.cloud.sagemaker.jobs import Job, base_path, one_instance
from local.cloud.sagemaker.names import chosen

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud.context import Context
    from local.cloud.service import Json

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

    def __init__(self, context: Context, request: Json) -> None:
        """Refuse what only AWS can do, and inputs that aren't there."""
        super().__init__(context, request)
        one_instance(request["ResourceConfig"].get("InstanceCount", 1))
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
        for name in ("input/config", "input/data", "model", "output"):
            (self.base / name).mkdir(parents=True)
        channels = {channel["ChannelName"]: channel for channel in self.request.get("InputDataConfig", [])}
        self._configure("hyperparameters", self.request.get("HyperParameters", {}))
        self._configure(
            "inputdataconfig", {name: channel_config(channel) for name, channel in channels.items()}
        )
        self._configure("resourceconfig", self._resources())
        for name, channel in channels.items():
            source = channel["DataSource"]["S3DataSource"]
            into = self.base / "input" / "data" / name
            into.mkdir()
            download = download_of(source["S3DataType"])
            download(source["S3Uri"], into)

        if checkpoints := self.request.get("CheckpointConfig"):
            into = self._checkpoints()
            into.mkdir(parents=True, exist_ok=True)
            if storage.under(checkpoints["S3Uri"]):
                storage.download_prefix(checkpoints["S3Uri"].rstrip("/") + "/", into)

    def publish(self) -> None:
        """Upload the output directory, when it holds something, and the model, which comes last."""
        self._read_metrics()
        self._keep_checkpoints()
        (self.base / "output" / "failure").unlink(missing_ok=True)
        self._upload("output", "output.tar.gz")
        self._upload("model", "model.tar.gz")

    def salvage(self) -> None:
        """Upload the model of a job that ended in time when it was stopped, as AWS does."""
        self._read_metrics()
        self._keep_checkpoints()
        self._upload("model", "model.tar.gz")

    def failure(self, code: int) -> str:
        """Return the text of the failure file in AWS's words."""
        self._read_metrics()
        self._keep_checkpoints()
        path = self.base / "output" / "failure"
        text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
        return f"AlgorithmError: {text}, exit code: {code}"

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

    def _configure(self, name: str, content: Json) -> None:
        (self.base / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")

    def _resources(self) -> Json:
        instance = self.request["ResourceConfig"].get("InstanceType", "ml.m5.large")
        group = {"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": ["algo-1"]}
        return {
            "current_host": "algo-1",
            "current_instance_type": instance,
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "instance_groups": [group],
            "network_interface_name": "lo",
        }

    def _destination(self) -> str:
        return f"{self.request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    def _upload(self, directory: str, archive: str) -> None:
        source = self.base / directory
        if not any(source.iterdir()):
            return
        key = self.request["OutputDataConfig"].get("KmsKeyId")
        storage.upload(f"{self._destination()}/{archive}", storage.archive(source), key)

    def _checkpoints(self) -> Path:
        config = self.request["CheckpointConfig"]
        return base_path(self.base, config.get("LocalPath", "/opt/ml/checkpoints/"))

    def _keep_checkpoints(self) -> None:
        if "CheckpointConfig" in self.request:
            storage.upload_directory(self._checkpoints(), self.request["CheckpointConfig"]["S3Uri"])

    def _read_metrics(self) -> None:
        definitions = self.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        text = self.log.read_text(encoding="utf-8", errors="replace") if definitions else ""
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
        download_of(source["S3DataType"])
        empty = source["S3DataType"] == "S3Prefix" and not storage.under(source["S3Uri"])
    except storage.DataError as error:
        raise validation_error(str(error)) from None
    if empty:
        raise validation_error(storage.no_objects(source["S3Uri"]))


def channel_config(channel: Json) -> Json:
    """Return what inputdataconfig.json says of a channel."""
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def download_of(data_type: str) -> Any:
    """Return the function that downloads a kind of S3 data."""
    known = {"S3Prefix": storage.download_prefix, "ManifestFile": storage.download_manifest}
    if data_type not in known:
        raise storage.DataError(f"the local cloud has no S3DataType {data_type}")
    return known[data_type]


def number(found: Any) -> float | None:
    """Return what a metric's regular expression has found, as a number."""
    try:
        return float(found[0] if isinstance(found, tuple) else found)
    except ValueError:
        return None
