"""The logs that the local cloud, its jobs and its endpoints leave under .local/logs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from local.project import LocalError

if TYPE_CHECKING:
    from pathlib import Path


def list_logs(folder: Path) -> list[str]:
    """Name the logs, the latest last."""
    found = sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime)
    return [path.stem for path in found]


def find_log(folder: Path, name: str) -> Path:
    """Find the log whose name is, or alone begins with, `name`; the latest of one job's attempts."""
    found = sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime)
    exact = [path for path in found if path.stem == name]
    alike = exact or [path for path in found if name in path.stem]
    if not alike:
        raise LocalError(f"There is no log {name!r}; 'python -m local logs' lists those there are.")
    return alike[-1]


def tail(path: Path, lines: int) -> list[str]:
    """Give the last lines of the log."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
