"""The source that the pipeline takes as a commit: the project's files in a zip."""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where git is missing and cannot list the project's files.
LEFT_OUT = re.compile(r"\.local|\.venv|build|\.git|\.\w+_cache|.*__pycache__|\.hypothesis")


def pack(root: Path, settings: Path) -> bytes:
    """Zip a project's files as they are now, with the file `settings` for project.toml."""
    sink = BytesIO()
    with zipfile.ZipFile(
        sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
    ) as archive:
        for path in files(root):
            archive.write(path, path.relative_to(root))
        archive.write(settings, "project.toml")
    return sink.getvalue()


def files(root: Path) -> list[Path]:
    """List what a commit of all would hold; without git, all but what running here makes."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        names = done.stdout.split("\0") if done.returncode == 0 else []
    except FileNotFoundError:
        names = []
    found = {root / name for name in names if name}
    if root / "project.toml" not in found:
        found = set(_walk(root))
    return sorted(path for path in found - {root / "project.toml"} if path.is_file())


def _walk(root: Path) -> Iterator[Path]:
    """List the files below a folder, without a look into the folders that are left out: they are large."""
    for folder, inner, names in os.walk(root):
        here = Path(folder)
        inner[:] = [name for name in inner if not _is_left_out(here / name, root)]
        yield from (here / name for name in names if not _is_left_out(here / name, root))


def _is_left_out(path: Path, root: Path) -> bool:
    return LEFT_OUT.fullmatch(path.relative_to(root).as_posix()) is not None


def settled(text: str, target: str | None) -> str:
    """Return project.toml's text with another target, when one is given.

    Raises:
        DeliveryError: No line of it names a target.

    """
    if target is None:
        return text
    text, found = re.subn(r"(?m)^target = .*$", lambda _: f"target = {json.dumps(target)}", text, count=1)
    if not found:
        raise DeliveryError('project.toml has no line that begins with "target = "; write it in [data].')
    return text
