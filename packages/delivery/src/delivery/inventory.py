"""An inventory of a project's resources, in the order in which they can be removed.

Stacks, parameters and log groups are found by exact names, since `house-prices` begins like `house`.
Resources that outlive their stacks are found in those, or after their deletion by CloudFormation's tags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery import cloudformation, endpoints, projects, stacks, studio
from delivery.cloud import DeliveryError, is_missing, pages, tags_of
from delivery.templates.read import read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from delivery.cloud import Cloud, Project

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
RETRY = "look-again"  # the governor's schedule
STACK_NAME = "aws:cloudformation:stack-name"
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
    """A resource to be removed; the id is what AWS calls it by, where that is not its name."""

    kind: str
    name: str
    note: str = ""
    id: str = ""


@dataclass(frozen=True)
class Inventory:
    """The resources of a project in an account."""

    cloud: Cloud
    project: Project
    with_studio: bool = False

    def items(self) -> list[Item]:
        """List all resources, those that depend on others first."""
        steps: tuple[Callable[[], Iterator[Item]], ...] = (
            self.running_items,
            lambda: self.stack_items(*DELIVERED),
            self.schedule_items,
            self.endpoint_items,
            self.image_items,
            self.model_items,
            self.project_items,
            lambda: self.stack_items("pipeline", *(["studio"] if self.with_studio else [])),
            self.domain_items,
            self.bucket_items,
            self.key_items,
            self.log_group_items,
            self.parameter_items,
            lambda: self.stack_items("network"),
            self.file_system_items,
        )
        return [item for step in steps for item in step()]

    @cached_property
    def resources(self) -> dict[str, list[tuple[str, str]]]:
        """The types and ids of each stack's resources, by the stack's name.

        Raises:
            DeliveryError: A stack has a name of ours, but belongs to someone else.

        """
        kinds = [*DELIVERED, "pipeline", "network", *(["studio"] if self.with_studio else [])]
        resources = {}
        for name in map(self.project.stack, kinds):
            stack = stacks.find(self.cloud, name)
            if stack is not None:
                self.require_ours(stack)
                resources[name] = stacks.resources(self.cloud, name)
        if self.studio_stack is not None:
            name = self.studio_stack["StackName"]
            resources[name] = stacks.resources(self.cloud, name)
        return resources

    @cached_property
    def studio_stack(self) -> dict[str, Any] | None:
        """The pipeline's stack if it was made in Studio; None otherwise."""
        return projects.find(self.cloud, self.project)

    def require_ours(self, stack: dict[str, Any]) -> None:
        """Check that a stack with a name of ours is the project's.

        Raises:
            DeliveryError: It has neither the project's tag nor its parameter.

        """
        names = {tags_of(stack.get("Tags")).get("project"), cloudformation.parameters(stack).get("Project")}
        if self.project.name not in names:
            name = stack["StackName"]
            raise DeliveryError(
                f"{name} is not the project's: it has neither its tag nor its parameter Project."
            )

    def of_type(self, kind: str) -> list[str]:
        """List the ids of the stacks' resources of a type."""
        return [name for entries in self.resources.values() for type_, name in entries if type_ == kind]

    def running_items(self) -> Iterator[Item]:
        """Yield what runs and would recreate what is removed."""
        yield from (
            Item("pipeline", name, "held, and its executions stopped") for name in self.of_type(PIPELINE)
        )
        yield from (Item("builds", name, "those that run stopped") for name in self.of_type(BUILD))
        for arn in self.of_type(MACHINE):
            yield Item("state machine", arn.rpartition(":")[2], "its executions stopped", arn)

    def stack_items(self, *kinds: str) -> Iterator[Item]:
        """Yield the stacks of these kinds that exist, in this order."""
        for name in map(self.project.stack, kinds):
            if name in self.resources:
                yield Item("stack", name, f"{len(self.resources[name])} resources")

    def project_items(self) -> Iterator[Item]:
        """Yield the project in Studio, with which its pipeline is deleted."""
        if self.studio_stack is not None:
            name = cloudformation.parameters(self.studio_stack)["SageMakerProjectName"]
            yield Item(
                "project",
                name,
                f"in Studio, with {self.studio_stack['StackName']}",
                self.studio_stack["StackId"],
            )

    def domain_items(self) -> Iterator[Item]:
        """Yield the domains of Studio that list templates of a bucket that is removed."""
        locations = (
            {f"s3://{name}/templates/" for name in self.of_type(BUCKET)} if self.with_studio else set()
        )
        sagemaker = self.cloud.client("sagemaker")
        for entry in pages(sagemaker, "list_domains", "Domains") if locations else ():
            tags = tags_of(sagemaker.list_tags(ResourceArn=entry["DomainArn"])["Tags"])
            if tags.get(studio.LOCATION) in locations:
                yield Item("domain", entry["DomainId"], f"its tag {studio.LOCATION}", entry["DomainArn"])

    def schedule_items(self) -> Iterator[Item]:
        """Yield the governor's schedule to retry a refused request, which belongs to no stack."""
        name = self.project.stack(RETRY)
        try:
            due = self.cloud.client("scheduler").get_schedule(Name=name)["ScheduleExpression"]
        except ClientError as error:
            if not is_missing(error):
                raise
            return
        yield Item("schedule", name, str(due))

    def endpoint_items(self) -> Iterator[Item]:
        """Yield endpoints, their configurations and models; most are deleted with their stacks before."""
        for kind in ("Endpoint", "EndpointConfig", "Model"):
            for entry in endpoints.list_resources(self.cloud, self.project, kind):
                yield Item(kind, entry[f"{kind}Name"], entry.get("EndpointStatus", ""))

    def image_items(self) -> Iterator[Item]:
        """Yield repositories with images, without which they can be deleted."""
        ecr = self.cloud.client("ecr")
        for name in self.of_type(REPOSITORY):
            count = sum(1 for _ in pages(ecr, "list_images", "imageIds", repositoryName=name))
            if count:
                yield Item("images", name, f"{count} of them")

    def model_items(self) -> Iterator[Item]:
        """Yield registered models: a group that holds one can't be deleted."""
        sagemaker = self.cloud.client("sagemaker")
        for group in self.of_type(GROUP):
            of_group = {"ModelPackageGroupName": group.rpartition("/")[2]}
            for entry in pages(sagemaker, "list_model_packages", "ModelPackageSummaryList", **of_group):
                arn, status = entry["ModelPackageArn"], entry["ModelApprovalStatus"]
                yield Item("registered model", arn.partition(":model-package/")[2], status, arn)

    def bucket_items(self) -> Iterator[Item]:
        """Yield buckets, which outlive their stacks."""
        s3, in_stacks = self.cloud.client("s3"), set(self.of_type(BUCKET))
        for bucket in s3.list_buckets()["Buckets"]:
            if bucket["Name"] in in_stacks or self.belongs_to_project(
                partial(bucket_tags, s3, bucket["Name"])
            ):
                yield Item("bucket", bucket["Name"], "with all versions of what it holds")

    def key_items(self) -> Iterator[Item]:
        """Yield the key, which outlives its stack; a key that is a parameter of the stack is not ours."""
        kms, in_stacks = self.cloud.client("kms"), set(self.of_type(KEY))
        for entry in pages(kms, "list_keys", "Keys"):
            key = entry["KeyId"]
            ours = key in in_stacks or self.belongs_to_project(partial(key_tags, kms, key))
            if ours and kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] != "PendingDeletion":
                yield Item("key", key, "deleted after 30 days, until when that can be undone")

    def file_system_items(self) -> Iterator[Item]:
        """Yield the file system, which outlives its stack."""
        in_stacks = set(self.of_type(FILE_SYSTEM))
        for entry in pages(self.cloud.client("efs"), "describe_file_systems", "FileSystems"):
            name = entry["FileSystemId"]
            if name in in_stacks or self.belongs_to_project(partial(entry.get, "Tags")):
                yield Item("file system", name, "with all files")

    def log_group_items(self) -> Iterator[Item]:
        """Yield the log groups that the templates name, and those of the endpoints."""
        logs, declared = self.cloud.client("logs"), log_group_names(self.project)
        of_endpoints = f"/aws/sagemaker/Endpoints/{self.project.name}-"
        for prefix in (*sorted(declared), of_endpoints):
            for entry in pages(logs, "describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
                name = entry["logGroupName"]
                if name == prefix or (
                    prefix == of_endpoints and endpoints.stage_of(self.project, name.rpartition("/")[2])
                ):
                    yield Item("log group", name)

    def parameter_items(self) -> Iterator[Item]:
        """Yield the project's parameters in Systems Manager."""
        ssm, path = self.cloud.client("ssm"), f"/{self.project.name}/"
        for entry in pages(ssm, "get_parameters_by_path", "Parameters", Path=path, Recursive=True):
            yield Item("parameter", entry["Name"])

    def belongs_to_project(self, read_tags: Callable[[], Any]) -> bool:
        """Return whether a stack of the project, which may be deleted, created the resource with these tags.

        A resource whose tags this role may not read is not the project's.
        """
        creators = {self.project.stack("pipeline"), self.project.stack("network")}
        creators |= {self.project.stack("studio")} if self.with_studio else set()
        try:
            tags = tags_of(read_tags())
        except ClientError as error:
            if is_missing(error) or "AccessDenied" in error.response["Error"]["Code"]:
                return False
            raise
        if tags.get("project") != self.project.name:
            return False
        return tags.get(STACK_NAME) in creators or projects.created(self.cloud, tags, self.project)


def bucket_tags(s3: Any, name: str) -> Any:
    """Read the tags of a bucket."""
    return s3.get_bucket_tagging(Bucket=name)["TagSet"]


def key_tags(kms: Any, key: str) -> Any:
    """Read the tags of a key."""
    return kms.list_resource_tags(KeyId=key)["Tags"]


def log_group_names(project: Project) -> set[str]:
    """List the log groups that the project's templates name."""
    paths = (*(project.root / "stacks").glob("*.yml"), project.root / "pipeline" / "pipeline.yml")
    names = {
        resource["Properties"]["LogGroupName"]["Fn::Sub"]
        for path in paths
        for resource in read_template(path)["Resources"].values()
        if resource["Type"] == "AWS::Logs::LogGroup"
    }
    return {re.sub(r"\$\{Project\}", project.name, name) for name in names}
