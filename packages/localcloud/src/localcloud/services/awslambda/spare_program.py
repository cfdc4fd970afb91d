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

with contextlib.suppress(ImportError):
    import boto3  # noqa: F401 - functions import it


def main() -> None:
    """Wait for a function, and run its program."""
    line = sys.stdin.readline()
    if not line:  # the cloud has ended
        return
    given = json.loads(line)
    os.chdir(given["cwd"])
    os.environ.clear()
    os.environ.update(given["env"])
    time.tzset()
    sys.argv = [given["program"]]
    sys.path[0] = str(Path(given["program"]).parent)
    runpy.run_path(given["program"], run_name="__main__")


if __name__ == "__main__":
    main()
