"""The run: the arguments that differ by commit, execution or account, and the names and tags made of them."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

from pipeline.errors import SettingsError, shortened
from pipeline.rules import entry, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.settings import Settings


def required(environment: str, pattern: str, description: str, example: str, parameter: str = "") -> Any:
    """Declare an argument that has to be given, by an option of the command or an environment variable."""
    return entry(text(pattern, description, example), environment=environment, parameter=parameter)


def optional(environment: str, pattern: str, description: str, example: str, parameter: str = "") -> Any:
    """Declare an argument that may be empty."""
    rule = text(f"({pattern})?", f"{description}, or nothing", example)
    return entry(rule, default="", environment=environment, parameter=parameter)


@dataclass(frozen=True)
class Run:
    """The arguments that are not in project.toml, because they differ by run or by account."""

    commit: str = required(
        "COMMIT_ID", r"[A-Za-z0-9_.:/=+@-]{1,256}", "a commit id or another mark of the source", "3f2a91c"
    )
    data_version: str = required(
        "DATA_VERSION", r"(?s)(?=.*\S).{1,1000}", "1 to 1,000 characters", "2025-01-31"
    )
    execution_id: str = required(
        "PIPELINE_EXECUTION_ID",
        r"(?=.{1,36}\Z)[A-Za-z0-9](-*[A-Za-z0-9])*",
        "1 to 36 letters, digits and hyphens, because it becomes part of names that end at 63",
        "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10",
        parameter="ExecutionId",
    )
    image_uri: str = required(
        "IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of an image",
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/p:tag",
        parameter="ImageUri",
    )
    artifact_bucket: str = required(
        "ARTIFACT_BUCKET",
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
        "the name of a bucket",
        "house-prices-artifacts",
        parameter="ArtifactBucket",
    )
    kms_key_arn: str = required(
        "KMS_KEY_ARN",
        r"arn:[a-z0-9-]+:kms:.+",
        "the ARN of a key",
        "arn:aws:kms:eu-central-1:111122223333:key/…",
        parameter="KmsKeyArn",
    )
    sagemaker_role_arn: str = required(
        "SAGEMAKER_ROLE_ARN",
        r"arn:[a-z0-9-]+:iam:.+",
        "the ARN of a role",
        "arn:aws:iam::111122223333:role/…",
        parameter="SageMakerRoleArn",
    )
    notification_topic_arn: str = required(
        "NOTIFICATION_TOPIC_ARN",
        r"arn:[a-z0-9-]+:sns:[a-z0-9-]+:\d{12}:.+",
        "the ARN of a topic",
        "arn:aws:sns:eu-central-1:111122223333:…",
        parameter="NotificationTopicArn",
    )
    reason: str = entry(
        text(r"(?s)(?=.*\S).{1,1000}", "1 to 1,000 characters", "commit"),
        default="commit",
        environment="REASON",
    )
    project: str = optional(
        "PROJECT", r"[a-z0-9-]+", "the project that the pipeline delivers", "house-prices"
    )
    lambda_image_uri: str = optional(
        "LAMBDA_IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of the image of the API's function",
        "111122223333.dkr.ecr.eu-central-1.amazonaws.com/p-api:tag",
        parameter="LambdaImageUri",
    )
    subnet_ids: str = optional(
        "SUBNET_IDS",
        r"subnet-\w+(,subnet-\w+)*",
        "subnets, separated by commas",
        "subnet-1,subnet-2",
        parameter="SubnetIds",
    )
    security_group_ids: str = optional(
        "SECURITY_GROUP_IDS",
        r"sg-\w+(,sg-\w+)*",
        "security groups, separated by commas",
        "sg-1",
        parameter="SecurityGroupIds",
    )
    efs_access_point_arn: str = optional(
        "EFS_ACCESS_POINT_ARN",
        r"arn:[a-z0-9-]+:elasticfilesystem:.+",
        "the ARN of an access point",
        "arn:aws:elasticfilesystem:eu-central-1:111122223333:access-point/…",
        parameter="EfsAccessPointArn",
    )
    permissions_boundary_arn: str = optional(
        "PERMISSIONS_BOUNDARY_ARN",
        r"arn:[a-z0-9-]+:iam:.+",
        "the ARN of a policy",
        "arn:aws:iam::111122223333:policy/…",
        parameter="PermissionsBoundaryArn",
    )
    analyzer_image_uri: str = optional(
        "ANALYZER_IMAGE_URI",
        r"[^\s]{1,255}",
        "the address of the image of Model Monitor's analyzer",
        "….dkr.ecr.eu-central-1.amazonaws.com/sagemaker-model-monitor-analyzer",
        parameter="AnalyzerImageUri",
    )
    tags: str = optional(
        "TAGS",
        r"(?!.*(^|,)(aws:|(project|stage|commit)=))[\w.:/+@-][\w .:/+@-]*=[\w .:/+@-]*"
        r"(,[\w.:/+@-][\w .:/+@-]*=[\w .:/+@-]*)*",
        "tags, other than project, stage and commit, separated by commas",
        "Owner=risk,CostCenter=42",
    )


def read_run(given: Mapping[str, str | None], environment: Mapping[str, str]) -> Run:
    """Take each argument from the command line, else from its environment variable, and check it.

    Raises:
        SettingsError: for the first argument that is missing or breaks its rule.
    """
    values = {}
    for declared in fields(Run):
        rule, variable = declared.metadata["rule"], declared.metadata["environment"]
        default = "" if declared.default is MISSING else declared.default
        value = given.get(declared.name) or environment.get(variable) or default
        if not rule.accepts(value):
            option = option_name(declared.name)
            state = f"is {shortened(value)}" if value else "is missing"
            example = declared.metadata["example"]
            way_out = f"give {option} or set {variable} to it, such as {example}"
            raise SettingsError(f"{option} {state}, but has to be {rule.description}: {way_out}.")
        values[declared.name] = value
    return Run(**values)


def option_name(field_name: str) -> str:
    """Write the name of a field of Run as an option of the command."""
    return "--" + field_name.replace("_", "-")


def read_variables(path: Path | None) -> dict[str, str]:
    """Read the variables of the pipeline's execution, by the names of environment variables.

    Raises:
        SettingsError: if the file cannot be read, or is not the answer of CodePipeline.
    """
    if path is None:
        return {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        # DataVersion becomes DATA_VERSION.
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", one["name"]).upper(): one["resolvedValue"] for one in listed}
    except (OSError, ValueError, TypeError, KeyError):
        raise SettingsError(
            f"--variables-file is {path}, but has to be a list of the names and resolvedValues that"
            " codepipeline get-pipeline-execution answers: write it with --query pipelineExecution.variables."
        ) from None


def check_run(settings: Settings, run: Run) -> None:
    """Check that the pipeline may deliver the project, and has the image that its monitor needs.

    Raises:
        SettingsError: for the pipeline of another project, whose roles may not deliver this one, and for a
            missing image of Model Monitor's analyzer.
    """
    if settings.monitor.engine == "model-monitor" and not run.analyzer_image_uri:
        raise SettingsError(
            "monitor.engine is model-monitor, but the image of its analyzer is not known: give"
            " AnalyzerImageUri to the pipeline's stack, or take the engine container."
        )
    if run.project not in ("", settings.project.name):
        raise SettingsError(
            f"project.name is {settings.project.name}, but this pipeline delivers {run.project}: correct it,"
            " or deploy a pipeline with that name."
        )


def endpoint_name(settings: Settings, run: Run, stage: str) -> str:
    """Name the endpoint of the stage dev or prd."""
    return f"{settings.project.name}-{stage}-{run.execution_id}"


def resource_tags(settings: Settings, run: Run, stage: str) -> dict[str, str]:
    """Return the tags of everything that a stage creates."""
    own = {"project": settings.project.name, "stage": stage, "commit": run.commit}
    return own | dict(tag.split("=", 1) for tag in run.tags.split(",") if tag)
