"""Processing jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker import images
from localcloud.services.sagemaker.hosts import deliver, path_in
from localcloud.services.sagemaker.jobs import Job
from localcloud.services.sagemaker.pagination import select
from localcloud.services.sagemaker.scripts import Program

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.sagemaker.hosts import Host

MAX_MESSAGE_LENGTH = 1024
# The inputs in which the SageMaker SDK puts a script and the program that starts it.
CODE_INPUTS = ("code", "entrypoint")
ANALYZER = "sagemaker-model-monitor-analyzer"  # the project's own monitor does its work
CONFIGURATION_MEMBERS = (
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
    summary_members = ("ProcessingEndTime", "FailureReason", "ExitMessage")
    kept = (*Job.kept, "message")

    def __init__(self, context: CloudContext, request: Json) -> None:
        """Begin without an exit message."""
        super().__init__(context, request)
        self.message: str | None = None

    def check(self) -> None:
        """Check that the local cloud can run the request."""
        specification = self.request["AppSpecification"]
        if not specification.get("ContainerEntrypoint") and ANALYZER not in specification["ImageUri"]:
            images.check_program(
                specification["ImageUri"],
                f"Processing job {self.name}",
                "Run a script of your own (ContainerEntrypoint, or ScriptProcessor), or take the image of "
                "this project.",
            )
        for job_input in self.request.get("ProcessingInputs", []):
            _check_input(self.folder, job_input)
        for output in self._outputs():
            _check_output(self.folder, output)
        self.context.entrypoint()

    def cluster(self) -> Json:
        """Return the request's settings of the instances."""
        cluster: Json = self.request["ProcessingResources"]["ClusterConfig"]
        return cluster

    def program(self) -> Program:
        """Return the script of the request, or the image's own program, with the request's arguments."""
        specification = self.request["AppSpecification"]
        sources = [each["S3Input"] for each in self.request.get("ProcessingInputs", []) if is_code(each)]
        return Program(
            image=specification["ImageUri"],
            entrypoint=specification.get("ContainerEntrypoint", []),
            arguments=specification.get("ContainerArguments", []),
            code=[source["LocalPath"].removeprefix("/opt/ml/") for source in sources],
        )

    def environment(self) -> dict[str, str]:
        """Return the request's environment and the job's ARN."""
        return {**self.request.get("Environment", {}), "PROCESSING_JOB_ARN": self.arn}

    def prepare(self) -> None:
        """Write the configuration, download each input and make the directories of the outputs."""
        config = {"ProcessingJobArn": self.arn, **select(self.request, *CONFIGURATION_MEMBERS)}
        names = [host.name for host in self.hosts]
        for host in self.hosts:
            host.write_json("config/processingjobconfig.json", config)
            host.write_json("config/resourceconfig.json", {"current_host": host.name, "hosts": names})
            (host.folder / "output").mkdir()
            for output in self._outputs():
                host.path(output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
        for job_input in self.request.get("ProcessingInputs", []):
            deliver(job_input["S3Input"], self.hosts, job_input["S3Input"]["LocalPath"])

    def publish(self) -> None:
        """Upload each output's directory; among files of one name, the last instance's stays."""
        self._read_message()
        key = self.request.get("ProcessingOutputConfig", {}).get("KmsKeyId")
        for output in self._outputs():
            target = output["S3Output"]
            for host in self.hosts:
                object_store.upload_directory(host.path(target["LocalPath"]), target["S3Uri"], key)

    def failure(self, host: Host) -> str:
        """Return the reason in AWS's words; the container's own words are the exit message."""
        self._read_message()
        text = host.read("output/failure") or "See job logs for more information"
        return f"AlgorithmError: {text}, exit code: {host.code}"

    def record_stage(self, stage: str, message: str = "") -> None:  # noqa: ARG002 - processing has no stages
        """Record the time of the change."""
        self.modified = now()

    def describe(self) -> Json:
        """Return the answer of DescribeProcessingJob."""
        description: Json = {
            "ProcessingJobName": self.name,
            "ProcessingJobArn": self.arn,
            "ProcessingJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            **select(self.request, *CONFIGURATION_MEMBERS),
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
        """Read the exit message of the failed instance, or of the first instance that has left one."""
        hosts = (self._failed,) if self._failed else self.hosts
        messages = (host.read("output/message")[:MAX_MESSAGE_LENGTH] for host in hosts)
        self.message = next(filter(None, messages), None)


def is_code(job_input: Json) -> bool:
    """Return whether an input holds a script, not data."""
    return job_input["InputName"] in CODE_INPUTS


def _check_input(folder: Path, job_input: Json) -> None:
    """Check that the local cloud can download an input."""
    name, source = job_input["InputName"], job_input.get("S3Input")
    if source is None or "LocalPath" not in source or source.get("S3DataType") is None:
        raise validation_error(
            f"Input {name} needs an S3Input with S3DataType and LocalPath for the local cloud."
        )
    if source.get("S3InputMode", "File") != "File" or source.get("S3CompressionType", "None") != "None":
        raise validation_error(
            f"Input {name}: the local cloud has S3InputMode File, without compression, only."
        )
    path_in(folder, source["LocalPath"])


def _check_output(folder: Path, output: Json) -> None:
    """Check that the local cloud can upload an output."""
    target = output.get("S3Output")
    if target is None or target.get("S3UploadMode") != "EndOfJob":
        raise validation_error(
            f"Output {output['OutputName']}: the local cloud has S3Output, EndOfJob, only."
        )
    path_in(folder, target["LocalPath"])
