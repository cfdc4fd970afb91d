"""Models and endpoint configurations: what an endpoint is made of."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.clock import now
from localcloud.core.errors import validation_error
from localcloud.services.sagemaker.tags import Tags, listed

if TYPE_CHECKING:
    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json


@dataclass
class Catalogue:
    """Named descriptions of one kind, that are made, described, listed and deleted, and never change."""

    context: CloudContext
    tags: Tags
    member: str
    kind: str
    noun: str
    items: dict[str, Json] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, request: Json) -> Json:
        """Keep what the request describes under its name, which must be new."""
        name = request[f"{self.member}Name"]
        arn = self.arn(name)
        kept = {key: value for key, value in request.items() if key != "Tags"}
        with self.lock:
            if name in self.items:
                raise validation_error(f'Cannot create already existing {self.noun} "{arn}".')
            self.items[name] = {**kept, f"{self.member}Arn": arn, "CreationTime": now()}
        self.tags.set(arn, request.get("Tags", []))
        return {f"{self.member}Arn": arn}

    def describe(self, request: Json) -> Json:
        """Describe one."""
        return dict(self.find(request[f"{self.member}Name"]))

    def list(self, request: Json) -> Json:
        """List them."""
        return listed(request, list(self.items.values()), self.member, f"{self.member}s")

    def delete(self, request: Json) -> Json:
        """Forget one."""
        name = request[f"{self.member}Name"]
        self.find(name)
        self.items.pop(name, None)
        self.tags.drop(self.arn(name))
        return {}

    def find(self, name: str) -> Json:
        """Return the description under a name."""
        if name not in self.items:
            raise validation_error(f'Could not find {self.noun} "{self.arn(name)}".')
        return self.items[name]

    def arn(self, name: str) -> str:
        """Return the ARN that belongs to a name."""
        return self.context.arn("sagemaker", f"{self.kind}/{name}")


class Models(Catalogue):
    """Models of one container each, with their data as an archive in S3."""

    def create(self, request: Json) -> Json:
        """Keep a model whose data are there."""
        container = request.get("PrimaryContainer")
        if container is None or "Image" not in container:
            raise validation_error("The local cloud takes models with a PrimaryContainer that has an Image.")
        require_data(container)
        return super().create({"EnableNetworkIsolation": False, **request})


def require_data(container: Json) -> None:
    """Refuse a container whose model is not there."""
    url = container.get("ModelDataUrl")
    if not url:
        return
    try:
        found = object_store.under(url)
    except object_store.DataError as error:
        raise validation_error(str(error)) from None
    if not found:
        raise validation_error(f"Could not find model data at {url}.")


@dataclass
class EndpointConfigs(Catalogue):
    """Endpoint configurations of instances that are made for the purpose."""

    models: Catalogue = field(kw_only=True)

    def create(self, request: Json) -> Json:
        """Keep a configuration whose models exist."""
        if len(request["ProductionVariants"]) > 1 or request.get("ShadowProductionVariants"):
            raise validation_error("The local cloud takes one production variant an endpoint, and no shadow.")
        for variant in request["ProductionVariants"]:
            if "ModelName" not in variant or "ServerlessConfig" in variant:
                raise validation_error("The local cloud takes variants with a ModelName on instances only.")
            self.models.find(variant["ModelName"])
        variants = [{"InitialVariantWeight": 1.0, **variant} for variant in request["ProductionVariants"]]
        return super().create({"EnableNetworkIsolation": False, **request, "ProductionVariants": variants})
