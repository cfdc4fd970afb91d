"""Executing notebooks: which of them, their copies with outputs, and the error of a cell."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

from delivery import notebooks
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a notebook of code cells into a project."""

    def make(name: str, *cells: str) -> Path:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        path = tmp_path / notebooks.FOLDER / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(book, str(path))
        return path

    return make


def test_notebooks_are_found_in_order_and_by_the_beginning_of_their_names(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """A name that no notebook has is refused, and so executes nothing."""
    second, first = write("02-b"), write("01-a")
    assert notebooks.find_notebooks(tmp_path, ()) == [first, second]
    assert notebooks.find_notebooks(tmp_path, ["02"]) == [second]
    with pytest.raises(DeliveryError, match="has no notebook 03; it has 01-a, 02-b"):
        notebooks.find_notebooks(tmp_path, ["01", "03"])
    with pytest.raises(DeliveryError, match="has no notebook at all; it has none"):
        notebooks.find_notebooks(tmp_path / "elsewhere", ())


def test_the_error_of_a_cell_ends_a_notebook_and_outputs_go_to_the_copy_alone(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    """The source stays without outputs; a notebook sees the given variables, and its own folder."""
    cells = ("import os\nprint(os.environ['PLACE'], os.getcwd())", "1 / 0", "print('too late')")
    path = write("01-a", *cells)
    before, results = path.read_bytes(), tmp_path / "results"
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PLACE": "here"}
    with pytest.raises(DeliveryError, match=r"(?s)01-a\.ipynb failed.*ZeroDivisionError: division by zero"):
        notebooks.execute(path, results, Path(sys.executable), variables)
    assert path.read_bytes() == before
    first, second, third = nbformat.read(str(results / path.name), as_version=4).cells
    assert first.outputs[0]["text"] == f"here {path.parent}\n"
    assert second.outputs[0]["ename"] == "ZeroDivisionError"
    assert third.outputs == []
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_an_interpreter_without_jupyter_is_refused_before_a_delivery(tmp_path: Path) -> None:
    """An empty environment has no Jupyter; the message names the command that installs it."""
    venv.create(tmp_path / "empty", symlinks=True)
    with pytest.raises(DeliveryError, match=r"No module named 'ipykernel'\): 'make setup-sdk' installs"):
        notebooks.check(tmp_path / "empty" / "bin" / "python")
    notebooks.check(Path(sys.executable))


def test_a_file_that_is_no_notebook_leaves_no_former_result(tmp_path: Path) -> None:
    """The copy of an earlier execution would read as the result of this one."""
    path, result = tmp_path / "01-a.ipynb", tmp_path / "results" / "01-a.ipynb"
    path.write_text("{}")
    result.parent.mkdir()
    result.write_text("former")
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with pytest.raises(DeliveryError, match=r"01-a\.ipynb failed\.\n"):
        notebooks.execute(path, result.parent, Path(sys.executable), variables)
    assert not result.exists()
