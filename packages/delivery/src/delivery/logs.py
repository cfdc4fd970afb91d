"""The logs that the local cloud, its jobs and its endpoints leave under .local/logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery.cloud import DeliveryError
from delivery.hints import also_meant, find_named

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = 65_536  # bytes of one read from the end


def list_logs(folder: Path) -> list[tuple[str, Path]]:
    """Return the logs with their names, the latest last."""
    return [(_name(folder, path), path) for path in _found(folder)]


def find_logs(folder: Path, name: str) -> list[tuple[str, Path]]:
    """Return the logs of a name, the latest last; it is an instance's, a job's, or a part of one.

    Raises:
        DeliveryError: no log has such a name.
    """
    known = list_logs(folder)
    found = find_named(name, known, lambda log: _names(log[0]))
    if not found:
        hint = also_meant(name, (each for each, _ in known))
        raise DeliveryError(f"A log {name!r} does not exist; 'python -m local logs' lists the logs{hint}")
    return found


def is_log(folder: Path, name: str) -> bool:
    """Return whether a log has this name, and not only as a part of its own."""
    return any(name in _names(each) for each, _ in list_logs(folder))


def _names(name: str) -> tuple[str, str]:
    """Return the names that find a log: its own, and that of the job whose instance has written it."""
    return name, name.partition("/")[0]


def _found(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime)


def _name(folder: Path, path: Path) -> str:
    """Name a log by what it is of, without its kind: an instance of a job as `job/algo-1`."""
    kind, *within = path.relative_to(folder).with_suffix("").parts
    return "/".join(within) or kind


def tail(path: Path, lines: int) -> list[str]:
    """Return the last lines of the log."""
    with path.open("rb") as file:
        begin = file.seek(0, 2)
        content = b""
        while begin and content.count(b"\n") <= lines:
            size = min(BLOCK, begin)
            begin = file.seek(begin - size)
            content = file.read(size) + content
    return decode_lines(content)[-lines:]


def decode_lines(content: bytes) -> list[str]:
    """Return the lines of a part of a log; a carriage return ends a line too, as progress bars use it."""
    return [line.decode("utf-8", "replace") for line in content.splitlines()]
