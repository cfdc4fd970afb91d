"""The product's notebooks, as files: valid, without traces of an execution, and with commands that exist."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from delivery.commands import application
from typer.main import get_command

from tests.conftest import PRODUCT

nbformat: Any = importlib.import_module("nbformat")
PROJECT = Path(__file__).resolve().parents[2] / PRODUCT
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
WITHOUT_RUN = {"cell_type", "id", "metadata", "source"}
CELL_ID = re.compile(r"[a-z]+(-[a-z]+)*")
MAKE, LOCAL = re.compile(r"[`']make ([a-z-]+)"), re.compile(r"python -m local ([a-z]+)(?: (--[a-z-]+))?")


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def text(path: Path) -> str:
    return "\n".join("".join(cell["source"]) for cell in content(path)["cells"])


def test_there_are_six_and_the_readme_lists_each() -> None:
    """Protects readers of the README from a notebook that they do not hear of, or look for in vain."""
    assert len(NOTEBOOKS) == 6
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(notebooks/([^)]+)\)", readme) == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_as_it_was_written(path: Path) -> None:
    """Protects diffs from what an execution or a tool leaves: outputs, times, versions and random ids."""
    nbformat.validate(nbformat.read(str(path), as_version=nbformat.NO_CONVERT))
    book = content(path)
    assert book["metadata"] == METADATA
    for cell in book["cells"]:
        code: dict[str, Any] = {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {}
        assert {key: cell[key] for key in cell.keys() - WITHOUT_RUN} == code, cell["id"]
        assert cell["metadata"] == {}, cell["id"]
        assert CELL_ID.fullmatch(cell["id"])
    ids = [cell["id"] for cell in book["cells"]]
    assert sorted(set(ids)) == sorted(ids)
    assert path.read_text(encoding="utf-8") == json.dumps(book, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_begins_with_what_differs_on_aws(path: Path) -> None:
    first = "".join(content(path)["cells"][0]["source"])
    assert first.startswith("# ")
    assert "| | on this machine | on AWS |" in first


def commands() -> dict[str, set[str]]:
    """Return the options of each command of `python -m local`."""
    app = typer.Typer()
    for group in application.GROUPS:
        group.register(app)
    app.registered_commands += importlib.import_module("local.__main__").app.registered_commands
    found: Any = get_command(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in found.commands.items()
    }


def test_notebooks_name_targets_and_commands_that_exist() -> None:
    """Protects readers from a command that was renamed."""
    texts = "\n".join(map(text, NOTEBOOKS))
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^\.PHONY: (.*)", makefile, flags=re.MULTILINE)[0].split()
    assert set() < set(MAKE.findall(texts)) <= set(targets)
    known, named = commands(), set(LOCAL.findall(texts))
    assert named
    assert {(name, option) for name, option in named if option not in {"", *known.get(name, ())}} == set()
    assert {name for name, _ in named} <= set(known)
