"""What SageMaker Studio has to find: the template in a bucket, and the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from scripts.delivery.cloud import DeliveryError, is_missing
from scripts.delivery.stacks import find, outputs

if TYPE_CHECKING:
    from scripts.delivery.cloud import Cloud, Project
    from scripts.delivery.templates import Template

VISIBLE = "sagemaker:studio-visibility=true"
LOCATION = "sagemaker:projectS3TemplatesLocation"


def role_arn(cloud: Cloud, name: str) -> str:
    """Look up the role; raise DeliveryError when there is none."""
    try:
        return str(cloud.client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except ClientError as error:
        if is_missing(error):
            raise DeliveryError(
                f"There is no role {name}: give the name of Studio's execution role, without its path."
            ) from None
        raise


def upload(cloud: Cloud, bucket: str, template: Template, project: Project) -> tuple[str, list[str]]:
    """Put the template where Service Catalog takes it, whose key comes first, and where Studio lists it.

    Service Catalog sees nothing new at an address that it knows, so that key has the file's hash. The
    addresses of what was not there yet come second.
    """
    s3 = cloud.client("s3")
    places: dict[str, dict[str, str]] = {
        f"catalog/pipeline-{template.digest}.yml": {},
        f"templates/{project.name}-pipeline.yml": {"Tagging": VISIBLE},
    }
    fresh = [key for key, more in places.items() if put(s3, bucket, key, template, **more)]
    return next(iter(places)), [f"s3://{bucket}/{key}" for key in fresh]


def put(s3: Any, bucket: str, key: str, template: Template, **more: str) -> bool:
    """Upload the file unless its very content lies there; tell whether it was uploaded."""
    try:
        there = s3.head_object(Bucket=bucket, Key=key)["Metadata"].get("digest")
    except ClientError as error:
        if not is_missing(error):
            raise
        there = None
    if there == template.digest:
        return False
    body, mark = template.path.read_bytes(), {"digest": template.digest}
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="text/yaml", Metadata=mark, **more)
    return True


def tell_domain(cloud: Cloud, domain: str, stack: str) -> str:
    """Tag the domain with the place of the templates; raise DeliveryError when there is no such domain."""
    location = outputs(find(cloud, stack))["TemplatesLocation"]
    sagemaker = cloud.client("sagemaker")
    try:
        arn = sagemaker.describe_domain(DomainId=domain)["DomainArn"]
    except ClientError as error:
        if is_missing(error):
            raise DeliveryError(f"There is no Studio domain {domain} in {cloud.region}.") from None
        raise
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": LOCATION, "Value": location}])
    return location
