"""The raw data of a run: their upload, and the check that the execution was trained on them alone."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery import local_stacks
from delivery.cloud import DeliveryError
from delivery.history.executions import UNDER_WAY, list_executions
from delivery.history.training import trained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from delivery.cloud import Cloud

DIGEST, CHUNK = "sha256", 1_048_576
NOT_STOPPABLE = "PipelineExecutionNotStoppableException"


def upload(
    cloud: Cloud, project: str, prefix: str, files: tuple[Path, ...], folder: Path | None = None
) -> dict[str, str]:
    """Put the files under the project's prefix, in place of an earlier run's, and return their versions.

    With a folder, the files keep their paths in it.

    A file that is there already stays as it is: each upload is an event that the governor decides about.

    Raises:
        DeliveryError: A file changes during its upload, or an execution that has not ended its training may
            read what would change.

    """
    s3, bucket = cloud.client("s3"), _bucket(cloud, project)
    names = [path.relative_to(folder).as_posix() if folder else path.name for path in files]
    wanted = {f"{prefix}{name}": path for name, path in zip(names, files, strict=True)}
    stored = _keys(s3, bucket, prefix)
    old = stored - wanted.keys()
    same = {key: _same_version(s3, bucket, key, digest_of(wanted[key])) for key in stored & wanted.keys()}
    new = {key: path for key, path in wanted.items() if not same.get(key)}
    if old or new:
        _refuse_while_read(cloud, project)
    for key in old:
        s3.delete_object(Bucket=bucket, Key=key)
    return same | {key: _put(s3, bucket, key, path) for key, path in new.items()}


def check(cloud: Cloud, project: str, execution_id: str, versions: Mapping[str, str]) -> bool:
    """Return whether the execution has been trained; stop it where its data may be others.

    `versions` are those of the run's own files, by key.

    Raises:
        DeliveryError: Its data may be others.

    """
    training = trained(cloud, project, execution_id)
    if not training:
        return False
    s3, bucket = cloud.client("s3"), _bucket(cloud, project)
    read = _manifest(s3, bucket, training)
    foreign = sorted(read - versions.keys())
    changed = sorted(key for key, version in versions.items() if _version(s3, bucket, key) != version)
    if foreign or changed:
        outcome = _stop(cloud, f"{project}-pipeline", execution_id)
        raise DeliveryError(
            f"Execution {execution_id} may have been trained on other data than this run's: something else "
            f"wrote or deleted {', '.join(foreign or changed)} in s3://{bucket} before the training had "
            f"ended. {outcome} Run again while nothing else writes there."
        )
    return True


def _refuse_while_read(cloud: Cloud, project: str) -> None:
    for execution in list_executions(cloud, f"{project}-pipeline"):
        name = execution["pipelineExecutionId"]
        if execution["status"] in UNDER_WAY and not trained(cloud, project, name):
            raise DeliveryError(
                f"Execution {name} of the pipeline, since {execution['startTime']:%H:%M:%S}, may still read "
                "the data that this run would replace. 'python -m local follow' shows the execution: run "
                "again when its training has ended, or end it with 'python -m local down'."
            )


def _put(s3: Any, bucket: str, key: str, path: Path) -> str:
    """Upload a file and return its version; raise DeliveryError where it was not stored as it was read."""
    digest = digest_of(path)
    s3.upload_file(str(path), bucket, key)
    if version := _same_version(s3, bucket, key, digest):
        return version
    s3.delete_object(Bucket=bucket, Key=key)
    raise DeliveryError(f"{path} changed while it was uploaded; run again when nothing writes to it.")


def digest_of(path: Path) -> str:
    """Return a digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, DIGEST).hexdigest()


def _same_version(s3: Any, bucket: str, key: str, digest: str) -> str:
    """Give the version of the object whose content has the digest; empty where the content is another.

    Version and content are of one answer: another writer's version is never taken for the file's.
    """
    stored = s3.get_object(Bucket=bucket, Key=key)
    found = hashlib.new(DIGEST)
    for chunk in stored["Body"].iter_chunks(CHUNK):
        found.update(chunk)
    return str(stored["VersionId"]) if found.hexdigest() == digest else ""


def _keys(s3: Any, bucket: str, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def _version(s3: Any, bucket: str, key: str) -> str:
    """Give the present version of an object; empty where there is none."""
    try:
        return str(s3.head_object(Bucket=bucket, Key=key)["VersionId"])
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
            return ""
        raise


def _manifest(s3: Any, bucket: str, training: str) -> set[str]:
    """List the keys that a training has read, as its state machine wrote them down."""
    key = f"runs/{training.rpartition(':')[2]}/manifest.json"
    head, *names = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    prefix = head["prefix"].removeprefix(f"s3://{bucket}/")
    return {f"{prefix}{name}" for name in names}


def _bucket(cloud: Cloud, project: str) -> str:
    return local_stacks.outputs(cloud, f"{project}-pipeline")["ArtifactBucket"]


def _stop(cloud: Cloud, pipeline: str, execution_id: str) -> str:
    """Stop the execution, and say what came of that."""
    reason = "It may have been trained on other data than those of the run that started it."
    try:
        # Abandoned, since it would otherwise go on until somebody answers an approval that it waits for.
        cloud.client("codepipeline").stop_pipeline_execution(
            pipelineName=pipeline, pipelineExecutionId=execution_id, abandon=True, reason=reason
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != NOT_STOPPABLE:
            raise
        return "It has ended already: 'python -m local status' shows what serves."
    return "It is stopped: 'python -m local status' shows what serves."
