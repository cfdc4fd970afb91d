"""Run the cloud of a project in this process: `python -m local.cloud --root DIRECTORY`."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tomllib
from pathlib import Path

from local.cloud import environment, private, process
from local.cloud.access import AccessKey
from local.cloud.files import explained

DEFAULT_REGION = "us-east-1"


def main() -> int:
    """Hold the project's lock and serve until SIGTERM; 75 when another cloud holds it."""
    parser = argparse.ArgumentParser(prog="python -m local.cloud", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the project's directory")
    parser.add_argument("--speed", type=float, default=1.0, help="what AWS's waits are divided by")
    arguments = parser.parse_args()
    files = process.Files(arguments.root.resolve())
    try:
        with process.holding(files) as held:
            return serve(files, arguments.speed) if held else process.ALREADY_RUNNING
    except OSError as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 1


def serve(files: process.Files, speed: float) -> int:
    """Bind a free port, prepare the environment that ministack reads on import, and serve."""
    files.record.unlink(missing_ok=True)
    truncate_log()
    listener = listening()
    port, region = listener.getsockname()[1], region_of(files.root)
    here = process.Cloud(files.root, port, os.getpid(), region, AccessKey.create(), speed)
    private.folder(files.state, "tmp")
    prepared = environment.for_cloud(os.environ, files.state, here)
    os.environ.clear()
    os.environ.update(prepared)
    from local.cloud import server  # noqa: PLC0415  # only now: ministack reads its environment while imported

    return server.run(files, listener, here)


def listening() -> socket.socket:
    """Return a socket on a free port of the loopback interface."""
    # With the protocol named, asyncio turns Nagle's algorithm off: 40 ms a request otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((process.LOOPBACK, 0))
    listener.listen(512)
    return listener


def truncate_log() -> None:
    """Begin the log anew, when the output is one; starting again after a crash must not show the crash."""
    try:
        os.ftruncate(1, 0)
    except OSError:
        return


def region_of(root: Path) -> str:
    """Return the region that project.toml names, for names and ARNs only."""
    try:
        return str(tomllib.loads((root / "project.toml").read_text(encoding="utf-8"))["project"]["region"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return DEFAULT_REGION


if __name__ == "__main__":
    sys.exit(main())
