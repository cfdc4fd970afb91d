"""The project that a cloud belongs to."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Commands:
    """The commands that messages name, and the container's command that analyses captured requests."""

    start: str = "localcloud.start(project)"
    stop: str = "localcloud.stop(project)"
    monitor: str = "monitor"


@dataclass(frozen=True)
class Preload:
    """Modules that a process imports before it is known which of some of the container's commands it runs.

    `environment` has the variables which those commands set themselves before they import the modules, unless
    they are set.
    """

    commands: tuple[str, ...]
    modules: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Preload:
        """Return the preload whose fields were written as JSON."""
        environment = tuple((name, value) for name, value in fields["environment"])
        return cls(tuple(fields["commands"]), tuple(fields["modules"]), environment)


@dataclass(frozen=True)
class Project:
    """The facts about a project that its cloud needs.

    `state` is the directory of everything that the cloud writes. `dockerfile` is the file whose ENTRYPOINT
    starts the project's container; it is read each time that a container starts, so an edit needs no restart
    of the cloud. Both may be relative to `root`. `python` runs the scripts of jobs whose image is not the
    project's. For each of `preloads` a process waits while jobs run.
    """

    root: Path
    name: str
    region: str = DEFAULT_REGION
    state: Path = Path(".local")
    dockerfile: Path = Path("Dockerfile")
    commands: Commands = field(default_factory=Commands)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    preloads: tuple[Preload, ...] = ()

    def __post_init__(self) -> None:
        """Make the paths absolute."""
        root = Path(self.root).resolve()
        object.__setattr__(self, "root", root)
        object.__setattr__(self, "state", root / self.state)
        object.__setattr__(self, "dockerfile", root / self.dockerfile)

    @property
    def image(self) -> str:
        """The address of the container's image, which nothing here pulls."""
        return f"local/{self.name}:latest"

    @property
    def record(self) -> Path:
        """The file that describes the running cloud: pid, port, region, speed, start and access key."""
        return self.state / "cloud.json"

    @property
    def lock(self) -> Path:
        """The file that the cloud locks while it lives; it contains the process id."""
        return self.state / "cloud.lock"

    @property
    def log(self) -> Path:
        """The cloud's own output."""
        return self.state / "logs" / "cloud.log"

    def to_json(self) -> str:
        """Return the project as text, for the cloud's process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Project:
        """Return the project that `to_json` wrote."""
        fields = json.loads(text)
        paths = {name: Path(fields[name]) for name in ("root", "state", "dockerfile", "python")}
        preloads = tuple(Preload.from_json(each) for each in fields["preloads"])
        return cls(**{**fields, **paths, "commands": Commands(**fields["commands"]), "preloads": preloads})
