"""The script of `make demo`: its refusals, and the files and processes that it keeps or removes."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """Import scripts/demo.py, which does not belong to a package."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_data_is_found_from_either_folder(demo: Any, tmp_path: Path) -> None:
    """`make -C template demo DATA=file.csv` names a file in the caller's folder, not in the template's."""
    caller = tmp_path / "a caller"
    caller.mkdir()
    (caller / "my houses.csv").touch()
    options = demo.arguments({"DATA": "my houses.csv", "TARGET": "the price"}, [tmp_path, caller])
    assert options == ["--data", str(caller / "my houses.csv"), "--target", "the price"]
    assert demo.arguments({"DATA": "", "TARGET": ""}, [tmp_path]) == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DATA": "houses.csv"}, "DATA and TARGET go together"),
        ({"TARGET": "price"}, "DATA and TARGET go together"),
        ({"DATA": "houses.csv", "TARGET": "price"}, "DATA=houses.csv: .* has no such file"),
    ],
)
def test_incomplete_data_is_refused(
    demo: Any, tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(demo.RefusedError, match=words):
        demo.arguments(environment, [tmp_path])


def test_framework_has_to_exist(demo: Any) -> None:
    assert demo.framework_of({}) == demo.framework_of({"FRAMEWORK": ""}) == "scikit-learn"
    assert demo.framework_of({"FRAMEWORK": "tensorflow"}) == "tensorflow"
    with pytest.raises(
        demo.RefusedError, match="FRAMEWORK=torch: it must be one of scikit-learn, tensorflow"
    ):
        demo.framework_of({"FRAMEWORK": "torch"})


def test_images_have_no_target(demo: Any, tmp_path: Path) -> None:
    """A zip or a folder is enough; without data the demo uses a sample."""
    (tmp_path / "shop").mkdir()
    image = {"WORKLOAD": "image"}
    assert demo.arguments(image, [tmp_path]) == []
    assert demo.arguments({**image, "DATA": "shop"}, [tmp_path]) == ["--data", str(tmp_path / "shop")]
    with pytest.raises(demo.RefusedError, match="TARGET is a column of a table"):
        demo.arguments({**image, "DATA": "shop", "TARGET": "y"}, [tmp_path])
    with pytest.raises(demo.RefusedError, match="WORKLOAD=video: it must be one of tabular, image"):
        demo.workload_of({"WORKLOAD": "video"})


def test_folder_of_someone_else_is_not_replaced(demo: Any, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").touch()
    with pytest.raises(demo.RefusedError, match="was not made by `make demo`"):
        demo.generate(tmp_path / "demo")
    assert (tmp_path / "demo" / "thesis.txt").exists()


def test_second_demo_is_fresh_but_for_its_environment(demo: Any, tmp_path: Path) -> None:
    """Installing takes longer than all other steps, and the environment is checked by content anyway."""
    project = demo.generate(tmp_path / "demo")
    (project / ".venv" / "__pycache__").mkdir(parents=True)
    (project / "stale.txt").touch()
    (project / "README.md").write_text("edited", encoding="utf-8")
    again = demo.generate(tmp_path / "demo")
    assert again == project
    assert (project / ".venv" / "__pycache__").is_dir()
    assert not (project / "stale.txt").exists()
    assert (project / "README.md").read_text(encoding="utf-8") != "edited"
    assert not list(project.glob("[!.]*/**/__pycache__"))


# Replaces the project's Python: `local run` runs a given command, `local down` creates a file.
PYTHON = """#!/bin/sh
case "$3" in
    run) touch .local/cloud.json; echo "$*" >> ran; {run} ;;
    down) touch stopped ;;
esac
"""


def stand_in(folder: Path, run: str) -> Path:
    """Create a project whose setup does nothing and whose run is the given shell command."""
    project = folder / "demo"
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".local").mkdir()
    (project / "Makefile").write_text("setup:\n\t@true\n", encoding="utf-8")
    (project / ".venv" / "bin" / "python").write_text(PYTHON.format(run=run), encoding="utf-8")
    (project / ".venv" / "bin" / "python").chmod(0o755)
    return project


@pytest.mark.parametrize("code", [0, 3])
def test_demo_stops_what_it_started_and_keeps_the_exit_code(demo: Any, tmp_path: Path, code: int) -> None:
    project = stand_in(tmp_path, f"exit {code}")
    assert demo.run(project, ["--target", "a b"], keep=False) == code
    ran = "-m local run --approve --speed 60 --target a b\n"
    assert (project / "ran").read_text(encoding="utf-8") == ran
    assert (project / "stopped").exists()


def test_a_demo_whose_run_starts_nothing_stops_nothing(demo: Any, tmp_path: Path) -> None:
    """A wrong column is refused before a cloud starts, and is the last word."""
    project = stand_in(tmp_path, "rm .local/cloud.json; exit 1")
    assert demo.run(project, [], keep=False) == 1
    assert not (project / "stopped").exists()


def test_kept_demo_is_not_stopped(demo: Any, tmp_path: Path) -> None:
    project = stand_in(tmp_path, "exit 0")
    assert demo.run(project, [], keep=True) == 0
    assert not (project / "stopped").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_stops_what_it_started(tmp_path: Path, number: signal.Signals) -> None:
    """Neither a closed terminal nor a cancelled job leaves a cloud running."""
    project = stand_in(tmp_path, "exec sleep 60")
    code = (
        "import importlib.util, pathlib, signal, sys\n"
        f"spec = importlib.util.spec_from_file_location('demo', {str(ROOT / 'scripts' / 'demo.py')!r})\n"
        "demo = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(demo)\n"
        f"signal.signal({int(number)}, demo.interrupted)\n"
        f"sys.exit(demo.run(pathlib.Path({str(project)!r}), [], keep=False))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
    deadline = time.monotonic() + 20
    while not (project / "ran").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(20) == 128 + number
    assert (project / "stopped").exists()
