"""Build the C library with the compiler that is there: the system's, else that of the ziglang package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from container.inference.native.library import (
    FLAGS,
    LIBRARY,
    RECORD,
    UnavailableError,
    is_whole,
    key,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPILERS = ("gcc", "clang", "cc")
PATIENCE = 300  # seconds; zig compiles its own runtime at the first call


def build(built: Path, environment: Mapping[str, str]) -> None:
    """Compile into a directory of its own, which takes its place as a whole. Raises `UnavailableError`."""
    command, name = _compiler(environment)
    try:
        built.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built, prefix=".partial-") as folder:
            made = Path(folder) / "library"
            made.mkdir()
            zig = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
            _compile(command, name, made, {**environment, **zig})
            for path in (built, made, *made.iterdir()):
                path.chmod(0o755)  # whatever the umask is: for all to read, and for the owner alone to write
            _move(made, built / key())
    except OSError as error:
        raise UnavailableError(f"{built} cannot be written: {error.strerror}") from error


def _compiler(environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the command of the first compiler that is there, and its name."""
    for name in COMPILERS:
        found = shutil.which(name, path=environment.get("PATH", os.defpath))
        if found:
            return [found], name
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined"], "ziglang"
    wanted = ", ".join(COMPILERS)
    raise UnavailableError(f"there is no compiler: {wanted} are not on the PATH, ziglang is not installed")


def _compile(command: Sequence[str], name: str, made: Path, environment: Mapping[str, str]) -> None:
    target = made / LIBRARY
    arguments = [*command, *FLAGS, "-o", str(target), *map(str, sources()), "-lm"]
    try:
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{name} does not run: {error}") from error
    if done.returncode:
        raise UnavailableError(f"{name} failed: {' '.join(done.stderr.split())[:500]}")
    record = {"compiler": name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}
    (made / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _move(made: Path, directory: Path) -> None:
    """Put a build in its place, unless another process put one there meanwhile."""
    try:
        made.rename(directory)
    except OSError:
        if is_whole(directory):
            return
        shutil.rmtree(directory)
        made.rename(directory)
