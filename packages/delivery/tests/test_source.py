"""The source of a local run: the project's files, and the settings of the run."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from delivery import source
from delivery.cloud import DeliveryError

SETTINGS = '[data]\nprefix = "raw/"\ntarget = "price"\n'


@pytest.mark.parametrize("with_git", [True, False])
def test_the_source_has_the_files_of_a_commit(tmp_path: Path, *, with_git: bool) -> None:
    """Ignored files and results of runs are left out, and the settings are those of the run."""
    for name in ("project.toml", "new.py", ".gitignore", ".local/cloud.json", "build/x.json", ".venv/a"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SETTINGS if name == "project.toml" else ".local\nbuild\n.venv\n", encoding="utf-8")
    if with_git:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
    settings = tmp_path / ".local" / "project.toml"
    settings.write_text(source.settled(SETTINGS, 'a "column"'), encoding="utf-8")
    with zipfile.ZipFile(io.BytesIO(source.pack(tmp_path, settings))) as archive:
        assert sorted(archive.namelist()) == [".gitignore", "new.py", "project.toml"]
        assert 'target = "a \\"column\\""' in archive.read("project.toml").decode()


def test_large_folders_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git, the folders that running makes are left out unseen: an environment has 20,000 files."""
    for name in (
        "project.toml",
        ".venv/lib/a.py",
        "container/a.py",
        "container/__pycache__/a.pyc",
        "build/b",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    seen = []
    scandir = os.scandir

    def noting(path: str) -> Any:
        seen.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noting)
    assert [path.relative_to(tmp_path).as_posix() for path in source.files(tmp_path)] == ["container/a.py"]
    assert sorted(seen) == [".", "container"]


def test_a_target_needs_its_line() -> None:
    """Without another target the text stays as it is."""
    assert source.settled("[data]\n", None) == "[data]\n"
    with pytest.raises(DeliveryError, match='no line that begins with "target = "'):
        source.settled("[data]\n", "price")
