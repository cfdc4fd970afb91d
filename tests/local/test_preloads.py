"""What a process of the container imports before its job is known, and what the job then computes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localcloud
import pytest
from local.project import PRELOADS
from localcloud.core import account
from localcloud.core.managed_process import ManagedProcess
from localcloud.core.warm_pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRODUCT = Path(__file__).parents[2] / "<<cookiecutter.project>>"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# What a command does before it imports its module.
SETTINGS = """
import json, os, sys
from container import __main__ as program
program.COMMANDS[sys.argv[1]] = lambda: print(json.dumps(dict(os.environ)))
program.main(sys.argv[1:])
"""
# Whether the modules leave the names of the project's own files alone, and print nothing.
FITS = """
import sys
from localcloud.core.warm_process import fits, import_quietly
assert import_quietly(sys.argv[1:]) and fits(".")
"""


@dataclass(frozen=True)
class Runner:
    """Runs the container's commands in folders of their own, in processes that waited, or new ones."""

    root: Path
    pool: WarmPool | None

    def run(self, command: str, **variables: str) -> None:
        """Run a command to its success."""
        base, log = self.root / command, self.root / f"{command}.log"
        for name in ("model", "output", "processing/output"):
            (base / name).mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", "container", command]
        environment = account.for_job(os.environ, base, {"SAGEMAKER_BASE_DIR": str(base), **variables})
        environment["TMPDIR"] = str(self.root)
        start = self.pool.start if self.pool else ManagedProcess
        process = start(line, PRODUCT, environment, log)
        waited = "warm_process" in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert process.wait(120) == 0, log.read_text()
        assert waited is (self.pool is not None)

    def whole(self, table: str) -> dict[str, Any]:
        """Prepare, train and evaluate; return the contents of the files that are to be equal."""
        data = self.root / "prepare/processing/input/data"
        data.mkdir(parents=True)
        (data / "table.csv").write_text(table)
        self.run("prepare", TARGET="y")
        prepared = self.root / "prepare/processing/output"
        channels = self.root / "train/input/data"
        channels.mkdir(parents=True)
        for name in ("train", "validation", "schema"):
            (channels / name).symlink_to(prepared / name)
        self.run("train")
        given = self.root / "evaluate/processing/input"
        (given / "model").mkdir(parents=True)
        for name in ("train", "validation", "test"):
            (given / name).symlink_to(prepared / name)
        model = self.root / "train/model"
        with tarfile.open(given / "model/model.tar.gz", "w:gz") as archive:
            for path in model.iterdir():
                archive.add(path, path.name)
        self.run("evaluate")
        folders = (prepared, model, self.root / "evaluate/processing/output")
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        # The archives among them hold the time at which they were written; what evaluation predicts shows
        # that the models are equal.
        equal = [path for path in files if path.suffix not in (".arrays", ".skops")]
        assert len(equal) > 10
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in equal}


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WarmPool]:
    """Yield a pool of the project's processes."""
    (tmp_path / "state" / "tmp").mkdir(parents=True)
    made = WarmPool(localcloud.Project(PRODUCT, "p", state=tmp_path / "state", preloads=PRELOADS))
    yield made
    made.close()


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show which process runs a job")
def test_a_process_that_waited_computes_the_same_bits(tmp_path: Path, pool: WarmPool) -> None:
    """Libraries choose their threads when they are imported, and sums depend on them."""
    lines = [f"{at % 97},{at * 7 % 101},{at * at % 89 + at % 97 / 3}" for at in range(3000)]
    table = "\n".join(["a,b,y", *lines])
    pool.fill()
    assert Runner(tmp_path / "warm", pool).whole(table) == Runner(tmp_path / "cold", None).whole(table)


@pytest.mark.parametrize("preload", PRELOADS, ids=lambda preload: preload.commands[0])
def test_a_process_that_waited_becomes_a_job(preload: localcloud.Preload) -> None:
    """Protects the speed: one that does not fit the project's folder starts a new interpreter."""
    subprocess.run([sys.executable, "-c", FITS, *preload.modules], cwd=PRODUCT, check=True)


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate"])
def test_a_process_waits_with_what_its_commands_have(command: str) -> None:
    """Protects the settings of threads, and the speed: a module that is not installed is left out."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, command],
        cwd=PRODUCT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    own: Mapping[str, str] = json.loads(done.stdout)
    (preload,) = (each for each in PRELOADS if command in each.commands)
    assert all(importlib.util.find_spec(module) for module in preload.modules)
    assert dict(preload.environment) == {name: own[name] for name in THREADS if name in own}
