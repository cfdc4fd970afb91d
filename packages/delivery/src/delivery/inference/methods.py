"""The four methods of `python -m local infer` to reach an endpoint of the local cloud."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from delivery import sagemaker_sdk
from delivery.cloud import DeliveryError
from delivery.inference import clients, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localcloud import Cloud

    from delivery.commands.project import LocalProject
    from delivery.inference.predictions import Ask


class Method(StrEnum):
    """The ways in which a request reaches the model."""

    direct = "direct"
    boto3 = "boto3"
    predictor = "predictor"
    api = "api"


class UnavailableError(DeliveryError):
    """A method that an endpoint can't be reached by, with the reason."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a project's local cloud."""

    cloud: Cloud
    project: LocalProject
    name: str

    @property
    def folder(self) -> Path:
        """The folder of its servers."""
        return self.project.state / "endpoints" / self.name

    @property
    def model_folder(self) -> Path:
        """The files of its model; each UpdateEndpoint has a folder of its own, and removes the former."""
        updated = [path.parent for path in self.folder.glob("update-*/model")]
        newest = max(updated, key=lambda path: int(path.name.partition("-")[2]), default=self.folder)
        return newest / "model"

    @contextmanager
    def reach(self, method: Method, kind: str) -> Iterator[Ask]:
        """Yield a function that sends requests of a content type.

        Raises:
            UnavailableError: The endpoint can't be reached by this method.

        """
        if method is Method.predictor:
            python, environment = self._sdk()
            try:
                with clients.predictor(python, environment, self.name, kind) as ask:
                    yield ask
            except clients.IncompleteError as error:
                raise UnavailableError(str(error)) from None
        elif method is Method.boto3:
            yield clients.invoke(self.cloud, self.name, kind)
        elif method is Method.api:
            key = self.cloud.key
            yield clients.api(self.api_url(), (key.id, key.secret), self.cloud.region, kind)
        else:
            yield clients.direct(self._port(), kind)

    def api_url(self) -> str:
        """Return the local address of the project's API.

        Raises:
            UnavailableError: The API does not serve this endpoint.

        """
        outputs = served.deployed(self.cloud, self.project.slug, "deploy-prd")
        if outputs.get("EndpointName") == self.name:
            return str(self.cloud.local_url(outputs["ApiUrl"]))
        if "EndpointName" not in outputs:
            raise UnavailableError(
                f"The project's API can't reach the endpoint {self.name}: the API serves production, which "
                "has no endpoint yet."
            )
        raise UnavailableError(
            f"The project's API can't reach the endpoint {self.name}: the API serves production's endpoint "
            f"{outputs['EndpointName']}."
        )

    def _port(self) -> int:
        try:
            return int((self.folder / "port").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnavailableError(
                f"No endpoint {self.name} is in service; 'python -m local status' lists those that are."
            ) from None

    def _sdk(self) -> tuple[Path, dict[str, str]]:
        try:
            python = sagemaker_sdk.interpreter()
        except DeliveryError as error:
            raise UnavailableError(str(error)) from None
        settings = sagemaker_sdk.prepare(self.cloud, self.project.state)
        kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
        return python, kept | self.cloud.environment | settings.environment
