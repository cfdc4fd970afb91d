"""Models and endpoint configurations, the parts of an endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.pagination import select
from localcloud.services.sagemaker.resource_store import ResourceStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localcloud.core.service import Json

# SageMaker takes the HTTPS address of an object as well.
HOST = r"s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?"
VIRTUAL_HOST = re.compile(rf"https://(?P<bucket>[a-z0-9.-]+)\.{HOST}/(?P<key>.+)")
PATH_STYLE = re.compile(rf"https://{HOST}/(?P<bucket>[^/]+)/(?P<key>.+)")
OF_A_PACKAGE = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "Environment")


@dataclass
class Models(ResourceStore):
    """Models of one container each; `package` returns the model package of a name or an ARN."""

    package: Callable[[str], Json] = field(kw_only=True)

    def create(self, request: Json) -> Json:
        """Create a model whose data exist.

        Raises:
            ServiceError: the model has no image or several containers, or its data or package do not exist.
        """
        given = (
            [request["PrimaryContainer"]] if "PrimaryContainer" in request else request.get("Containers", [])
        )
        if len(given) != 1:
            raise validation_error(
                f"The model has {len(given)} containers: the local cloud takes models of one, as the "
                "PrimaryContainer or as the only one of Containers, and no inference pipelines."
            )
        container = self._of_package(given[0]) if "ModelPackageName" in given[0] else given[0]
        if "Image" not in container:
            raise validation_error(
                "The local cloud takes models whose container has an Image or a model package."
            )
        check_model_data(container)
        member = (
            {"PrimaryContainer": container} if "PrimaryContainer" in request else {"Containers": [container]}
        )
        return super().create({"EnableNetworkIsolation": False, **request, **member})

    def _of_package(self, given: Json) -> Json:
        """Return a container with what its model package specifies."""
        package = self.package(given["ModelPackageName"])
        arn, status = package["ModelPackageArn"], package["ModelApprovalStatus"]
        if status != "Approved":
            raise validation_error(
                f"Model package {arn} has the approval status {status}, and must be Approved."
            )
        containers = package.get("InferenceSpecification", {}).get("Containers", [])
        if len(containers) != 1:
            raise validation_error(
                f"Model package {arn} specifies {len(containers)} containers; the local cloud takes one."
            )
        specified = select(containers[0], *OF_A_PACKAGE)
        variables = {**specified.get("Environment", {}), **given.get("Environment", {})}
        return {
            **specified,
            **given,
            "ModelPackageName": arn,
            **({"Environment": variables} if variables else {}),
        }


def container_of(model: Json) -> Json:
    """Return the only container of a model's description."""
    container: Json = model["PrimaryContainer"] if "PrimaryContainer" in model else model["Containers"][0]
    return container


def unpack(container: Json, into: Path) -> None:
    """Write a container's model data into a folder: an archive unpacked, other objects as they are.

    Raises:
        DataError: the data do not exist, or are damaged.
    """
    url, compressed = _data_of(container)
    if not url:
        return
    if compressed:
        object_store.extract(object_store.fetch(url), into)
    else:
        object_store.download(object_store.objects_of_prefix(url), into)


def _data_of(container: Json) -> tuple[str, bool]:
    """Return the address of a container's model data, and whether they are an archive."""
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        url = str(container.get("ModelDataUrl", ""))
        found = VIRTUAL_HOST.fullmatch(url) or PATH_STYLE.fullmatch(url)
        return f"s3://{found['bucket']}/{found['key']}" if found else url, True
    return str(source["S3Uri"]), source["CompressionType"] == "Gzip"


def check_model_data(container: Json) -> None:
    """Check that the model data of a container exist.

    Raises:
        ServiceError: an object does not exist at the URL.
    """
    url, _ = _data_of(container)
    if not url:
        return
    try:
        exists = object_store.keys_under(url)
    except object_store.DataError as error:
        raise validation_error(str(error)) from None
    if not exists:
        raise validation_error(f"Could not find model data at {url}.")


@dataclass
class EndpointConfigs(ResourceStore):
    """Endpoint configurations of one variant each, on instances."""

    models: ResourceStore = field(kw_only=True)

    def create(self, request: Json) -> Json:
        """Create a configuration whose model exists.

        Raises:
            ServiceError: the configuration has several variants, or its variant is not a model on instances.
        """
        if len(request["ProductionVariants"]) > 1 or request.get("ShadowProductionVariants"):
            raise validation_error("The local cloud takes one production variant an endpoint, and no shadow.")
        for variant in request["ProductionVariants"]:
            if "ModelName" not in variant or "ServerlessConfig" in variant:
                raise validation_error("The local cloud takes variants with a ModelName on instances only.")
            self.models.find(variant["ModelName"])
        variants = [{"InitialVariantWeight": 1.0, **variant} for variant in request["ProductionVariants"]]
        return super().create({"EnableNetworkIsolation": False, **request, "ProductionVariants": variants})
