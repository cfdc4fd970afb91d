"""The project that a command works on, and the cloud that it reads: the local one, or another endpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import localcloud

from delivery.cloud import Account, DeliveryError
from delivery.view import print_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import typer

    from delivery.cloud import Cloud
    from delivery.commands.project_code import ProjectCode

ENDPOINT = "AWS_ENDPOINT_URL"
# `up --export` sets it with AWS_ENDPOINT_URL: a terminal in which it names the project keeps reading the
# project's own local cloud, also when that has been started again at another port.
OWNER = "LOCAL_CLOUD_STATE"


class LocalProject(Protocol):
    """A project on this machine, as its own code reads it."""

    @property
    def root(self) -> Path:
        """The project's folder."""

    @property
    def slug(self) -> str:
        """The name that its stacks and its pipeline begin with."""

    @property
    def region(self) -> str:
        """The region of its stacks."""

    @property
    def is_image(self) -> bool:
        """Whether the project's data are images."""

    @property
    def state(self) -> Path:
        """The folder of everything that running locally leaves behind."""

    @property
    def cloud(self) -> localcloud.Project:
        """The project as its local cloud knows it."""


@dataclass(frozen=True)
class Opener:
    """The functions that the application was run with."""

    find_project: Callable[[], Any]
    code_of: Callable[[Any], ProjectCode]


@dataclass(frozen=True)
class Place:
    """The cloud that a command reads; `local` is None where AWS_ENDPOINT_URL names another endpoint."""

    cloud: Cloud
    url: str
    local: localcloud.Cloud | None

    @property
    def title(self) -> str:
        """What a person reads first."""
        if self.local is None:
            return f"The endpoint is {self.url}."
        return f"The local cloud answers at {self.url} (process {self.local.pid})."


def find_project(context: typer.Context) -> LocalProject:
    """Return the project of the working directory."""
    opener: Opener = context.obj
    project: LocalProject = opener.find_project()
    return project


def find_code(context: typer.Context, project: LocalProject) -> ProjectCode:
    """Return what needs the project's own container and pipeline."""
    opener: Opener = context.obj
    return opener.code_of(project)


def reach(project: LocalProject) -> Place:
    """Return the endpoint that AWS_ENDPOINT_URL names, and say so, or else the project's running cloud.

    Raises:
        DeliveryError: neither exists.
    """
    if (url := other_endpoint(project)) is None:
        cloud = running_cloud(project)
        return Place(cloud, cloud.endpoint_url, cloud)
    print_error(f"{ENDPOINT} is set: this reads {url}, not the project's local cloud.")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or project.region
    return Place(Account(region), url, None)


def running_cloud(project: LocalProject) -> localcloud.Cloud:
    """Return the project's running cloud.

    Raises:
        DeliveryError: no local cloud runs, or AWS_ENDPOINT_URL names another endpoint; the message says what
            to do.
    """
    refuse_other_endpoint(project)
    cloud = localcloud.find(project.cloud)
    if cloud is None:
        raise DeliveryError("No local cloud is running here; 'python -m local up' starts it.")
    return cloud


def refuse_other_endpoint(project: LocalProject) -> None:
    """Refuse a command that works on the project's local cloud alone.

    Raises:
        DeliveryError: AWS_ENDPOINT_URL names another endpoint.
    """
    if url := other_endpoint(project):
        raise DeliveryError(
            f"{ENDPOINT} is {url}, not this project's local cloud, and this command works on that"
            f" cloud alone: 'unset {ENDPOINT}' returns to it. status, jobs, logs and stop work anywhere."
        )


def other_endpoint(project: LocalProject) -> str | None:
    """Return the endpoint that AWS_ENDPOINT_URL names, unless that is the project's own local cloud."""
    url = os.environ.get(ENDPOINT)
    if not url or os.environ.get(OWNER) == str(project.cloud.state):
        return None
    running = localcloud.find(project.cloud)
    return None if running and _address(url) == _address(running.endpoint_url) else url


def _address(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    return host, parts.port
