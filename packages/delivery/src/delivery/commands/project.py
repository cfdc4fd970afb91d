"""The project that a command works on, and its local cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import localcloud

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path

    import typer
    from localcloud import Cloud


class LocalProject(Protocol):
    """A project on this machine, as its own code reads it."""

    @property
    def slug(self) -> str:
        """The name that its stacks and its pipeline begin with."""

    @property
    def state(self) -> Path:
        """The folder of everything that running locally leaves behind."""

    @property
    def cloud(self) -> localcloud.Project:
        """The project as its local cloud knows it."""


def find_project(context: typer.Context) -> LocalProject:
    """Return the project of the working directory, by the function that the application was run with."""
    project: LocalProject = context.obj()
    return project


def running_cloud(project: LocalProject) -> Cloud:
    """Return the project's running cloud.

    Raises:
        DeliveryError: no local cloud runs; the message says how to start one.
    """
    cloud = localcloud.find(project.cloud)
    if cloud is None:
        raise DeliveryError("No local cloud is running here; 'python -m local up' starts it.")
    return cloud
