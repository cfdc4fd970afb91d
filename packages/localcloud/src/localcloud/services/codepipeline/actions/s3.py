"""The action S3: a zip file in S3 is the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from localcloud.services.codepipeline.errors import configuration_error

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import ActionContext


def run(context: ActionContext) -> dict[str, str]:
    """Read the object, in the version that the execution names if it names one.

    Raises:
        ActionError: the object can't be read, or its bucket is not versioned.
    """
    bucket = context.configuration["S3Bucket"]
    key = context.revisions.get("S3_OBJECT_KEY", context.configuration["S3ObjectKey"])
    requested_version = context.revisions.get("S3_OBJECT_VERSION_ID")
    try:
        response = context.client("s3").get_object(
            Bucket=bucket, Key=key, **({"VersionId": requested_version} if requested_version else {})
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise configuration_error(
            f"The object with key {key} in bucket {bucket} can't be read ({code}): upload the source there.",
        ) from None
    version = response.get("VersionId")
    if not version or version == "null":
        raise configuration_error(f"The bucket {bucket} is not versioned: enable versioning for it.")
    for name in context.action.outputs:
        context.artifacts.put(name, response["Body"].read())
    context.run.revision, context.run.summary = version, f"Amazon S3 version id: {version}"
    return {
        "BucketName": bucket,
        "ObjectKey": key,
        "ETag": str(response["ETag"]).strip('"'),
        "VersionId": version,
    }
