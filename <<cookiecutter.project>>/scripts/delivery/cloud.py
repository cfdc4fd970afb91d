"""The account that is worked on, and the faults that are told in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from pipeline.errors import SettingsError
from pipeline.reader import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MISSING = frozenset(
    {
        "404",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchTagSet",
        "NotFound",
        "FileSystemNotFound",
        "NotFoundException",
        "ParameterNotFound",
        "PipelineNotFoundException",
        "RepositoryNotFoundException",
        "ResourceNotFound",
        "ResourceNotFoundException",
    }
)


class DeliveryError(Exception):
    """Says in a sentence what is wrong and what would do."""


class Cloud(Protocol):
    """Whatever makes clients: an account, or the local cloud."""

    @property
    def region(self) -> str:
        """The region that everything is in."""

    def client(self, service: str) -> Any:
        """Give the boto3 client of a service."""


class Account:
    """The account whose credentials are set, in the project's region."""

    def __init__(self, region: str) -> None:
        """Take the region; credentials and endpoints come from the environment, as for every AWS tool."""
        from boto3.session import Session  # noqa: PLC0415 - a third of a second, which --help need not pay

        self._session = Session(region_name=region)
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """The project's region."""
        return str(self._session.region_name)

    def client(self, service: str) -> Any:
        """Give the client of a service; there is one each."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service)  # type: ignore[call-overload]
        return self._clients[service]


@dataclass(frozen=True)
class Project:
    """What project.toml says of the project."""

    name: str
    region: str

    @classmethod
    def read(cls, path: Path) -> Project:
        """Read and check the file; raise DeliveryError for what is wrong in it."""
        try:
            settings = read_settings(path)
        except SettingsError as error:
            raise DeliveryError(f"{path}: {error}") from None
        return cls(settings.project.name, settings.project.region)

    def stack(self, kind: str) -> str:
        """Name one of the project's stacks."""
        return f"{self.name}-{kind}"


def is_missing(error: ClientError) -> bool:
    """Tell whether the error says that the thing is not there."""
    return error.response["Error"]["Code"] in MISSING


def pages(client: Any, operation: str, key: str, /, **arguments: Any) -> Iterator[Any]:
    """Give every entry of a list that comes in pages; nothing when what it belongs to is not there."""
    try:
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key, [])
    except ClientError as error:
        if not is_missing(error):
            raise


def tags_of(entries: Any) -> dict[str, str]:
    """Read tags as AWS lists them; services differ in the case of the names."""
    pairs = ({name.lower(): value for name, value in entry.items()} for entry in entries or ())
    return {
        pair.get("key", pair.get("tagkey", "")): pair.get("value", pair.get("tagvalue", "")) for pair in pairs
    }
