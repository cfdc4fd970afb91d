"""The rendered files: written, or compared with those that were written before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.errors import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def to_json(content: Any) -> str:
    """Write equal content as equal text."""
    return json.dumps(content, indent=2) + "\n"


def write_files(folder: Path, rendered: Mapping[str, Any]) -> None:
    """Write the files, each of which is whole at any moment.

    Raises:
        OSError: if a file cannot be written; the error names the file, and no part of it remains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in rendered.items():
        fresh = folder / f"{name}.new"
        try:
            fresh.write_text(to_json(content), encoding="utf-8")
            fresh.replace(folder / name)
        except OSError as error:
            error.filename = error.filename or str(fresh)  # a failed write, unlike open, names no file
            fresh.unlink(missing_ok=True)
            raise


def list_changes(folder: Path, rendered: Mapping[str, Any]) -> Iterator[str]:
    """List the changes that `write_files` would make, a line for each changed entry or missing file."""
    for name, content in rendered.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: is not there"
        elif path.read_text(encoding="utf-8") != to_json(content):
            yield from (f"{path}: {line}" for line in differences(read_json(path), content))


def read_json(path: Path) -> Any:
    """Read a file that was rendered before; return an empty object where the file is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}


def differences(old: Any, new: Any) -> list[str]:
    """List the entries that differ, or one line where only the layout does."""
    before, after = dict(flatten(old)), dict(flatten(new))
    names = [*after, *(name for name in before if name not in after)]
    changed = [
        f"{name}: {before.get(name, 'nothing')} -> {after.get(name, 'nothing')}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    return changed or ["only its layout differs"]


def flatten(content: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the JSON of each value in a document."""
    if isinstance(content, dict | list) and content:
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in pairs:
            yield from flatten(value, dotted(where, str(key)))
    else:
        yield where, json.dumps(content)
