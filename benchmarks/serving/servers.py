"""The servers that are compared: their start, their paths, and their end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving.subjects import Subject

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PRODUCT = ROOT / "<<cookiecutter.project>>"
START_TIMEOUT_SECONDS = 120.0
# A machine's environment may force these on NumPy; without them NumPy chooses what suits the processor.
FORCED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
V2 = "/v2/models/model"
# Two workers on two cores, each with two threads, would spend their time waiting for one another.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Server:
    """A server's name and its paths."""

    name: str
    ping: str = "/ping"
    path: str = "/invocations"


NGINX = Server("nginx + gunicorn + flask")
GTHREAD = Server("gunicorn gthread + flask")
MLSERVER = Server("mlserver", ping=f"{V2}/ready", path=f"{V2}/infer")
OURS = Server("ours")
CONSTANT = Server("ours, answering a constant")
KERNEL = Server("ours, the model alone")
PEERS = (NGINX, GTHREAD, MLSERVER)


@dataclass(frozen=True)
class Started:
    """A running server, and the seconds until its first successful response."""

    server: Server
    port: int
    session: int
    seconds: float

    def processor(self) -> float:
        """Return the seconds of processor time of the server's processes."""
        ticks = sum(sum(map(int, fields[11:13])) for _, fields in _session(self.session))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the MB of memory of the server's processes; shared pages count once."""
        return sum(_proportional(pid) for pid, _ in _session(self.session)) / 1e6


@contextlib.contextmanager
def running(server: Server, subject: Subject, folder: Path, size: int, cores: str = "") -> Iterator[Started]:
    """Start a server with one worker for each core, and end all of its processes at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port, workers = _free_port(), 1 if cores else 2
    commands, environment = _commands(server, subject, folder, port, workers, size)
    pinned = ["taskset", "-c", cores] if cores else []
    inherited = {name: value for name, value in os.environ.items() if name not in FORCED}
    began = time.perf_counter()
    with (folder / f"{server.name}.log").open("wb") as log, contextlib.ExitStack() as stack:
        script = " & ".join(" ".join(f"'{part}'" for part in [*pinned, *command]) for command in commands)
        process = subprocess.Popen(
            ["sh", "-c", f"{script} & wait"], env=inherited | environment, cwd=folder,
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        stack.callback(_end, process)
        yield Started(server, port, process.pid, _ready(server, port, began, process))


def _commands(  # noqa: PLR0913, PLR0917 - each parameter differs between servers
    server: Server, subject: Subject, folder: Path, port: int, workers: int, size: int
) -> tuple[list[list[str]], dict[str, str]]:
    peers = ROOT / "build" / "venvs" / "peers" / "bin"
    own = {"MODEL": str(subject.pickle), "PYTHONPATH": str(HERE / "peers"), **ONE_THREAD}
    gunicorn = [str(peers / "gunicorn"), "--timeout", "60", "--workers", str(workers)]
    if server == NGINX:
        config = (HERE / "peers" / "nginx.conf").read_text(encoding="utf-8")
        config = config.replace("FOLDER", str(folder)).replace("PORT", str(port))
        (folder / "nginx.conf").write_text(config, encoding="utf-8")
        nginx = ["nginx", "-c", str(folder / "nginx.conf")]
        return [nginx, [*gunicorn, "-k", "sync", "-b", f"unix:{folder}/gunicorn.sock", "flask_app:app"]], own
    if server == GTHREAD:
        threads = ["-k", "gthread", "--threads", "4", "-b", f"127.0.0.1:{port}"]
        return [[*gunicorn, *threads, "flask_app:app"]], own
    if server == MLSERVER:
        _write_mlserver(folder, subject, port, workers)
        return [[str(peers / "mlserver"), "start", str(folder / "mlserver")]], {
            "PATH": f"{peers}:{os.environ['PATH']}",
            **ONE_THREAD,
        }
    ours = {
        "SAGEMAKER_BASE_DIR": str(subject.base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SERVING_HOST": "127.0.0.1",
    }
    ours |= {"MODEL_SERVER_WORKERS": str(workers), "PYTHONPATH": f"{PRODUCT}:{ROOT}"}
    if server == OURS:
        return [[sys.executable, "-m", "container", "serve"]], ours
    mode = "constant" if server == CONSTANT else "kernel"
    return [[sys.executable, "-m", "benchmarks.serving.limits", mode, str(size)]], ours


def _write_mlserver(folder: Path, subject: Subject, port: int, workers: int) -> None:
    place = folder / "mlserver"
    place.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
    }
    settings |= {"parallel_workers": workers, "environments_dir": str(place / "environments")}
    (place / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    model = {"name": "model", "implementation": "mlserver_sklearn.SKLearnModel"}
    content = {**model, "parameters": {"uri": str(subject.pickle)}}
    (place / "model-settings.json").write_text(json.dumps(content), encoding="utf-8")


def _ready(server: Server, port: int, began: float, process: subprocess.Popen[bytes]) -> float:
    while time.perf_counter() - began < START_TIMEOUT_SECONDS and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_SECONDS)
        try:
            connection.request("GET", server.ping)
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                taken = time.perf_counter() - began
                _check_form(answer)
                return taken
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.002)
    raise RuntimeError(f"{server.name} does not serve; its log is in build/bench")


def _check_form(answer: http.client.HTTPResponse) -> None:
    """Check that our server uses the compiled form, since a failed build would be measured instead."""
    if answer.headers.get("x-serving-form", "compiled") != "compiled":
        raise RuntimeError(f"the compiled form does not serve: {answer.headers['x-serving-form-reason']}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, _ in _session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and _session(process.pid):
            process.poll()
            time.sleep(0.01)
    process.wait()


def _session(session: int) -> list[tuple[int, list[str]]]:
    """Return the processes of a session, each with the fields of `stat` after the name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((int(path.parent.name), fields))
    return found


def _proportional(pid: int) -> int:
    """Return the bytes of a process in memory, with its share of shared pages."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port
