"""A generated project with its own Python environment: runs, changes, state, and injected faults."""

from __future__ import annotations

import csv
import importlib
import json
import random
import re
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localcloud
import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

projects: Any = importlib.import_module("local.project")
stacks: Any = importlib.import_module("delivery.local_stacks")
TIMEOUT_SECONDS = 180.0
JOBS = {"prepare": "prep", "train": "train"}  # in the names of the jobs


class Rig:
    """A generated project, and the Python interpreter that runs it."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root, self.python = root, python
        self.data = root / "data" / "table.csv"

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "local", *arguments]

    def local(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.root, capture_output=True, text=True, check=False, timeout=300
        )

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.local(*self._run("--approve", *more))

    def begin(self, *more: str) -> subprocess.Popen[str]:
        return self.begin_command(*self._run(*more))

    def begin_command(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _run(self, *more: str) -> tuple[str, ...]:
        return "run", "--data", str(self.data), "--target", "y", "--rows", "5", *more

    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.root / ".local" / "report.json").read_text(encoding="utf-8")))

    def cloud(self) -> Any:
        """Return the running cloud; its `client` creates clients of its services."""
        return localcloud.find(projects.read_project(self.root).cloud)

    def bucket(self) -> str:
        """Return the name of the artifact bucket."""
        return str(stacks.outputs(self.cloud(), f"{self.root.name}-pipeline")["ArtifactBucket"])

    def cloud_pid(self) -> int:
        return int(json.loads((self.root / ".local" / "cloud.json").read_text(encoding="utf-8"))["pid"])

    def processes(self) -> list[psutil.Process]:
        """List the processes that run in this project's folder."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(self.root)
        return False

    def pid_of(self, command: str) -> int | None:
        """Return the process of a container's command, without its watchdog.

        A job's is that of its record: it may have waited for the job, and have another command line.
        """
        if command == "serve":
            return next((found.pid for found in self.processes() if _serves(found)), None)
        if (cloud := self.cloud()) is None:
            return None
        jobs = [hosts for arn, hosts in cloud.processes().items() if f"-{JOBS[command]}-" in arn]
        with suppress(psutil.Error):
            for watchdog in (pid for hosts in jobs for pid in hosts.values()):
                for child in psutil.Process(watchdog).children():
                    return int(child.pid)
        return None

    def set(self, table: str, key: str, value: str) -> None:
        """Change one number of project.toml."""
        path = self.root / "project.toml"
        text = path.read_text(encoding="utf-8")
        changed = re.sub(
            rf"(?ms)(^\[{re.escape(table)}\].*?^{key} = )[^#\n]*", rf"\g<1>{value} ", text, count=1
        )
        assert changed != text
        path.write_text(changed, encoding="utf-8")

    def put(self, path: str, old: str, new: str) -> None:
        """Replace a text that a file has exactly once."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def write_model(self, name: str, text: str) -> None:
        """Add a model to the project, and select it."""
        (self.root / "container" / "models" / f"{name}.py").write_text(text, encoding="utf-8")
        self.set("model", "name", f'"{name}"')


def _serves(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.cmdline()[1:] == ["-m", "container", "serve"])
    return False


def until(condition: Callable[[], Any], timeout_seconds: float = TIMEOUT_SECONDS) -> Any:
    """Wait until the condition is met, and return its value."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    return pytest.fail("the condition was not met in time")


def write_table(path: Path, rows: int = 500, seed: int = 7) -> None:
    chance = random.Random(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "kind", "y"])
        for _ in range(rows):
            a, b, kind = chance.gauss(0, 1), chance.gauss(0, 1), chance.choice(["red", "green"])
            writer.writerow([a, b, kind, 3 * a - b + (kind == "red") + chance.gauss(0, 0.1)])
