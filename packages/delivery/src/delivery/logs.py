"""The logs that the local cloud, its jobs and its endpoints leave under .local/logs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from pathlib import Path


def list_logs(folder: Path) -> list[str]:
    """Name the logs, the latest last."""
    return [_name(folder, path) for path in _found(folder)]


def find_log(folder: Path, name: str) -> Path:
    """Find the log whose name is `name` or contains it; of several the latest.

    Raises:
        DeliveryError: no log has such a name.
    """
    found = _found(folder)
    exact = [path for path in found if _name(folder, path) == name]
    alike = exact or [path for path in found if name in _name(folder, path)]
    if not alike:
        raise DeliveryError(f"A log {name!r} does not exist; 'python -m local logs' lists the logs.")
    return alike[-1]


def _found(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime)


def _name(folder: Path, path: Path) -> str:
    """Name a log by what it is of, without its kind: an instance of a job as `job/algo-1`."""
    kind, *within = path.relative_to(folder).with_suffix("").parts
    return "/".join(within) or kind


def tail(path: Path, lines: int) -> list[str]:
    """Give the last lines of the log."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
