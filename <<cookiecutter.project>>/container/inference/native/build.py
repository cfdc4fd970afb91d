"""The build of the C library, by the system's compiler or else by the one in the ziglang package."""

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
    is_intact,
    key,
    sources,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPILERS = ("gcc", "clang", "cc")
TIMEOUT_SECONDS = 300  # zig compiles its own runtime at the first call


def build(built: Path, environment: Mapping[str, str]) -> None:
    """Compile the library into `built / key()`, which appears with all its files at once.

    Raises:
        UnavailableError: no compiler is found, the compiler fails, or the directory cannot be written.
    """
    command, name = _compiler(environment)
    try:
        built.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=built, prefix=".partial-") as folder:
            staged = Path(folder) / "library"
            staged.mkdir()
            zig = {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}
            _compile(command, name, staged, {**environment, **zig})
            for path in (built, staged, *staged.iterdir()):
                path.chmod(0o755)  # by any umask, all may read and only the owner may write: see `read`
            _move(staged, built / key())
    except OSError as error:
        raise UnavailableError(f"{built} cannot be written: {error.strerror}") from error


def _compiler(environment: Mapping[str, str]) -> tuple[list[str], str]:
    """Return the command of the first compiler that is found, and its name."""
    for name in COMPILERS:
        path = shutil.which(name, path=environment.get("PATH", os.defpath))
        if path:
            return [path], name
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=undefined"], "ziglang"
    names = ", ".join(COMPILERS)
    raise UnavailableError(f"there is no compiler: {names} are not on the PATH, ziglang is not installed")


def _compile(command: Sequence[str], name: str, staged: Path, environment: Mapping[str, str]) -> None:
    target = staged / LIBRARY
    arguments = [*command, *FLAGS, "-o", str(target), *map(str, sources()), "-lm"]
    try:
        completed = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"{name} does not run: {error}") from error
    if completed.returncode:
        raise UnavailableError(f"{name} failed: {' '.join(completed.stderr.split())[:500]}")
    record = {"compiler": name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}
    (staged / RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def _move(staged: Path, directory: Path) -> None:
    """Rename a build to its place, unless another process has put an intact one there meanwhile."""
    try:
        staged.rename(directory)
    except OSError:
        if is_intact(directory):
            return
        shutil.rmtree(directory)
        staged.rename(directory)
