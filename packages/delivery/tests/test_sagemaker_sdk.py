"""The bucket, role and file with which the SageMaker SDK works on a local cloud."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import yaml

from delivery import sagemaker_sdk
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

    import localcloud


def test_the_sdk_finds_a_bucket_a_role_and_a_file(cloud: localcloud.Cloud, tmp_path: Path) -> None:
    """Protects notebooks: the SDK would ask AWS itself for its bucket, and refuse a narrower role."""
    first = sagemaker_sdk.prepare(cloud, tmp_path / "state")
    assert sagemaker_sdk.prepare(cloud, tmp_path / "state") == first

    cloud.client("s3").head_bucket(Bucket=first.bucket)
    assert first.defaults.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(first.defaults.read_text())["SageMaker"] == {
        "PythonSDK": {"Modules": {"Session": {"DefaultS3Bucket": first.bucket}, "TelemetryOptOut": True}},
        "TrainingJob": {"RoleArn": first.role_arn},
        "ProcessingJob": {"RoleArn": first.role_arn},
        "Model": {"ExecutionRoleArn": first.role_arn},
    }
    assert first.environment["SAGEMAKER_USER_CONFIG_OVERRIDE"] == str(first.defaults)
    assert first.environment["SAGEMAKER_ROLE_ARN"] == first.role_arn
    simulated = cloud.client("iam").simulate_principal_policy(
        PolicySourceArn=first.role_arn, ActionNames=["ec2:DescribeVpcs", "sagemaker:CreateTrainingJob"]
    )
    assert {each["EvalDecision"] for each in simulated["EvaluationResults"]} == {"allowed"}


def test_no_role_is_made_on_aws(tmp_path: Path) -> None:
    """Protects accounts of AWS from a role with all permissions."""

    class Account:
        region = "eu-central-1"

        def client(self, service: str) -> Any:
            return boto3.client(  # type: ignore[call-overload]
                service,
                region_name=self.region,
                endpoint_url=f"https://{service}.{self.region}.amazonaws.com",
                aws_access_key_id="x",
                aws_secret_access_key="x",
            )

    with pytest.raises(DeliveryError, match="is AWS"):
        sagemaker_sdk.prepare(Account(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_environment_of_the_sdk_is_found_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a person without the SDK from an error of an import."""
    monkeypatch.delenv("VENV_SDK", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(DeliveryError, match="make setup-sdk"):
        sagemaker_sdk.interpreter()
    (tmp_path / "sdk" / "bin").mkdir(parents=True)
    (tmp_path / "sdk" / "bin" / "python").symlink_to(sys.executable)
    assert sagemaker_sdk.interpreter() == tmp_path / "sdk" / "bin" / "python"
    monkeypatch.setenv("VENV_SDK", str(tmp_path / "other"))
    with pytest.raises(DeliveryError, match="other"):
        sagemaker_sdk.interpreter()
