"""Protects: only a library that this user has built is loaded; without one all works, but slower."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container.data.schema import Feature, Schema, Target
from container.inference.native import build, library
from container.inference.native.library import LIBRARY, RECORD, UnavailableError

PROJECT = Path(__file__).parents[3]
WITHOUT_ZIG = "import sys; sys.modules['ziglang'] = None; sys.argv[0] = 'container'; "


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the library once, since the compiler takes longer than the tests."""
    folder = tmp_path_factory.mktemp("library") / "built"
    try:
        build.build(folder, os.environ)
    except UnavailableError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture
def built(built_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the built library, with its modes, which a test may change."""
    return Path(shutil.copytree(built_once, tmp_path / "built"))


def test_what_was_built_is_loaded(built: Path) -> None:
    assert library.read(built).function("forest_predict", releases_gil=True)


def test_a_second_build_changes_nothing(built: Path) -> None:
    """Protects processes that build at the same time: the first one's library may be in use."""
    before = (built / library.key() / LIBRARY).stat().st_ino
    build.build(built, os.environ)
    assert (built / library.key() / LIBRARY).stat().st_ino == before
    assert sorted(path.name for path in built.iterdir()) == [library.key()]


@pytest.mark.parametrize("place", ["", "key", "key/library.so", "key/library.json"])
def test_what_others_may_write_is_not_loaded(built: Path, place: str) -> None:
    path = built / place.replace("key", library.key())
    path.chmod(path.stat().st_mode | 0o020)
    with pytest.raises(UnavailableError, match="others may write"):
        library.read(built)


def test_a_link_is_not_loaded(built: Path) -> None:
    """Protects against a library in another directory, where others may write."""
    path = built / library.key() / LIBRARY
    path.rename(built / "elsewhere.so")
    path.symlink_to(built / "elsewhere.so")
    with pytest.raises(UnavailableError, match="others may write"):
        library.read(built)


def test_another_library_than_was_built_is_not_loaded_but_built_anew(built: Path) -> None:
    """Protects against a file that was cut or exchanged; its digest is read before the linker sees it."""
    (built / library.key() / LIBRARY).write_bytes(b"\x7fELF no library")
    with pytest.raises(UnavailableError, match="is not the library that was built"):
        library.read(built)
    build.build(built, os.environ)
    assert library.read(built).function("forest_predict", releases_gil=True)


def test_a_library_of_other_sources_is_not_loaded(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-O1"))
    with pytest.raises(UnavailableError, match="is missing"):
        library.read(built)


def test_a_compiler_that_fails_is_a_reason(tmp_path: Path) -> None:
    compiler = tmp_path / "bin" / "gcc"
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho no headers here >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(UnavailableError, match="gcc failed: no headers here"):
        build.build(tmp_path / "built", {"PATH": str(compiler.parent)})
    assert not list((tmp_path / "built").iterdir())


@pytest.mark.slow
def test_without_a_compiler_training_warns_and_the_portable_form_predicts(tmp_path: Path) -> None:
    """Protects machines that have neither a compiler nor the ziglang package, from training to prediction."""
    program = tmp_path / "program"
    shutil.copytree(PROJECT / "container", program / "container", ignore=shutil.ignore_patterns("built"))
    base = _training_job(tmp_path / "ml")
    done = _run(program, base, "import container.__main__ as main; sys.exit(main.main(['train']))")
    assert done.returncode == 0, done.stderr
    assert (
        "warning message='the portable form will serve, which is slower: there is no compiler: "
        in done.stdout
    )
    facts = json.loads((base / "model/model.json").read_bytes())
    assert facts["not_compiled"].startswith("there is no compiler")
    completed = _run(
        program,
        base,
        "from container import model_artifact; from pathlib import Path; "
        f"a = model_artifact.load(Path({str(base / 'model')!r})); "
        "print(a.form, a.predict(__import__('numpy').zeros((1, 2))))",
    )
    assert completed.stdout.startswith("portable ["), completed.stderr


def _run(program: Path, base: Path, code: str) -> Any:
    environment = {"PATH": str(program), "SAGEMAKER_BASE_DIR": str(base), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", WITHOUT_ZIG + code]
    return subprocess.run(command, env=environment, cwd=program, capture_output=True, text=True, check=False)


def _training_job(base: Path) -> Path:
    schema = Schema(Target("y", "regression"), (Feature("a", "numeric"), Feature("b", "numeric")))
    schema.write(base / "input/data/schema/schema.json")
    random = np.random.default_rng(4)
    for channel in ("train", "validation"):
        (base / "input/data" / channel).mkdir(parents=True)
        lines = [f"{a + b!r},{a!r},{b!r}" for a, b in random.normal(size=(60, 2)).tolist()]
        (base / "input/data" / channel / "table.csv").write_text(
            "\n".join(["y,a,b", *lines]) + "\n", encoding="utf-8"
        )
    (base / "input/config").mkdir(parents=True)
    (base / "input/config/hyperparameters.json").write_text('{"max_iter": "5"}', encoding="utf-8")
    return base


def test_the_record_names_the_compiler(built: Path) -> None:
    """Protects the log and /ping, which name the compiler of the library that serves."""
    record = json.loads((built / library.key() / RECORD).read_bytes())
    assert record["compiler"] == library.read(built).compiler
