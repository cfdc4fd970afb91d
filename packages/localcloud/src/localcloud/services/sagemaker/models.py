"""Models and endpoint configurations, the parts of an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.resource_store import ResourceStore

if TYPE_CHECKING:
    from localcloud.core.service import Json


class Models(ResourceStore):
    """Models of one container each, with an archive in S3 as their data."""

    def create(self, request: Json) -> Json:
        """Create a model whose data exist.

        Raises:
            ServiceError: the model has no image, or its data do not exist.
        """
        container = request.get("PrimaryContainer")
        if container is None or "Image" not in container:
            raise validation_error("The local cloud takes models with a PrimaryContainer that has an Image.")
        check_model_data(container)
        return super().create({"EnableNetworkIsolation": False, **request})


def check_model_data(container: Json) -> None:
    """Check that the model data of a container exist.

    Raises:
        ServiceError: an object does not exist at the URL.
    """
    url = container.get("ModelDataUrl")
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
