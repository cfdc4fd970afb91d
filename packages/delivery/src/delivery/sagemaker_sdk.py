"""The SageMaker Python SDK beside a local cloud: its environment, bucket, role and file of defaults."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError, is_missing

if TYPE_CHECKING:
    from delivery.cloud import Cloud

ROLE = "local-sagemaker-execution"
# The SDK asks IAM whether a role may do a fixed list of actions, nine of EC2 among them, and refuses the role
# when one of them is denied. The project's own roles are narrower, as roles on AWS should be.
POLICY = "arn:aws:iam::aws:policy/AdministratorAccess"
DESCRIPTION = "Runs jobs and models of notebooks and of local commands; only a local cloud has it."
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
FILE = "sagemaker-sdk.yaml"
OWNER_ONLY = 0o600
OF_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


@dataclass(frozen=True)
class SdkSettings:
    """The bucket, the role and the file of defaults with which the SDK works on a local cloud."""

    bucket: str
    role_arn: str
    defaults: Path

    def image(self, region: str, project: str) -> str:
        """Return the address that the project's image would have; a local cloud runs the project's files."""
        return f"{self.role_arn.split(':')[4]}.dkr.ecr.{region}.amazonaws.com/{project}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the SDK finds the file, and no other one, and a notebook finds the role."""
        return {
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(self.defaults),
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": os.devnull,
            "SAGEMAKER_CORE_USER_CONFIG_OVERRIDE": os.devnull,
            "SAGEMAKER_CORE_ADMIN_CONFIG_OVERRIDE": os.devnull,
            "SAGEMAKER_ROLE_ARN": self.role_arn,
        }


def interpreter() -> Path:
    """Return the Python of the environment that has the SDK: VENV_SDK, or the folder `sdk` in this one.

    Raises:
        DeliveryError: The environment is not installed.

    """
    folder = Path(os.environ.get("VENV_SDK") or Path(sys.prefix) / "sdk")
    python = folder / "bin" / "python"
    if not python.exists():
        raise DeliveryError(f"{folder} has no SageMaker SDK: 'make setup-sdk' installs it (1.3 GB).")
    return python.absolute()


def prepare(cloud: Cloud, folder: Path) -> SdkSettings:
    """Make the SDK's default bucket and a role in a local cloud, and write the SDK's defaults into a folder.

    What exists is kept. The role has all permissions, because the SDK refuses one that lacks any of its list.

    Raises:
        DeliveryError: The cloud is AWS itself.

    """
    sts = cloud.client("sts")
    host = urlsplit(sts.meta.endpoint_url).hostname or ""
    if host.endswith(OF_AWS):
        raise DeliveryError(
            f"{host} is AWS: a role with all permissions is made in a local cloud only; on AWS, "
            "take an execution role of your account."
        )
    bucket = f"sagemaker-{cloud.region}-{sts.get_caller_identity()['Account']}"
    _make_bucket(cloud, bucket)
    settings = SdkSettings(bucket, _make_role(cloud.client("iam")), folder.resolve() / FILE)
    _write(settings.defaults, yaml.safe_dump(_defaults(bucket, settings.role_arn)))
    return settings


def _defaults(bucket: str, role_arn: str) -> dict[str, Any]:
    modules = {"Session": {"DefaultS3Bucket": bucket}, "TelemetryOptOut": True}
    return {
        "SchemaVersion": "1.0",
        "SageMaker": {
            "PythonSDK": {"Modules": modules},
            # Where a role is not given, the SDK would take that of the caller, who has none here.
            "TrainingJob": {"RoleArn": role_arn},
            "ProcessingJob": {"RoleArn": role_arn},
            "Model": {"ExecutionRoleArn": role_arn},
        },
    }


def _make_bucket(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if not is_missing(error):
            raise
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
        s3.create_bucket(Bucket=bucket, **({} if cloud.region == "us-east-1" else elsewhere))


def _make_role(iam: Any) -> str:
    try:
        role = iam.get_role(RoleName=ROLE)["Role"]
    except ClientError as error:
        if not is_missing(error):
            raise
        trust = json.dumps(TRUST)
        role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust, Description=DESCRIPTION)["Role"]
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=POLICY)
    return str(role["Arn"])


def _write(path: Path, text: str) -> None:
    """Write a file that its owner alone reads; a crash leaves the former file or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
