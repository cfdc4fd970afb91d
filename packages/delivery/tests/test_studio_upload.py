"""Studio's templates: seen by tag, and at an address of its own for each version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from delivery import studio
from delivery.cloud import DeliveryError, Project
from delivery.templates.template import Template

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud import Cloud


@pytest.fixture
def bucket(cloud: Cloud, project: Project) -> str:
    """Make a versioned bucket."""
    s3, name = cloud.client("s3"), f"{project.name}-templates"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def test_a_new_template_has_a_new_address(
    cloud: Cloud, project: Project, bucket: str, tmp_path: Path
) -> None:
    """Service Catalog keeps the old one; Studio lists one, the newest; the same file is uploaded once."""
    path, s3 = tmp_path / "pipeline.yml", cloud.client("s3")
    path.write_text("Resources: {A: {}}", encoding="utf-8")
    first, uploaded = studio.upload(cloud, bucket, Template(path), project)
    assert uploaded == [f"s3://{bucket}/{key}" for key in (first, f"templates/{project.name}-pipeline.yml")]
    assert studio.upload(cloud, bucket, Template(path), project) == (first, [])
    path.write_text("Resources: {B: {}}", encoding="utf-8")
    second, _ = studio.upload(cloud, bucket, Template(path), project)
    assert first != second
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    shown = f"templates/{project.name}-pipeline.yml"
    assert sorted(one["Key"] for one in versions) == sorted([first, second, shown, shown])
    assert s3.get_object(Bucket=bucket, Key=shown)["Body"].read() == path.read_bytes()
    mark = {"Key": "sagemaker:studio-visibility", "Value": "true"}
    assert s3.get_object_tagging(Bucket=bucket, Key=shown)["TagSet"] == [mark]
    assert s3.get_object_tagging(Bucket=bucket, Key=second)["TagSet"] == []


def test_the_studio_role_is_looked_up(cloud: Cloud) -> None:
    """Its ARN has a path that nobody remembers."""
    trust = '{"Version": "2012-10-17", "Statement": []}'
    cloud.client("iam").create_role(RoleName="Studio", Path="/service-role/", AssumeRolePolicyDocument=trust)
    assert studio.role_arn(cloud, "Studio").endswith(":role/service-role/Studio")
    with pytest.raises(DeliveryError, match="Role Stduio does not exist"):
        studio.role_arn(cloud, "Stduio")
