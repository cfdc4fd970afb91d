"""Start, find and stop the cloud of a project; each project has a cloud of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from localcloud.core import account, kept, kept_files, lock, private_files
from localcloud.core.access import AccessKey
from localcloud.core.disk_errors import shortage
from localcloud.core.errors import CloudError
from localcloud.core.requests import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from boto3.session import Session

    from localcloud.core.project import Project

LOOPBACK = "127.0.0.1"
CLOCK_PATH = "/_local/clock"
CLOCK_TIMEOUT = 30.0
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
# The exit code of a cloud that does not start because another one holds the lock.
ALREADY_RUNNING = 75
LOG_TAIL = 20
MIN_FREE_BYTES = 65_536  # with fewer, a log may end before its reason
KEYLESS = (
    "The local cloud that runs here was started by another version of this project and has no access key; "
    "'{stop}' stops it."
)
# Clients are safe to share between threads; making them is not.
MAKING_CLIENTS = threading.Lock()


@dataclass(frozen=True)
class Cloud:
    """A running local cloud."""

    project: Project
    port: int
    pid: int
    key: AccessKey
    speed: float = 1.0
    skip: bool = True

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self.project.root

    @property
    def region(self) -> str:
        """The region that names and ARNs have."""
        return self.project.region

    @property
    def endpoint_url(self) -> str:
        """The address of all its services."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point another tool (the AWS CLI, a notebook) at this cloud alone."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            **self.key.variables,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            **account.NO_CREDENTIALS,
        }

    def local_url(self, url: str) -> str:
        """Return the local address of an API's (https://ID.execute-api.REGION.amazonaws.com/STAGE/…).

        Raises:
            CloudError: it is not such an address.
        """
        address = urlsplit(url)
        api, _, service = (address.hostname or "").partition(".")
        if not service.startswith("execute-api."):
            raise CloudError(f"{url} is not the address of an API Gateway stage")
        return f"{self.endpoint_url}/_aws/execute-api/{api}{address.path}"

    def deployments(self) -> Any:
        """Return CodeDeploy's deployments with their steps: oldest first, times as here and as on AWS."""
        return self._read("/_local/deployments", 10)

    def processes(self) -> dict[str, dict[str, int]]:
        """Return the process ids of the jobs and builds that run, by ARN and name of the instance.

        Each id is that of a process group, with the container's command in it.
        """
        return dict(self._read("/_local/processes", 10))

    def clock(self, **request: Any) -> dict[str, Any]:
        """Return the clock's state, and wait on it or change it as the request says (see clock_route.py).

        Raises:
            ConnectionError: the cloud has ended.
        """
        try:
            state: dict[str, Any] = self._read(CLOCK_PATH, CLOCK_TIMEOUT, json.dumps(request).encode())
        except (URLError, HTTPException) as error:
            raise ConnectionError(str(error)) from None
        return state

    def simulated(self, *times: float) -> list[float]:
        """Return the simulated times of times in records, both in epoch seconds."""
        shown: list[float] = self.clock(times=times)["times"]
        return shown

    def leave(self, follower: str) -> None:
        """Let the cloud forget a command that waited on the clock; a cloud that has ended knows of none."""
        with suppress(OSError):
            self.clock(follower=follower)

    def answers(self) -> bool:
        """Whether it is this cloud's process that answers at its port."""
        try:
            return bool(self._read("/_local/health", 2)["pid"] == self.pid)
        except (OSError, ValueError, KeyError):
            return False

    def _read(self, path: str, timeout: float, body: bytes | None = None) -> Any:
        request = Request(f"{self.endpoint_url}{path}", body, self.key.header)  # noqa: S310 - always http
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as answer:
            return json.loads(answer.read())

    @cached_property
    def _session(self) -> Session:
        import botocore.session  # noqa: PLC0415 - takes a fifth of a second, which `find` need not pay
        from boto3.session import Session  # noqa: PLC0415 - as above

        # Nothing of the user's configuration: no profile, no files, and so no credentials.
        closed = {
            "profile": (None, None, None, None),
            "config_file": (None, None, account.NOWHERE, None),
            "credentials_file": (None, None, account.NOWHERE, None),
        }
        session = botocore.session.Session(session_vars=closed)
        session.set_credentials(self.key.id, self.key.secret)
        return Session(botocore_session=session, region_name=self.region)

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """Return the boto3 client of the service, bound to this cloud with its key; threads share it.

        Raises:
            CloudError: the client would call another address.
        """
        with MAKING_CLIENTS:
            if service not in self._clients:
                self._clients[service] = self._connect(service)
        return self._clients[service]

    def _connect(self, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - as above

        config = Config(
            proxies={},
            retries={"total_max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent_extra=OWN,
            use_fips_endpoint=False,
            use_dualstack_endpoint=False,
        )
        create: Any = self._session.client
        client = create(service, endpoint_url=self.endpoint_url, config=config)
        if client.meta.endpoint_url != self.endpoint_url:
            raise CloudError(
                f"{service} would be called at {client.meta.endpoint_url}, which is not the local cloud"
            )
        return client


def start(project: Project, speed: float | None = None, *, skip: bool | None = None) -> Cloud:
    """Start the project's cloud, or return the one that runs.

    `speed` divides every wait that AWS imposes, and with `skip` the clock skips time in which nothing runs. A
    cloud that runs changes to what is given, and keeps the rest; a new one has speed 1, and skips unless the
    variable LOCALCLOUD_SKIP is `no`. Where a part of what is kept is missing, standard error says so.

    Raises:
        CloudError: the cloud does not start; the message has the end of its log.
    """
    if running := find(project):
        return _changed(running, speed, skip)
    private_files.folder(project.state, project.log.parent.name)
    if lost := kept_files.missing_state(project):
        sys.stderr.write(f"warning: {lost}.\n")
    skip = os.environ.get("LOCALCLOUD_SKIP") != "no" if skip is None else skip
    process = _spawn(project, 1.0 if speed is None else speed, skip=skip)
    try:
        return _ready(project, process)
    except KeyboardInterrupt:
        process.terminate()
        raise


def _ready(project: Project, process: subprocess.Popen[bytes]) -> Cloud:
    """Wait until a cloud that starts is ready, and return it."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if cloud := find(project):
            return cloud
        if process.poll() not in (None, ALREADY_RUNNING):
            raise CloudError(f"the local cloud ended while it started; {_tail(project)}")
        time.sleep(0.02)
    process.kill()
    raise CloudError(f"the local cloud was not ready after {START_TIMEOUT:.0f} s; {_tail(project)}")


def find(project: Project) -> Cloud | None:
    """Return the project's cloud when it runs and answers, else None.

    Raises:
        CloudError: the cloud was started by a version of the project whose clouds had no access key.
    """
    if not lock.is_held(project.lock):
        return None
    try:
        record = json.loads(project.record.read_bytes())
        if "access_key_id" not in record:
            raise CloudError(KEYLESS.format(stop=project.commands.stop))
        cloud = Cloud(
            replace(project, region=str(record["region"])),
            int(record["port"]),
            int(record["pid"]),
            AccessKey(str(record["access_key_id"]), str(record["secret_access_key"])),
            float(record["speed"]),
            bool(record.get("skip", False)),
        )
    except (OSError, ValueError, KeyError):
        return None
    return cloud if cloud.answers() else None


def stop(project: Project, *, keep: bool = True) -> bool:
    """Stop the project's cloud with its jobs and endpoints; return False when none was running.

    Without `keep` it does not save its end: what it holds is to be deleted.

    Raises:
        CloudError: the cloud does not end.
    """
    running = lock.is_held(project.lock)
    if running:
        kept.want(project, wanted=keep)
    for number, timeout in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, 5.0)):
        if not lock.is_held(project.lock) or (pid := _holder(project.lock)) is None:
            break
        _signal(pid, number)
        if _released(project.lock, timeout):
            break
    else:
        raise CloudError(f"the local cloud does not end; its log is {project.log}")
    project.record.unlink(missing_ok=True)
    if running and keep:
        with lock.holding(project.lock, "") as held:  # no cloud may start meanwhile
            if held:
                kept_files.share_equal(project)
    return running


@contextmanager
def holding(project: Project) -> Iterator[bool]:
    """Hold the project's lock with this process's id in it; yield False when another cloud holds it."""
    private_files.folder(project.state)
    with lock.holding(project.lock, str(os.getpid())) as held:
        yield held


def _changed(running: Cloud, speed: float | None, skip: bool | None) -> Cloud:  # noqa: FBT001 - None keeps it
    speed, skip = running.speed if speed is None else speed, running.skip if skip is None else skip
    if (speed, skip) != (running.speed, running.skip):
        running.clock(speed=speed, skip=skip)
    return replace(running, speed=speed, skip=skip)


def _spawn(project: Project, speed: float, *, skip: bool) -> subprocess.Popen[bytes]:
    with project.log.open("ab") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "localcloud", "--project", project.to_json()),
                *("--speed", str(speed), "--skip" if skip else "--no-skip"),
            ],
            cwd=project.root,
            env=account.without_aws(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _released(path: Path, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while lock.is_held(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _holder(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _tail(project: Project) -> str:
    if lack := shortage(project.state, MIN_FREE_BYTES):
        return f"its log {project.log} may lack the reason{lack}"
    lines = project.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
    return "\n".join([f"the end of {project.log}:", *lines])
