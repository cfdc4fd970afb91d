"""Comparison of the wheel in vendor/ with the source of packages/localcloud, and with its pinned hash."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "packages" / "localcloud"
PRODUCT = ROOT / "<<cookiecutter.project>>"
REMEDY = "`make wheel` builds it"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """Return the path of the only wheel."""
    (found,) = (PRODUCT / "vendor").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def version() -> str:
    """Compute the version of the source."""
    spec = importlib.util.spec_from_file_location("version", PACKAGE / "version.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.version())


def test_the_wheel_has_the_files_of_the_source(wheel: Path) -> None:
    """Protects users from a local cloud that was not tested."""
    source = {
        path.relative_to(PACKAGE / "src").as_posix(): path.read_bytes()
        for path in (PACKAGE / "src").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        packed = {
            name: archive.read(name)
            for name in archive.namelist()
            if not name.partition("/")[0].endswith("-info")
        }
    assert sorted(packed) == sorted(source), REMEDY
    assert [name for name in source if packed[name] != source[name]] == [], REMEDY


def test_the_wheel_declares_what_the_source_does(wheel: Path, version: str) -> None:
    """Protects dependencies and version: an installer does not replace a package of the same version."""
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    assert metadata["Version"] == version, REMEDY
    assert wheel.name == f"sagemaker_localcloud-{version}-py3-none-any.whl", REMEDY
    required = {str(Requirement(text)) for text in metadata.get_all("Requires-Dist") or []}
    assert required == {str(Requirement(text)) for text in declared["dependencies"]}, REMEDY


def test_projects_pin_the_wheel_by_its_hash(wheel: Path, version: str) -> None:
    """Protects an installation from another package of the same name."""
    text = (PRODUCT / "local" / "requirements.txt").read_text(encoding="utf-8")
    pin = re.search(r"^sagemaker-localcloud==(\S+) \\\n    --hash=sha256:(\S+)$", text, re.MULTILINE)
    assert pin, REMEDY
    assert pin.groups() == (version, hashlib.sha256(wheel.read_bytes()).hexdigest()), REMEDY


def test_model_archives_are_checked_alike_in_the_container_and_here() -> None:
    """Protects a rule of two distributions, neither of which may import the other."""
    container = (PRODUCT / "container" / "runtime" / "archive.py").read_bytes()
    assert container == (PACKAGE / "src" / "localcloud" / "core" / "model_archive.py").read_bytes()
