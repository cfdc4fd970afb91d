"""Processing jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.hosts import base_path, deliver
from localcloud.services.sagemaker.jobs import Job
from localcloud.services.sagemaker.tags import chosen

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.hosts import Host

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

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Refuse what only AWS can do."""
        super().__init__(context, request)
        for given in request.get("ProcessingInputs", []):
            check_input(self.base, given)
        for output in self._outputs():
            check_output(self.base, output)
        self.message: str | None = None
        self.context.entrypoint()

    def cluster(self) -> Json:
        """Return what the request says of the instances."""
        cluster: Json = self.request["ProcessingResources"]["ClusterConfig"]
        return cluster

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
        names = [host.name for host in self.hosts]
        for host in self.hosts:
            configure(host, "processingjobconfig", config)
            configure(host, "resourceconfig", {"current_host": host.name, "hosts": names})
            (host.base / "output").mkdir()
            for output in self._outputs():
                host.path(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
        for given in self.request.get("ProcessingInputs", []):
            deliver(given["S3Input"], self.hosts, given["S3Input"]["LocalPath"])

    def publish(self) -> None:
        """Upload each output's directory; of files of one name, the last instance's stays."""
        self._read_message()
        key = self.request.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        for output in self._outputs():
            target = output["S3Output"]
            for host in self.hosts:
                object_store.upload_directory(host.path(target["LocalPath"]), target["S3Uri"], key)

    def failure(self, host: Host) -> str:
        """Return the reason in AWS's words; what the container says of it is the exit message."""
        self._read_message()
        text = host.read("output/failure") or "See job logs for more information"
        return f"AlgorithmError: {text}, exit code: {host.code}"

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

    def _read_message(self) -> None:
        """Take the message of the instance that has failed, or else of the first that left one."""
        asked = (self._failed,) if self._failed else self.hosts
        told = (host.read("output/message")[:MESSAGE_LENGTH] for host in asked)
        self.message = next(filter(None, told), None)


def configure(host: Host, name: str, content: Json) -> None:
    """Write a configuration file of an instance."""
    path = host.base / "config" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


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
