"""Processing jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.cloud import storage
from local.cloud.clock import now
from local.cloud.errors import validation_error
from local.cloud.sagemaker.jobs import Job, base_path, one_instance
from local.cloud.sagemaker.names import chosen
from local.cloud.sagemaker.training import download_of

if TYPE_CHECKING:
    from pathlib import Path

    from local.cloud.context import Context
    from local.cloud.service import Json

MESSAGE_LENGTH = 1024
CONFIGURED = (
    "ProcessingJobName",
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
)


class ProcessingJob(Job):
    """A job that turns inputs into outputs."""

    kind, member, noun = "processing-job", "ProcessingJob", "processing job"
    summarised = ("ProcessingEndTime", "FailureReason", "ExitMessage")

    def __init__(self, context: Context, request: Json) -> None:
        """Refuse what only AWS can do."""
        super().__init__(context, request)
        one_instance(request["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1))
        for given in request.get("ProcessingInputs", []):
            check_input(self.base, given)
        for output in self._outputs():
            check_output(self.base, output)
        self.message: str | None = None
        self.context.entrypoint()

    def command(self) -> list[str]:
        """Return what SageMaker runs: the image, or the entry point given, with the arguments given."""
        specification = self.request["AppSpecification"]
        entrypoint = specification.get("ContainerEntrypoint") or self.context.entrypoint()
        return [*entrypoint, *specification.get("ContainerArguments", [])]

    def environment(self) -> dict[str, str]:
        """Return the request's environment and the job's ARN."""
        return {**self.request.get("Environment", {}), "PROCESSING_JOB_ARN": self.arn}

    def prepare(self) -> None:
        """Write the configuration, download each input and make the directories of the outputs."""
        config = {"ProcessingJobArn": self.arn, **chosen(self.request, *CONFIGURED)}
        self._configure("processingjobconfig", config)
        self._configure("resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"]})
        (self.base / "output").mkdir()
        for given in self.request.get("ProcessingInputs", []):
            source = given["S3Input"]
            into = base_path(self.base, source["LocalPath"])
            into.mkdir(parents=True, exist_ok=True)
            download_of(source["S3DataType"])(source["S3Uri"], into)
        for output in self._outputs():
            base_path(self.base, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)

    def publish(self) -> None:
        """Upload each output's directory."""
        self._read_message()
        key = self.request.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        for output in self._outputs():
            target = output["S3Output"]
            storage.upload_directory(base_path(self.base, target["LocalPath"]), target["S3Uri"], key)

    def failure(self, code: int) -> str:
        """Return the reason in AWS's words; what the container says of it is the exit message."""
        self._read_message()
        path = self.base / "output" / "failure"
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            return f"AlgorithmError: {text}, exit code: {code}"
        return f"AlgorithmError: See job logs for more information, exit code: {code}"

    def entered(self, stage: str, message: str = "") -> None:  # noqa: ARG002  # processing jobs have one status
        """Note the time of the change."""
        self.modified = now()

    def describe(self) -> Json:
        """Return what DescribeProcessingJob answers."""
        description: Json = {
            "ProcessingJobName": self.name,
            "ProcessingJobArn": self.arn,
            "ProcessingJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            **chosen(self.request, *CONFIGURED),
        }
        if self.started:
            description["ProcessingStartTime"] = self.started
        if self.status in ("Completed", "Failed", "Stopped"):
            description["ProcessingEndTime"] = self.ended
        if self.message:
            description["ExitMessage"] = self.message
        return description | ({"FailureReason": self.reason} if self.reason else {})

    def _outputs(self) -> list[Json]:
        return list(self.request.get("ProcessingOutputConfig", {}).get("Outputs", []))

    def _configure(self, name: str, content: Json) -> None:
        path = self.base / "config" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")

    def _read_message(self) -> None:
        path = self.base / "output" / "message"
        if path.is_file():
            self.message = path.read_text(encoding="utf-8", errors="replace").strip()[:MESSAGE_LENGTH] or None


def check_input(base: Path, given: Json) -> None:
    """Refuse an input that the local cloud can't download."""
    name, source = given["InputName"], given.get("S3Input")
    if source is None or "LocalPath" not in source or source.get("S3DataType") is None:
        raise validation_error(
            f"Input {name} needs an S3Input with S3DataType and LocalPath for the local cloud."
        )
    if source.get("S3InputMode", "File") != "File" or source.get("S3CompressionType", "None") != "None":
        raise validation_error(
            f"Input {name}: the local cloud has S3InputMode File, without compression, only."
        )
    base_path(base, source["LocalPath"])


def check_output(base: Path, output: Json) -> None:
    """Refuse an output that the local cloud can't upload."""
    target = output.get("S3Output")
    if target is None or target.get("S3UploadMode") != "EndOfJob":
        raise validation_error(
            f"Output {output['OutputName']}: the local cloud has S3Output, EndOfJob, only."
        )
    base_path(base, target["LocalPath"])
