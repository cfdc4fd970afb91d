"""The model that an endpoint of the local cloud serves: its files, and the test split of its training."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from delivery import local_stacks, stacks
from delivery.cloud import DeliveryError, pages
from delivery.hints import also_meant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from delivery.cloud import Cloud

ARCHIVE = "/model.tar.gz"
TRAINED = re.compile(r"(runs/[^/]+)/training/.*/model\.tar\.gz")
CREATING, ANSWERING = "Creating", ("InService", "Updating", "SystemUpdating")
POLL_SECONDS = 0.1
MOST_ENDPOINTS = 5  # in a message


@dataclass(frozen=True)
class StoredModel:
    """A model.tar.gz in S3, by what its content is known by."""

    bucket: str
    key: str
    tag: str
    size: int
    modified: datetime

    @property
    def url(self) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{self.key}"


def in_service(cloud: Cloud, project: str) -> str:
    """Return the name of production's endpoint, or of dev's while production has none.

    Raises:
        DeliveryError: Neither has an endpoint; the message names the others that are in service.

    """
    for kind in ("deploy-prd", "deploy-dev"):
        if name := deployed(cloud, project, kind).get("EndpointName"):
            return name
    raise DeliveryError(f"Neither production nor dev has an endpoint here; {_other_choice(cloud)}.")


def _other_choice(cloud: Cloud) -> str:
    names = names_in_service(cloud)
    if not names:
        return "'python -m local run' deploys one"
    more = f" and {len(names) - MOST_ENDPOINTS} more" if len(names) > MOST_ENDPOINTS else ""
    return f"--endpoint-name NAME chooses one that is in service: {', '.join(names[:MOST_ENDPOINTS])}{more}"


def names_in_service(cloud: Cloud) -> list[str]:
    """Return the names of the endpoints that answer requests, the newest first."""
    listed = pages(cloud.client("sagemaker"), "list_endpoints", "Endpoints")
    return [each["EndpointName"] for each in listed if each["EndpointStatus"] in ANSWERING]


def deployed(cloud: Cloud, project: str, kind: str) -> dict[str, str]:
    """Return the outputs of a stack; none where it does not exist, or could not be made."""
    name = f"{project}-{kind}"
    return {} if stacks.find(cloud, name) is None else local_stacks.outputs(cloud, name)


def await_service(cloud: Cloud, endpoint_name: str) -> None:
    """Wait for an endpoint that is being created, and check that it answers requests.

    Raises:
        DeliveryError: The endpoint does not exist, or is in another state.

    """
    while (found := _describe(cloud, endpoint_name))["EndpointStatus"] == CREATING:
        time.sleep(POLL_SECONDS)
    if found["EndpointStatus"] not in ANSWERING:
        reason = found.get("FailureReason", "wait, and try again")
        raise DeliveryError(f"The endpoint {endpoint_name} is {found['EndpointStatus']}: {reason}")


def model_url(cloud: Cloud, endpoint_name: str) -> str:
    """Return the address of the model that an endpoint serves.

    Raises:
        DeliveryError: The endpoint does not exist.

    """
    sagemaker, endpoint = cloud.client("sagemaker"), _describe(cloud, endpoint_name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = sagemaker.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    return str(model["PrimaryContainer"]["ModelDataUrl"])


def _describe(cloud: Cloud, endpoint_name: str) -> dict[str, Any]:
    sagemaker = cloud.client("sagemaker")
    try:
        return dict(sagemaker.describe_endpoint(EndpointName=endpoint_name))
    except ClientError:
        names = reversed(names_in_service(cloud))  # of several, the newest is the likeliest
        raise DeliveryError(
            f"No endpoint {endpoint_name} is in service; 'python -m local status' lists those that are"
            f"{also_meant(endpoint_name, names)}"
        ) from None


def find_model(cloud: Cloud, url: str) -> StoredModel:
    """Return a model in S3.

    Raises:
        DeliveryError: No object is there.

    """
    address = urlsplit(url)
    bucket, key = address.netloc, address.path.lstrip("/")
    try:
        head = cloud.client("s3").head_object(Bucket=bucket, Key=key)
    except ClientError:
        raise DeliveryError(f"{url} does not exist in the local cloud.") from None
    return StoredModel(bucket, key, head["ETag"].strip('"'), head["ContentLength"], head["LastModified"])


def find_file(cloud: Cloud, path: Path) -> StoredModel | None:
    """Return the model in S3 that has the content of a file, a training's where there are several."""
    with path.open("rb") as file:
        tag = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    size = path.stat().st_size
    same = [each for each in stored_models(cloud) if (each.tag, each.size) == (tag, size)]
    return max(same, key=lambda each: (TRAINED.fullmatch(each.key) is not None, each.modified), default=None)


def stored_models(cloud: Cloud) -> Iterator[StoredModel]:
    """Yield every model.tar.gz in the local cloud."""
    s3 = cloud.client("s3")
    for bucket in (entry["Name"] for entry in s3.list_buckets()["Buckets"]):
        for entry in pages(s3, "list_objects_v2", "Contents", Bucket=bucket):
            if f"/{entry['Key']}".endswith(ARCHIVE):
                tag = entry["ETag"].strip('"')
                yield StoredModel(bucket, entry["Key"], tag, entry["Size"], entry["LastModified"])


def read_test_split(cloud: Cloud, model: StoredModel) -> bytes:
    """Return the test split of the training that made a model: a CSV file, or a zip of images.

    Raises:
        DeliveryError: The local cloud does not have that training.

    """
    return _prepared(cloud, model, "test", (".csv", ".zip"))


def read_schema(cloud: Cloud, model: StoredModel) -> bytes:
    """Return the schema of the training that made a model, as JSON.

    Raises:
        DeliveryError: The local cloud does not have that training.

    """
    return _prepared(cloud, model, "schema", (".json",))


def _prepared(cloud: Cloud, model: StoredModel, name: str, suffixes: tuple[str, ...]) -> bytes:
    s3: Any = cloud.client("s3")
    # Of trainings that made the same model, the newest counts, except for the training of that very file.
    for each in (model, *sorted(stored_models(cloud), key=lambda one: one.modified, reverse=True)):
        found = TRAINED.fullmatch(each.key)
        if not found or (each.tag, each.size) != (model.tag, model.size):
            continue
        prefix = f"{found[1]}/prepare/{name}/"
        for entry in pages(s3, "list_objects_v2", "Contents", Bucket=each.bucket, Prefix=prefix):
            if entry["Key"].endswith(suffixes):
                return bytes(s3.get_object(Bucket=each.bucket, Key=entry["Key"])["Body"].read())
    raise DeliveryError(
        f"The training of {model.url} is not in the local cloud, nor is its test split: name a file."
    )
