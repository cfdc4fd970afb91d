"""One run at a time: runs share the raw data, the settings and the report of their project."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from localcloud import files

from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.project import Project


@contextmanager
def alone(project: Project, command: str) -> Iterator[None]:
    """Keep other runs of the project out; raise LocalError that says which run is there already.

    The lock ends with the process, however that ends.
    """
    path = project.folder("") / "run.lock"
    began = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    with files.holding(path, f"'{command}' since {began}, process {os.getpid()}") as held:
        if not held:
            other = path.read_text(encoding="utf-8", errors="replace")
            raise LocalError(
                f"Another run is under way here: {other}. Two at once would share their data. Run again when "
                "the other has ended; 'python -m local follow' shows it."
            )
        yield
