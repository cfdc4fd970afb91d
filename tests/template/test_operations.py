"""The page of the local cloud's operations."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "packages" / "localcloud" / "src" / "localcloud" / "OPERATIONS.md"
TASK = re.compile(r"arn:aws:states:::aws-sdk:(\w+):(\w+)")
SECTION = re.compile(r"^### ([\w-]+): .*?\n\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def operations() -> ModuleType:
    """Import scripts/operations.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("operations", ROOT / "scripts" / "operations.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_code(operations: Any) -> None:
    """Protects users from a page that lists what their cloud refuses."""
    assert PAGE.read_text(encoding="utf-8") == operations.page(), "`make operations` writes it"


def test_the_page_has_the_operations_that_a_project_calls() -> None:
    """Protects the search for ministack's operations: it finds those that state machines call."""
    sections = {
        service: set(re.findall(r"\w+", names))
        for service, names in SECTION.findall(PAGE.read_text(encoding="utf-8"))
    }
    machines = (ROOT / "<<cookiecutter.project>>").rglob("*.asl.json")
    called = {pair for path in machines for pair in TASK.findall(path.read_text(encoding="utf-8"))}
    assert called
    for service, operation in called:
        assert operation[:1].upper() + operation[1:] in sections[service], (service, operation)
