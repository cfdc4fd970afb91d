"""Comparison of the pages that describe the code with the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> Any:
    """Load a script of the template."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_are_those_of_the_code() -> None:
    """Protects readers from pictures that are older than the code; `make architecture` draws them anew."""
    architecture = script("architecture")
    page = architecture.PAGE.read_text(encoding="utf-8")
    assert page.count("```mermaid") == len(architecture.PICTURES)
    assert page == architecture.page()


def test_the_container_imports_nothing_of_the_other_folders() -> None:
    """Protects the image, which holds the container alone."""
    architecture = script("architecture")
    folder = architecture.PRODUCT / "container"
    names = {*architecture.PARTS, *architecture.PACKAGES}
    assert architecture.imported(folder, names, depth=1) == {"container"}
