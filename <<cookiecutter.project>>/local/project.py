"""The project as the local commands see it: its folder, its names and its data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import localcloud
from delivery.cloud import DeliveryError
from localcloud import files

PICTURES = Path(__file__).with_name("pictures.py")  # of a project of images

# What commands of the container import: a local job finds a process that has done so. `evaluate` sets the
# threads of libraries before; `monitor` sets those of polars by its settings, so no process waits for it.
LEARNING = ("polars", "sklearn.ensemble", "skops.io")
ONE_THREAD = (("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"))
PRELOADS = (
    localcloud.Preload(("prepare",), ("polars",)),
    localcloud.Preload(("train",), LEARNING),
    localcloud.Preload(("evaluate",), LEARNING, ONE_THREAD),
)


class LocalError(DeliveryError):
    """Says in one sentence what went wrong and what to do; shown without a traceback."""


@dataclass(frozen=True)
class Project:
    """The project's folder, and the settings that the local commands read."""

    root: Path
    slug: str
    region: str
    target: str
    data_prefix: str
    workload: str = "tabular"
    delimiter: str = "auto"  # of CSV files

    @property
    def is_image(self) -> bool:
        """Whether the project's data are images.

        Raises:
            LocalError: they are, and the project was generated for tables.
        """
        if self.workload == "image" and not PICTURES.exists():
            from container.images import MISSING  # noqa: PLC0415 - the refusal alone needs it

            raise LocalError(f"{MISSING}.")
        return self.workload == "image"

    @property
    def state(self) -> Path:
        """The folder of everything that running locally leaves behind."""
        return self.root / ".local"

    def folder(self, name: str) -> Path:
        """Make a folder in it, or itself where the name is empty, closed to the machine's other users."""
        return files.folder(self.state, name)

    @property
    def settings(self) -> Path:
        """project.toml as this run uses it."""
        return self.state / "project.toml"

    @property
    def served_target(self) -> str:
        """The column that the last run predicts, which may be another than project.toml's."""
        return read_project(self.state).target if self.settings.is_file() else self.target

    @property
    def cloud(self) -> localcloud.Project:
        """The project as its local cloud knows it."""
        commands = localcloud.Commands("python -m local up", "python -m local down", monitor="monitor")
        dockerfile = Path("container/Dockerfile")
        return localcloud.Project(
            self.root, self.slug, self.region, self.state, dockerfile, commands, preloads=PRELOADS
        )

    def stack(self, kind: str) -> str:
        """Name the stack of a kind, as the delivery pipeline does."""
        return f"{self.slug}-{kind}"


def find_project(start: Path | None = None) -> Project:
    """Return the project that contains the folder `start`, by default the working directory.

    Raises:
        LocalError: the folder is not in a project.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "project.toml").is_file():
            return read_project(folder)
    raise LocalError(
        f"{here} is in no project: no project.toml there or above; change into the project first."
    )


def read_project(root: Path) -> Project:
    """Read root/project.toml.

    Raises:
        LocalError: the file cannot be read, or lacks an entry.
    """
    path = root / "project.toml"
    try:
        settings: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Project(
            root=root,
            slug=settings["project"]["name"],
            region=settings["project"]["region"],
            target=settings["data"]["target"],
            data_prefix=settings["data"]["prefix"],
            workload=settings["data"].get("workload", "tabular"),
            delimiter=settings["data"].get("delimiter", "auto"),
        )
    except tomllib.TOMLDecodeError as error:
        raise LocalError(f"project.toml is not valid TOML ({error}); mend it and try again.") from None
    except KeyError as error:
        raise LocalError(f"project.toml lacks the entry {error}: pipeline/settings.py names all.") from None
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise LocalError(
            f"project.toml is not that of a project ({error}); correct it and try again."
        ) from None
