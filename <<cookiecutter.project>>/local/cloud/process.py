"""Start, find and stop the cloud of a project; several projects have theirs side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from local.cloud import environment, lock, private
from local.cloud.access import AccessKey
from local.cloud.errors import CloudError
from local.cloud.files import shortage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boto3.session import Session

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
# A cloud's exit code that says: another one holds the lock.
ALREADY_RUNNING = 75
LOG_TAIL = 20
NO_ROOM = 65_536  # bytes; with fewer free, a log may end before its reason
KEYLESS = (
    "The local cloud that runs here was started by another version of this project and has no access key; "
    "'python -m local down' stops it."
)
# Clients are safe to share between threads; making them is not.
MAKING_CLIENTS = threading.Lock()


@dataclass(frozen=True)
class Cloud:
    """A running local cloud."""

    root: Path
    port: int
    pid: int
    region: str
    key: AccessKey
    speed: float = 1.0

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
            **environment.NO_CREDENTIALS,
        }

    def local_url(self, url: str) -> str:
        """Return where an API's address (https://ID.execute-api.REGION.amazonaws.com/STAGE/…) is answered."""
        address = urlsplit(url)
        api, _, service = (address.hostname or "").partition(".")
        if not service.startswith("execute-api."):
            raise CloudError(f"{url} is not the address of an API Gateway stage")
        return f"{self.endpoint_url}/_aws/execute-api/{api}{address.path}"

    def deployments(self) -> Any:
        """Return CodeDeploy's deployments with their steps: oldest first, times as here and as on AWS."""
        return self._read("/_local/deployments", 10)

    def answers(self) -> bool:
        """Whether it is this cloud's process that answers at its port."""
        try:
            return bool(self._read("/_local/health", 2)["pid"] == self.pid)
        except (OSError, ValueError, KeyError):
            return False

    def _read(self, path: str, timeout: float) -> Any:
        request = Request(f"{self.endpoint_url}{path}", headers=self.key.header)  # noqa: S310 - always http
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as answer:
            return json.loads(answer.read())

    @cached_property
    def _session(self) -> Session:
        import botocore.session  # noqa: PLC0415  # a fifth of a second that starting and finding need not pay
        from boto3.session import Session  # noqa: PLC0415

        # Nothing of the user's configuration: no profile, no files, and so no credentials.
        closed = {
            "profile": (None, None, None, None),
            "config_file": (None, None, environment.NOWHERE, None),
            "credentials_file": (None, None, environment.NOWHERE, None),
        }
        session = botocore.session.Session(session_vars=closed)
        session.set_credentials(self.key.id, self.key.secret)
        return Session(botocore_session=session, region_name=self.region)

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """Return the boto3 client of the service, bound to this cloud with its key; threads share it."""
        with MAKING_CLIENTS:
            if service not in self._clients:
                self._clients[service] = self._connect(service)
        return self._clients[service]

    def _connect(self, service: str) -> Any:
        from botocore.config import Config  # noqa: PLC0415

        config = Config(
            proxies={},
            retries={"total_max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
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


@dataclass(frozen=True)
class Files:
    """Where a project's cloud keeps its state."""

    root: Path

    @property
    def state(self) -> Path:
        """The directory of everything that the cloud writes."""
        return self.root / ".local"

    @property
    def record(self) -> Path:
        """What is running: pid, port, region, since when, and with which access key."""
        return self.state / "cloud.json"

    @property
    def lock(self) -> Path:
        """Held by the cloud while it lives; it contains the process id."""
        return self.state / "cloud.lock"

    @property
    def log(self) -> Path:
        """The cloud's own output."""
        return self.state / "logs" / "cloud.log"


def start(root: Path, speed: float | None = None) -> Cloud:
    """Start the project's cloud, or return the one that runs; raise CloudError with the log's tail.

    `speed` divides every wait that AWS imposes; a cloud that runs keeps its own, and refuses another.
    """
    files = Files(root.resolve())
    if running := find(root):
        return _as_fast(running, speed)
    private.folder(files.state, files.log.parent.name)
    process = _spawn(files, 1.0 if speed is None else speed)
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if cloud := find(root):
            return cloud
        if process.poll() not in (None, ALREADY_RUNNING):
            raise CloudError(f"the local cloud ended while it started; {_tail(files)}")
        time.sleep(0.02)
    process.kill()
    raise CloudError(f"the local cloud was not ready after {START_TIMEOUT:.0f} s; {_tail(files)}")


def find(root: Path) -> Cloud | None:
    """Return the project's cloud when it runs and answers, else None.

    Raises CloudError when the cloud was started by a version of the project whose clouds had no access key.
    """
    files = Files(root.resolve())
    if not lock.is_held(files.lock):
        return None
    try:
        record = json.loads(files.record.read_bytes())
        if "access_key_id" not in record:
            raise CloudError(KEYLESS)
        cloud = Cloud(
            files.root,
            int(record["port"]),
            int(record["pid"]),
            str(record["region"]),
            AccessKey(str(record["access_key_id"]), str(record["secret_access_key"])),
            float(record["speed"]),
        )
    except (OSError, ValueError, KeyError):
        return None
    return cloud if cloud.answers() else None


def stop(root: Path) -> bool:
    """Stop the project's cloud with its jobs and endpoints; False when none was running."""
    files = Files(root.resolve())
    running = lock.is_held(files.lock)
    for number, timeout in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, 5.0)):
        if not lock.is_held(files.lock) or (pid := _holder(files.lock)) is None:
            break
        _signal(pid, number)
        if _released(files.lock, timeout):
            break
    else:
        raise CloudError(f"the local cloud does not end; its log is {files.log}")
    files.record.unlink(missing_ok=True)
    return running


@contextmanager
def holding(files: Files) -> Iterator[bool]:
    """Hold the project's lock with this process's id in it; False when another cloud has it."""
    private.folder(files.state)
    with lock.holding(files.lock, str(os.getpid())) as held:
        yield held


def _as_fast(running: Cloud, speed: float | None) -> Cloud:
    if speed not in (None, running.speed):
        raise CloudError(
            f"a local cloud runs at speed {running.speed:g}, not {speed:g}; 'python -m local down' stops it"
        )
    return running


def _spawn(files: Files, speed: float) -> subprocess.Popen[bytes]:
    package_root = Path(__file__).resolve().parents[2]
    with files.log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "local.cloud", "--root", str(files.root), "--speed", str(speed)],
            cwd=package_root,
            env=environment.without_aws(os.environ),
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


def _tail(files: Files) -> str:
    if lack := shortage(files.state, NO_ROOM):
        return f"its log {files.log} may lack the reason{lack}"
    lines = files.log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
    return "\n".join([f"the end of {files.log}:", *lines])
