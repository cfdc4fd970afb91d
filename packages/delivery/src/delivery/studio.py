"""Uploads and tags by which SageMaker Studio finds the project template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError, is_missing
from delivery.cloudformation import outputs
from delivery.stacks import find

if TYPE_CHECKING:
    from delivery.cloud import Cloud, Project
    from delivery.templates.template import Template

VISIBLE = "sagemaker:studio-visibility=true"
LOCATION = "sagemaker:projectS3TemplatesLocation"


def role_arn(cloud: Cloud, name: str) -> str:
    """Look up the role's ARN.

    Raises:
        DeliveryError: The role does not exist.

    """
    try:
        return str(cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except ClientError as error:
        if is_missing(error):
            raise DeliveryError(
                f"Role {name} does not exist: give the name of Studio's execution role, without its path."
            ) from None
        raise


def upload(cloud: Cloud, bucket: str, template: Template, project: Project) -> tuple[str, list[str]]:
    """Upload the template for Service Catalog and for Studio's list.

    Service Catalog does not read an address again, so the key for it has the file's hash. Returns that key,
    and the addresses of the objects that were not there yet.
    """
    s3 = cloud.client("s3")
    objects: dict[str, dict[str, str]] = {
        f"catalog/pipeline-{template.digest}.yml": {},
        f"templates/{project.name}-pipeline.yml": {"Tagging": VISIBLE},
    }
    uploaded = [key for key, more in objects.items() if put(s3, bucket, key, template, **more)]
    return next(iter(objects)), [f"s3://{bucket}/{key}" for key in uploaded]


def put(s3: Any, bucket: str, key: str, template: Template, **more: str) -> bool:
    """Upload the file unless the object has its content already; return whether it was uploaded."""
    try:
        present = s3.head_object(Bucket=bucket, Key=key)["Metadata"].get("digest")
    except ClientError as error:
        if not is_missing(error):
            raise
        present = None
    if present == template.digest:
        return False
    body, metadata = template.path.read_bytes(), {"digest": template.digest}
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/yaml", Metadata=metadata, **more)
    return True


def tag_domain(cloud: Cloud, domain: str, stack: str) -> str:
    """Tag the domain with the location of the templates, and return that location.

    Raises:
        DeliveryError: The domain does not exist.

    """
    location = outputs(find(cloud, stack))["TemplatesLocation"]
    sagemaker = cloud.client("sagemaker")
    try:
        arn = sagemaker.describe_domain(DomainId=domain)["DomainArn"]
    except ClientError as error:
        if is_missing(error):
            raise DeliveryError(f"Studio domain {domain} does not exist in {cloud.region}.") from None
        raise
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": LOCATION, "Value": location}])
    return location
