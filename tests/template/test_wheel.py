"""Comparison of the wheels in vendor/ with the sources of packages/, and with their pinned hashes."""

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
PACKAGES = sorted(path.parent for path in (ROOT / "packages").glob("*/pyproject.toml"))
PRODUCT = ROOT / "<<cookiecutter.project>>"
REMEDY = "`make wheel` builds it"
# The files that install a wheel: the pipeline's build needs one of them, without the packages of local/.
PINNED = {
    "delivery": {"local/requirements.txt", "pipeline/requirements.txt"},
    "localcloud": {"local/requirements.txt"},
}

pytestmark = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@pytest.fixture
def wheel(package: Path) -> Path:
    """Return the path of the package's only wheel."""
    (found,) = (PRODUCT / "vendor").glob(f"sagemaker_{package.name}-*.whl")
    return found


@pytest.fixture
def declared(package: Path) -> dict[str, Any]:
    """Read the package's pyproject.toml."""
    return tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture
def version(declared: dict[str, Any]) -> str:
    """Compute the version of the source as the build backend does."""
    spec = importlib.util.spec_from_file_location("version", ROOT / "packages" / "version.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name, number = re.findall(r"'(\S+?)'", declared["tool"]["hatch"]["version"]["expression"])
    return str(module.version(name, number))


def test_the_wheel_has_the_files_of_the_source(package: Path, wheel: Path) -> None:
    """Protects users from a package that was not tested."""
    source = {
        path.relative_to(package / "src").as_posix(): path.read_bytes()
        for path in (package / "src").rglob("*")
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


def test_the_wheel_declares_what_the_source_does(
    package: Path, wheel: Path, declared: dict[str, Any], version: str
) -> None:
    """Protects dependencies and version: an installer does not replace a package of the same version."""
    project = declared["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
    assert (metadata["Name"], metadata["Version"]) == (f"sagemaker-{package.name}", version), REMEDY
    assert wheel.name == f"sagemaker_{package.name}-{version}-py3-none-any.whl", REMEDY
    required = {str(Requirement(text)) for text in metadata.get_all("Requires-Dist") or []}
    optional = {
        str(Requirement(f"{text}; extra == '{extra}'"))
        for extra, texts in project.get("optional-dependencies", {}).items()
        for text in texts
    }
    assert required == {str(Requirement(text)) for text in project["dependencies"]} | optional, REMEDY


def test_projects_pin_the_wheel_by_its_hash(package: Path, wheel: Path, version: str) -> None:
    """Protects an installation from another package of the same name."""
    pins = {
        path.relative_to(PRODUCT).as_posix(): re.findall(
            rf"^sagemaker-{package.name}==(\S+) \\\n    --hash=sha256:(\S+)$", text, re.MULTILINE
        )
        for path in PRODUCT.rglob("requirements*.txt")
        if f"sagemaker-{package.name}" in (text := path.read_text(encoding="utf-8"))
    }
    pin = (version, hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert pins == {name: [pin] for name in PINNED[package.name]}, REMEDY


def test_no_wheel_is_left_of_another_package(package: Path) -> None:
    """Protects projects from wheels that nothing installs."""
    assert len(list((PRODUCT / "vendor").iterdir())) == len(PACKAGES)
    assert package.name in PINNED
