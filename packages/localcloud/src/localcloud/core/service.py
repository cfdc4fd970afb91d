"""The interface of a service: operations, CloudFormation resources, state-machine tasks, start and end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
Operation = Callable[[Json], Json]
# An HTTP request as ASGI gives it, answered in full: method, path, headers, body.
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
Route = Callable[[str, Mapping[str, str], bytes], Awaitable[Answer]]


class Waiting(Protocol):
    """The execution of a state machine, as a task sees it that waits."""

    def abandoned(self) -> bool:
        """Whether the execution was stopped, or does not wait for this task any more."""


Task = Callable[[Json, Waiting], Json]
# EventBridge calls it with the resource's ARN, the rule's ARN and the rule's own input, if the rule has one.
Target = Callable[[str, str, "str | None"], None]


@dataclass(frozen=True)
class Resource:
    """The handlers by which CloudFormation makes, changes and deletes a resource type; they may wait.

    `create` takes the properties and a default name and returns (physical id, attributes). `update` takes the
    physical id, the old and the new properties and a default name, and returns the same; another physical id
    than the old one is a replacement, and CloudFormation deletes the old resource in its clean-up.
    """

    create: Callable[[Json, str], tuple[str, Json]]
    update: Callable[[str, Json, Json, str], tuple[str, Json]]
    delete: Callable[[str, Json], None]


def _nothing() -> None:
    """Do nothing."""


def _no_processes() -> dict[str, dict[str, int]]:
    """Return the processes of a service that starts none."""
    return {}


@dataclass(frozen=True)
class Kept:
    """A part of a service that outlives the cloud: `save` returns it as JSON, and `load` takes it back.

    `load` runs in the new cloud before the first request, in the order of `Service.kept`, and records what
    was running as ended. `resume` starts again what has to run, once requests are answered. `noun` is what a
    person calls the things in it, in the plural.
    """

    save: Callable[[], Any]
    load: Callable[[Any], None]
    resume: Callable[[], None] = _nothing
    noun: str = ""

    @classmethod
    def table(cls, items: dict[Any, Any], noun: str = "") -> Kept:
        """Keep a dictionary of JSON, whose keys are texts."""
        return cls(lambda: items, items.update, noun=noun)


@dataclass(frozen=True)
class Service:
    """A service: all that the gateway, CloudFormation, Step Functions and EventBridge call.

    `name` is botocore's, whose model checks every request. `tasks` are named as state machines name them
    (`createTrainingJob.sync`), `resources` as templates do, `routes` are patterns of paths. `target` is
    called by EventBridge's rules whose target belongs to the service. `install` applies the patches of the
    service, before the first request; `close` ends the service. `processes` gives the ids of the running
    processes, by the ARN of the job and the name of the instance. `kept` has the parts that outlive the
    cloud.
    """

    name: str
    operations: Mapping[str, Operation] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)
    target: Target | None = None
    install: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing
    processes: Callable[[], dict[str, dict[str, int]]] = _no_processes
    kept: Mapping[str, Kept] = field(default_factory=dict)
