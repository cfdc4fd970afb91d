"""Protects the models of a project's owner, which import what the earlier release had elsewhere."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from container import deprecated_modules

ROOT = Path(__file__).resolve().parents[2]
MODEL = """
import container.inference.native.boosting
import container.inference.native.forest
import container.models
from container.compiled import boosting, forest
from container.compiled.form import Form, UnsuitableError
from container.compiled.store import PORTABLE
from container.errors import UserError
from container.inference.compiled_model import CompiledModel, UnsupportedModelError
from container.inference.native import forest as present
from container.log import log
from container.runtime import errors
assert (Form, UnsuitableError, UserError) == (CompiledModel, UnsupportedModelError, errors.UserError)
assert forest.make is present.compile_model
assert boosting.make is container.inference.native.boosting.compile_model
"""


def test_a_model_may_import_from_the_former_places() -> None:
    """The classes are the present ones, and the log names the former module with the present one."""
    done = subprocess.run(
        [sys.executable, "-c", MODEL], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "module=container.errors now=container.runtime.errors" in done.stdout


HAS_IMAGES = (ROOT / "container" / "images" / "prepare.py").exists()
OF_IMAGES = {f"container.{name}" for name in ("images.hog", "inference.hog_svm", "models.image.hog_svm")}


@pytest.mark.parametrize(
    "former",
    [name for name, (place, _) in deprecated_modules.MODULES.items() if HAS_IMAGES or place not in OF_IMAGES],
)
def test_each_former_name_is_defined_in_the_present_module(former: str) -> None:
    """Protects the table against later renames."""
    place, names = deprecated_modules.MODULES[former]
    present = importlib.import_module(place)
    assert [name for name in names.values() if not hasattr(present, name)] == []


def test_other_missing_modules_stay_missing() -> None:
    """Protects the error of a wrong import."""
    deprecated_modules.install()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("container.nothing")
