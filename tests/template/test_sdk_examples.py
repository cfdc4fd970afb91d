"""The list of the SDK's notebooks in docs/sdk.md, and the judgement of what came of a notebook."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "sdk"))

import expectations  # noqa: E402 - it is not a package
from expectations import FAILED, NOT_SUPPORTED, PASSED, Expected  # noqa: E402 - as above


def test_the_list_is_what_the_command_expects() -> None:
    """Protects readers of docs/sdk.md: `make test-sdk` fails where a result is not the expected one."""
    plan = expectations.read()
    text = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    assert expectations.markdown(plan) in text
    passing = [entry for entry in plan.notebooks.values() if not entry.needs]
    assert f"{len(passing)} of {len(plan.notebooks)} pass" in text


@pytest.mark.parametrize(
    ("expected", "text", "problems", "result"),
    [
        (Expected(shows=("done",)), "all is done", [], PASSED),
        (Expected(shows=("done",)), "Training failed with error: no disk", [], FAILED),
        (Expected(shows=("done",)), "all is done", ["a job is Failed"], FAILED),
        (Expected(needs="Docker", error="docker"), "no docker here", [], NOT_SUPPORTED),
        (Expected(needs="Docker", error="docker"), "", ["KeyError: x"], FAILED),
        (Expected(needs="Docker", error="docker"), "", [], PASSED),
        (Expected(), "done", [], FAILED),
    ],
)
def test_a_notebook_passes_by_its_output(
    expected: Expected, text: str, problems: list[str], result: str
) -> None:
    """Protects the list from notebooks that catch their errors, and from failures for another reason."""
    assert expectations.judge(expected, text, problems)[0] == result


def test_only_code_is_replaced_and_what_is_left_out_is_not_run(tmp_path: Path) -> None:
    """Protects the notebooks from other changes, and the caller from hours of other services' examples."""
    folder = tmp_path / "v3-examples" / "training-examples"
    (folder / "aws_batch").mkdir(parents=True)
    cells = [
        {"cell_type": kind, "source": ["role = get_execution_role()\n", "x"]} for kind in ("code", "markdown")
    ]
    for name in ("a", "jumpstart-b", "aws_batch/c"):
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    assert expectations.find(tmp_path) == ["training-examples/a.ipynb"]
    expectations.replace(folder / "a.ipynb", (("get_execution_role()", "ROLE"),))
    code, markdown = json.loads((folder / "a.ipynb").read_text())["cells"]
    assert (code["source"], markdown) == ("role = ROLE\nx", cells[1])


def test_an_expectation_says_what_shows_it(tmp_path: Path) -> None:
    """Protects the list from a notebook that nothing is known of, and notebooks from other changes."""
    file = tmp_path / "replacements.toml"
    file.write_text('[data]\n[notebooks."a.ipynb"]\nneeds = "Docker"\n')
    with pytest.raises(ValueError, match="say what its output shows"):
        expectations.read(file)
    file.write_text('[data]\n[notebooks]\n[[replace]]\nkind = "code"\nfrom = "a"\nto = "b"\n')
    with pytest.raises(ValueError, match="not of code"):
        expectations.read(file)
