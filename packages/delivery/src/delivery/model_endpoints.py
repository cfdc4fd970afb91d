"""An endpoint for a model.tar.gz, without a stack."""

from __future__ import annotations

import os
import re
import secrets
import socket
import tarfile
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError
from delivery.endpoints import EXECUTION_ID
from delivery.inference import served
from delivery.interrupts import delayed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from delivery.cloud import Cloud
    from delivery.inference.served import StoredModel
    from delivery.sagemaker_sdk import SdkSettings

REQUIRED = ("model.json", "schema.json")  # files of a model of this project
PORT = "SAGEMAKER_BIND_TO_PORT"  # of a model's environment: the port that its server listens on
VARIANT = "AllTraffic"
NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9](-*[a-zA-Z0-9])*")  # SageMaker's rule
FAILED = "Failed"
MISSING = "Could not find"  # in SageMaker's message
POLL_SECONDS = 0.1
UNREADABLE = (tarfile.TarError, EOFError, OSError, zlib.error)


@dataclass(frozen=True)
class Deployment:
    """An endpoint to create."""

    name: str
    project: str
    port: int | None = None
    replace: bool = False
    instance_type: str = "ml.m5.large"


def check_port(port: int) -> None:
    """Check that a server can listen on a port of this machine.

    Raises:
        DeliveryError: It can't.

    """
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise DeliveryError(
            f"Port {port} of 127.0.0.1 can't be used: {os.strerror(error.errno or 0)}. Choose another."
        ) from None


def check_archive(path: Path) -> None:
    """Check that a file is a model of this project.

    Raises:
        DeliveryError: It does not exist, is damaged, or is another archive.

    """
    if not path.is_file():
        raise DeliveryError(f"{path} does not exist: name a model.tar.gz, or its s3:// address.")
    try:
        with tarfile.open(path, "r:gz") as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
    except UNREADABLE as error:
        raise DeliveryError(f"{path} is not a model.tar.gz, or is damaged: {error}") from None
    if absent := [name for name in REQUIRED if name not in names]:
        raise DeliveryError(f"{path} lacks {' and '.join(absent)}, which 'train' writes: choose another.")


def check_name(cloud: Cloud, wanted: Deployment) -> None:
    """Check that no endpoint has the name, or delete it: one that failed, or one that is to be replaced.

    Raises:
        DeliveryError: The name does not follow SageMaker's rule, or an endpoint has the name, and stays.

    """
    name, sagemaker = wanted.name, cloud.client("sagemaker")
    if not NAME.fullmatch(name):
        raise DeliveryError(
            f"'{name}' can't be the name of an endpoint: take at most 63 letters, digits and hyphens, with a "
            "letter or digit at both ends."
        )
    try:
        status = sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"]
    except ClientError as error:
        if MISSING in str(error):
            return
        raise
    if re.fullmatch(rf"{re.escape(wanted.project)}-(dev|prd)-{EXECUTION_ID}", name):
        raise DeliveryError(
            f"The endpoint {name} belongs to a stack, which replaces it: choose another name."
        )
    if status != FAILED and not wanted.replace:
        raise DeliveryError(
            f"The endpoint {name} exists and is {status}: choose another name, or delete it by --replace."
        )
    delete(cloud, name)


def store(cloud: Cloud, settings: SdkSettings, path: Path) -> StoredModel:
    """Return the model in S3 that has the content of a file, which is uploaded where none has."""
    if found := served.find_file(cloud, path):
        return found
    key = f"uploaded/{secrets.token_hex(6)}/model.tar.gz"
    cloud.client("s3").upload_file(str(path), settings.bucket, key)
    return served.find_model(cloud, f"s3://{settings.bucket}/{key}")


def own_name(wanted: Deployment) -> str:
    """Return a name for the model and the configuration of an endpoint that no others have."""
    return f"{wanted.name[:50].rstrip('-')}-{secrets.token_hex(4)}"


def create(cloud: Cloud, settings: SdkSettings, model: StoredModel, wanted: Deployment, own: str) -> None:
    """Create the endpoint with a model and a configuration named `own`; it is not in service yet.

    A signal interrupts after the answer to a request; `delete_created` deletes what there is by then.
    """
    sagemaker = cloud.client("sagemaker")
    image = settings.image(cloud.region, wanted.project)
    environment = {PORT: str(wanted.port)} if wanted.port else {}
    container = {"Image": image, "ModelDataUrl": model.url, "Environment": environment}
    with delayed():
        sagemaker.create_model(ModelName=own, ExecutionRoleArn=settings.role_arn, PrimaryContainer=container)
    variant = {
        "VariantName": VARIANT,
        "ModelName": own,
        "InstanceType": wanted.instance_type,
        "InitialInstanceCount": 1,
    }
    with delayed():
        sagemaker.create_endpoint_config(EndpointConfigName=own, ProductionVariants=[variant])
    with delayed():
        sagemaker.create_endpoint(EndpointName=wanted.name, EndpointConfigName=own)


def delete(cloud: Cloud, name: str) -> None:
    """Delete an endpoint, its configuration and its model, and wait until it is gone, if it exists."""
    sagemaker: Any = cloud.client("sagemaker")
    with suppress(ClientError):  # that is how an endpoint is seen to be gone
        while (found := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == served.CREATING:
            time.sleep(POLL_SECONDS)
        config = sagemaker.describe_endpoint_config(EndpointConfigName=found["EndpointConfigName"])
        with delayed():  # without the endpoint, nobody finds the others
            sagemaker.delete_endpoint(EndpointName=name)
            sagemaker.delete_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
            for variant in config["ProductionVariants"]:
                sagemaker.delete_model(ModelName=variant["ModelName"])
        while sagemaker.describe_endpoint(EndpointName=name):
            time.sleep(POLL_SECONDS)


def delete_created(cloud: Cloud, name: str, own: str) -> None:
    """Delete what `create` has created so far; an endpoint of another, which has the name by now, stays."""
    sagemaker = cloud.client("sagemaker")
    with ignoring_missing():
        if sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"] == own:
            delete_endpoint(cloud, name)
    with ignoring_missing():
        sagemaker.delete_endpoint_config(EndpointConfigName=own)
    with ignoring_missing():
        sagemaker.delete_model(ModelName=own)


def delete_endpoint(cloud: Cloud, name: str) -> None:
    """Delete an endpoint, after its creation, and wait until it is gone, if it exists."""
    sagemaker = cloud.client("sagemaker")
    with ignoring_missing():
        while sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == served.CREATING:
            time.sleep(POLL_SECONDS)
        sagemaker.delete_endpoint(EndpointName=name)
        while sagemaker.describe_endpoint(EndpointName=name):
            time.sleep(POLL_SECONDS)


@contextmanager
def ignoring_missing() -> Iterator[None]:
    """Ignore that SageMaker does not find what the body is about."""
    try:
        yield
    except ClientError as error:
        if MISSING not in str(error):
            raise
