"""Import what most functions import, then become the process of one: run its program, with its environment.

The first line of standard input is a JSON object with the members `program`, `cwd` and `env`. What follows is
read by the program.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

with contextlib.suppress(ImportError):
    import boto3  # noqa: F401 - functions import it

LAYERS = "_LAMBDA_LAYERS_DIRS"


def main() -> None:
    """Wait for a function, and run its program, in a new interpreter where this one does not fit."""
    with open(0, "rb", buffering=0, closefd=False) as unbuffered:  # the program reads what follows
        line = unbuffered.readline()
    if not line:  # the cloud has ended
        return
    given = json.loads(line)
    program, code, env = given["program"], Path(given["cwd"]), given["env"]
    os.chdir(code)
    if not _fits(code, env):
        os.execve(sys.executable, [sys.executable, program], env)  # noqa: S606 - no shell is wanted
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = [program]
    sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


def _fits(code: Path, env: Mapping[str, str]) -> bool:
    """Return whether none of the function's modules was imported from elsewhere, with the same Python."""
    own = {path.name.partition(".")[0] for path in code.iterdir()}
    settings = {name for name in {*env, *os.environ} if name.startswith("PYTHON")}
    same = all(env.get(name) == os.environ.get(name) for name in settings)
    return same and LAYERS not in env and own.isdisjoint(sys.modules)


if __name__ == "__main__":
    main()
