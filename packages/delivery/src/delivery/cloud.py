"""The AWS account that the scripts work on, the project, and errors that end in a sentence."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - its name there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
# What a call raises when nothing answers any more: of boto3, and of plain HTTP.
UNREACHABLE = (ConnectionError, HTTPClientError, builtins.ConnectionError)


class DeliveryError(Exception):
    """An expected error, whose message says what is wrong and what to do."""


class Cloud(Protocol):
    """A source of boto3 clients: an account, or the local cloud."""

    @property
    def region(self) -> str:
        """The region of all calls."""

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service."""


class Account:
    """The account whose credentials are set, in the project's region."""

    def __init__(self, region: str) -> None:
        """Take the region; credentials and endpoints come from the environment, as for every AWS tool."""
        from boto3.session import Session  # noqa: PLC0415 - the import takes a third of a second, too long for --help

        self._session = Session(region_name=region)
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """The project's region."""
        return str(self._session.region_name)

    def client(self, service: str) -> Any:
        """Return the client of a service, always the same one."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service)  # type: ignore[call-overload]
        return self._clients[service]


@dataclass(frozen=True)
class Project:
    """The name and region of the project in project.toml, and the folder of that file."""

    name: str
    region: str
    root: Path

    @classmethod
    def read(cls, root: Path, read_settings: Callable[[Path], Any]) -> Project:
        """Read a project's folder; `read_settings` checks project.toml, and returns what has `project.name`.

        Raises:
            DeliveryError: The file is missing, or a setting is wrong, with its name and the accepted values.

        """
        path = root / "project.toml"
        if not path.is_file():
            raise DeliveryError(f"{path} does not exist: restore it, or name the folder of a project.")
        try:
            settings = read_settings(path)
        except ValueError as error:
            raise DeliveryError(f"{path}: {error}") from None
        return cls(settings.project.name, settings.project.region, root)

    def stack(self, kind: str) -> str:
        """Name one of the project's stacks."""
        return f"{self.name}-{kind}"


def is_missing(error: ClientError) -> bool:
    """Return whether a call failed because its resource does not exist."""
    return error.response["Error"]["Code"] in MISSING


def pages(client: Any, operation: str, key: str, /, **arguments: Any) -> Iterator[Any]:
    """Yield every entry of a list that is answered in pages; none where its parent does not exist."""
    try:
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key, [])
    except ClientError as error:
        if not is_missing(error):
            raise


def tags_of(entries: Any) -> dict[str, str]:
    """Return a list of tags as a mapping; services differ in the case of the member names."""
    pairs = ({name.lower(): value for name, value in entry.items()} for entry in entries or ())
    return {
        pair.get("key", pair.get("tagkey", "")): pair.get("value", pair.get("tagvalue", "")) for pair in pairs
    }
