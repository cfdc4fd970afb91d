"""Fixtures for the tests of `python -m local`: those of the local cloud, and the project's container."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localcloud
import pytest

sys.path.append(str(Path(__file__).parents[2] / "packages" / "localcloud" / "tests"))

from cloud_harness import (
    cramped,
    fast,
    hourly,
    make_project,
    open_project,
    project_at,
    rig,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cramped", "fast", "hourly", "open_project", "rig"]
local: Any = importlib.import_module("local")


@pytest.fixture(scope="session")
def local_folder() -> Path:
    """Return the template's local/ folder."""
    return Path(local.__file__).parent


@pytest.fixture(scope="session")
def python_path(local_folder: Path) -> str:
    """Return the PYTHONPATH of a command of the project, which keeps the paths of packages' own copies."""
    return os.pathsep.join(filter(None, [str(local_folder.parent), os.environ.get("PYTHONPATH")]))


@pytest.fixture
def project(tmp_path: Path, local_folder: Path) -> Path:
    """Make a project with the stand-in container, and the container's modules that `local` imports."""
    root: Path = make_project(tmp_path / "project")
    (root / "container" / "data").mkdir()
    for name in ("data/__init__.py", "data/values.py", "deprecated_names.py"):
        shutil.copy(local_folder.parent / "container" / name, root / "container" / name)
    return root


@pytest.fixture(scope="session")
def container_cloud(tmp_path_factory: pytest.TempPathFactory, local_folder: Path) -> Iterator[Any]:
    """One cloud whose jobs run the project's own container."""
    root = make_project(tmp_path_factory.mktemp("container") / "project")
    shutil.rmtree(root / "container")
    (root / "container").symlink_to(local_folder.parent / "container")
    yield started(root)
    localcloud.stop(project_at(root))
