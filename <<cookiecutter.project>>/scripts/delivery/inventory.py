"""What there is of a project, in the order in which it can be removed.

Stacks, parameters and log groups are known by exact names, since `house-prices` begins like `house`. What
outlives its stack is known from that stack, or once that is gone from the marks that CloudFormation left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.delivery import endpoints, projects, stacks, studio
from scripts.delivery.cloud import DeliveryError, is_missing, pages, tags_of
from scripts.delivery.templates import ROOT
from scripts.templates.read import read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scripts.delivery.cloud import Cloud, Project

DELIVERED = (
    "dashboard",
    "monitor",
    "deploy-prd",
    "deploy-dev",
    "registry",
    "governor",
    "verify",
    "workflow",
)
MADE_BY = "aws:cloudformation:stack-name"
BUCKET, KEY, FILE_SYSTEM = "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::EFS::FileSystem"
GROUP, REPOSITORY, PIPELINE, BUILD, MACHINE = (
    "AWS::SageMaker::ModelPackageGroup",
    "AWS::ECR::Repository",
    "AWS::CodePipeline::Pipeline",
    "AWS::CodeBuild::Project",
    "AWS::StepFunctions::StateMachine",
)


@dataclass(frozen=True)
class Item:
    """Something to be removed; the id is what AWS calls it by, where that is not its name."""

    kind: str
    name: str
    note: str = ""
    id: str = ""


@dataclass(frozen=True)
class Inventory:
    """Looks for what is the project's."""

    cloud: Cloud
    project: Project
    with_studio: bool = False

    def items(self) -> list[Item]:
        """List everything, what depends on others first."""
        steps: tuple[Callable[[], Iterator[Item]], ...] = (
            self.activity,
            lambda: self.stacks(*DELIVERED),
            self.schedules,
            self.left_of_endpoints,
            self.images,
            self.models,
            self.projects,
            lambda: self.stacks("pipeline", *(["studio"] if self.with_studio else [])),
            self.domains,
            self.buckets,
            self.keys,
            self.log_groups,
            self.parameters,
            lambda: self.stacks("network"),
            self.file_systems,
        )
        return [item for step in steps for item in step()]

    @cached_property
    def made(self) -> dict[str, list[tuple[str, str]]]:
        """What each stack that stands has made; raise DeliveryError for a stack of someone else's."""
        kinds = [*DELIVERED, "pipeline", "network", *(["studio"] if self.with_studio else [])]
        found = {}
        for name in map(self.project.stack, kinds):
            stack = stacks.find(self.cloud, name)
            if stack is not None:
                self.require_ours(stack)
                found[name] = stacks.resources(self.cloud, name)
        if self.in_studio is not None:
            name = self.in_studio["StackName"]
            found[name] = stacks.resources(self.cloud, name)
        return found

    @cached_property
    def in_studio(self) -> dict[str, Any] | None:
        """The stack of the pipeline, if that was made in Studio."""
        return projects.find(self.cloud, self.project)

    def require_ours(self, stack: dict[str, Any]) -> None:
        """Refuse a stack that has the name of ours and nothing else."""
        marks = {tags_of(stack.get("Tags")).get("project"), stacks.given(stack).get("Project")}
        if self.project.name not in marks:
            name = stack["StackName"]
            raise DeliveryError(
                f"{name} is not the project's: it has neither its tag nor its parameter Project."
            )

    def of_type(self, kind: str) -> list[str]:
        """List the ids of what the stacks have made of a type."""
        return [name for entries in self.made.values() for type_, name in entries if type_ == kind]

    # Each step

    def activity(self) -> Iterator[Item]:
        """Give what is running and would make anew what is removed."""
        yield from (
            Item("pipeline", name, "held, and its executions stopped") for name in self.of_type(PIPELINE)
        )
        yield from (Item("builds", name, "those that run stopped") for name in self.of_type(BUILD))
        for arn in self.of_type(MACHINE):
            yield Item("state machine", arn.rpartition(":")[2], "its executions stopped", arn)

    def stacks(self, *kinds: str) -> Iterator[Item]:
        """Give the stacks of these kinds that stand, in this order."""
        for name in map(self.project.stack, kinds):
            if name in self.made:
                yield Item("stack", name, f"{len(self.made[name])} resources")

    def projects(self) -> Iterator[Item]:
        """Give the project in Studio, which its pipeline goes with."""
        if self.in_studio is not None:
            name = stacks.given(self.in_studio)["SageMakerProjectName"]
            yield Item(
                "project", name, f"in Studio, with {self.in_studio['StackName']}", self.in_studio["StackId"]
            )

    def domains(self) -> Iterator[Item]:
        """Give the domains of Studio that look for templates where there will be none."""
        places = {f"s3://{name}/templates/" for name in self.of_type(BUCKET)} if self.with_studio else set()
        sagemaker = self.cloud.client("sagemaker")
        for entry in pages(sagemaker, "list_domains", "Domains") if places else ():
            tags = tags_of(sagemaker.list_tags(ResourceArn=entry["DomainArn"])["Tags"])
            if tags.get(studio.LOCATION) in places:
                yield Item("domain", entry["DomainId"], f"its tag {studio.LOCATION}", entry["DomainArn"])

    def schedules(self) -> Iterator[Item]:
        """Give the governor's next look at what it has refused, which belongs to no stack."""
        name = self.project.stack("look-again")
        try:
            due = self.cloud.client("scheduler").get_schedule(Name=name)["ScheduleExpression"]
        except ClientError as error:
            if not is_missing(error):
                raise
            return
        yield Item("schedule", name, str(due))

    def left_of_endpoints(self) -> Iterator[Item]:
        """Give what SageMaker has of the project; mostly it goes with its stack."""
        for kind in ("Endpoint", "EndpointConfig", "Model"):
            for entry in endpoints.named(self.cloud, self.project, kind):
                yield Item(kind, entry[f"{kind}Name"], entry.get("EndpointStatus", ""))

    def images(self) -> Iterator[Item]:
        """Give repositories that hold images: with them they can't be deleted."""
        ecr = self.cloud.client("ecr")
        for name in self.of_type(REPOSITORY):
            count = sum(1 for _ in pages(ecr, "list_images", "imageIds", repositoryName=name))
            if count:
                yield Item("images", name, f"{count} of them")

    def models(self) -> Iterator[Item]:
        """Give what is registered: a group that holds models can't be deleted."""
        sagemaker = self.cloud.client("sagemaker")
        for group in self.of_type(GROUP):
            named = {"ModelPackageGroupName": group.rpartition("/")[2]}
            for entry in pages(sagemaker, "list_model_packages", "ModelPackageSummaryList", **named):
                arn, status = entry["ModelPackageArn"], entry["ModelApprovalStatus"]
                yield Item("registered model", arn.partition(":model-package/")[2], status, arn)

    def buckets(self) -> Iterator[Item]:
        """Give buckets, which outlive their stacks."""
        s3, found = self.cloud.client("s3"), set(self.of_type(BUCKET))
        for bucket in s3.list_buckets()["Buckets"]:
            if bucket["Name"] in found or self.outlived(partial(bucket_tags, s3, bucket["Name"])):
                yield Item("bucket", bucket["Name"], "with all versions of what it holds")

    def keys(self) -> Iterator[Item]:
        """Give the key, which outlives its stack; one that was given to the stack is not ours."""
        kms, found = self.cloud.client("kms"), set(self.of_type(KEY))
        for entry in pages(kms, "list_keys", "Keys"):
            key = entry["KeyId"]
            ours = key in found or self.outlived(partial(key_tags, kms, key))
            if ours and kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion":
                yield Item("key", key, "deleted after 30 days, until when that can be undone")

    def file_systems(self) -> Iterator[Item]:
        """Give the file system, which outlives its stack."""
        found = set(self.of_type(FILE_SYSTEM))
        for entry in pages(self.cloud.client("efs"), "describe_file_systems", "FileSystems"):
            name = entry["FileSystemId"]
            if name in found or self.outlived(partial(entry.get, "Tags")):
                yield Item("file system", name, "with all files")

    def log_groups(self) -> Iterator[Item]:
        """Give the log groups that the templates name, and those of the endpoints."""
        logs, own = self.cloud.client("logs"), log_group_names(self.project)
        served = f"/aws/sagemaker/Endpoints/{self.project.name}-"
        for prefix in (*sorted(own), served):
            for entry in pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
                name = entry["logGroupName"]
                if name == prefix or (
                    prefix == served and endpoints.stage_of(self.project, name.rpartition("/")[2])
                ):
                    yield Item("log group", name)

    def parameters(self) -> Iterator[Item]:
        """Give the project's state in SSM."""
        ssm, path = self.cloud.client("ssm"), f"/{self.project.name}/"
        for entry in pages(ssm, "get_parameters_by_path", "Parameters", Path=path, Recursive=True):
            yield Item("parameter", entry["Name"])

    def outlived(self, read: Callable[[], Any]) -> bool:
        """Tell whether CloudFormation made it for a stack of the project's; what can't be read is not."""
        gone = {self.project.stack("pipeline"), self.project.stack("network")}
        gone |= {self.project.stack("studio")} if self.with_studio else set()
        try:
            marks = tags_of(read())
        except ClientError as error:
            if is_missing(error) or "AccessDenied" in error.response["Error"]["Code"]:
                return False
            raise
        if marks.get("project") != self.project.name:
            return False
        return marks.get(MADE_BY) in gone or projects.outlived(self.cloud, marks, self.project)


def bucket_tags(s3: Any, name: str) -> Any:
    """Read the tags of a bucket."""
    return s3.get_bucket_tagging(Bucket=name)["TagSet"]


def key_tags(kms: Any, key: str) -> Any:
    """Read the tags of a key."""
    return kms.list_resource_tags(KeyId=key)["Tags"]


def log_group_names(project: Project) -> set[str]:
    """List the log groups that the templates name."""
    paths = (*(ROOT / "stacks").glob("*.yml"), ROOT / "pipeline" / "pipeline.yml")
    names = {
        resource["Properties"]["LogGroupName"]["Fn::Sub"]
        for path in paths
        for resource in read_template(path)["Resources"].values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    }
    return {re.sub(r"\$\{Project\}", project.name, name) for name in names}
