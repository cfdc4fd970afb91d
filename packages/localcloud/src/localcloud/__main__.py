"""Run the cloud of a project in this process: `python -m localcloud --project JSON`."""

from __future__ import annotations

import argparse
import os
import socket
import sys

from localcloud.core import account, kept, private_files, process
from localcloud.core.access import AccessKey
from localcloud.core.disk_errors import explained
from localcloud.core.project import Project


def main() -> int:
    """Hold the project's lock and serve until SIGTERM; return 75 when another cloud holds the lock."""
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=main.__doc__)
    parser.add_argument("--project", type=Project.from_json, required=True, help="the project, as JSON")
    parser.add_argument("--speed", type=float, default=1.0, help="the number that AWS's waits are divided by")
    parser.add_argument(
        "--skip", action=argparse.BooleanOptionalAction, default=True, help="skip time in which nothing runs"
    )
    arguments = parser.parse_args()
    try:
        with process.holding(arguments.project) as held:
            return (
                _serve(arguments.project, arguments.speed, skip=arguments.skip)
                if held
                else process.ALREADY_RUNNING
            )
    except OSError as error:
        sys.stderr.write(f"error: {explained(error)}\n")
        return 1


def _serve(project: Project, speed: float, *, skip: bool) -> int:
    """Bind a free port, prepare the environment that ministack reads on import, and serve."""
    project.record.unlink(missing_ok=True)
    _truncate_log()
    listener = _listen()
    cloud = process.Cloud(project, listener.getsockname()[1], os.getpid(), AccessKey.create(), speed, skip)
    private_files.folder(project.state, "tmp")
    prepared = _ministack_environment(cloud)
    os.environ.clear()
    os.environ.update(prepared)
    # Only now: ministack reads its environment when it is imported.
    from localcloud.core import server  # noqa: PLC0415 - see above
    from localcloud.services.registration import register  # noqa: PLC0415 - see above

    return server.run(listener, cloud, register)


def _ministack_environment(cloud: process.Cloud) -> dict[str, str]:
    """Return the environment that ministack starts with: loopback only, files in the state, the cloud's key.

    ministack reads it while it is imported, so it must be in place before that.
    """
    state = cloud.project.state
    settings = {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "localhost",
        "GATEWAY_PORT": str(cloud.port),
        "MINISTACK_REGION": cloud.region,
        "MINISTACK_ACCOUNT_ID": account.ACCOUNT,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "1",
        "LAMBDA_EXECUTOR": "local",
        "STATE_DIR": str(kept.folder(cloud.project) / "ministack"),
        "S3_DATA_DIR": str(kept.folder(cloud.project) / "s3"),
        "TMPDIR": str(state / "tmp"),
        # A socket that does not exist keeps ministack from the user's Docker, whose containers it would stop.
        "DOCKER_HOST": f"unix://{state / 'no-docker.sock'}",
    }
    return {**account.without_aws(os.environ), **settings, **cloud.environment}


def _listen() -> socket.socket:
    """Return a socket on a free port of the loopback interface."""
    # With the protocol named, asyncio turns Nagle's algorithm off: 40 ms a request otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((process.LOOPBACK, 0))
    listener.listen(512)
    return listener


def _truncate_log() -> None:
    """Empty the log, which is the standard output: a message about this start shows its end."""
    try:
        os.ftruncate(1, 0)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
