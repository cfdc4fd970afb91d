"""A zip in S3 as the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from localcloud.services.codepipeline.errors import ActionError

if TYPE_CHECKING:
    from localcloud.services.codepipeline.action_context import Work


def run(work: Work) -> dict[str, str]:
    """Take the object as it is now, or in the version that was asked for."""
    bucket = work.configuration["S3Bucket"]
    key = work.revisions.get("S3_OBJECT_KEY", work.configuration["S3ObjectKey"])
    wanted = work.revisions.get("S3_OBJECT_VERSION_ID")
    try:
        found = work.client("s3").get_object(
            Bucket=bucket, Key=key, **({"VersionId": wanted} if wanted else {})
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise ActionError(
            "ConfigurationError",
            f"The object with key {key} in bucket {bucket} can't be read ({code}): upload the source there.",
        ) from None
    version = found.get("VersionId")
    if not version or version == "null":
        raise ActionError(
            "ConfigurationError", f"The bucket {bucket} is not versioned: enable versioning for it."
        )
    for name in work.action.outputs:
        work.artifacts.put(name, found["Body"].read())
    work.run.revision, work.run.summary = version, f"Amazon S3 version id: {version}"
    return {
        "BucketName": bucket,
        "ObjectKey": key,
        "ETag": str(found["ETag"]).strip('"'),
        "VersionId": version,
    }
