"""The file replacements.toml: expectations of the SDK's notebooks, and replacements in them."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

FILE = Path(__file__).with_name("replacements.toml")
FOLDER = "v3-examples"
FOLDERS = ("training-examples", "inference-examples", "ml-ops-examples")
# Models of JumpStart and Hugging Face, the feature store and the queues of AWS Batch are left out.
LEFT_OUT = re.compile(r"jumpstart|huggingface|feature-store|aws_batch", re.IGNORECASE)
KINDS = ("role", "session", "bucket", "image", "data")
PASSED, FAILED, NOT_SUPPORTED = "passed", "failed", "not supported"


@dataclass(frozen=True)
class Expected:
    """What is expected of a notebook: texts in its output, or the failure that shows what it needs."""

    shows: tuple[str, ...] = ()
    needs: str = ""
    error: str = ""

    @property
    def result(self) -> str:
        """The expected result."""
        return NOT_SUPPORTED if self.needs else PASSED


@dataclass(frozen=True)
class Plan:
    """The whole file."""

    data: dict[str, str] = field(default_factory=dict)
    replacements: tuple[tuple[str, str], ...] = ()
    notebooks: dict[str, Expected] = field(default_factory=dict)


def read(path: Path = FILE) -> Plan:
    """Read the file.

    Raises:
        ValueError: a replacement is of another kind than those that are allowed, or an entry says neither
            what is shown nor what is needed.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    for each in content.get("replace", []):
        if each["kind"] not in KINDS:
            raise ValueError(f"{each['from']}: a replacement is of {', '.join(KINDS)}, not of {each['kind']}")
    notebooks = {
        name: Expected(tuple(entry.get("shows", [])), entry.get("needs", ""), entry.get("error", ""))
        for name, entry in content["notebooks"].items()
    }
    for name, expected in notebooks.items():
        if bool(expected.shows) == bool(expected.needs and expected.error):
            raise ValueError(
                f"{name}: say what its output shows, or what it needs and the error that shows it"
            )
    pairs = tuple((each["from"], each["to"]) for each in content.get("replace", []))
    return Plan(content["data"], pairs, notebooks)


def markdown(plan: Plan) -> str:
    """Return the table of docs/sdk.md."""
    rows = (f"| {name} | {entry.needs or PASSED} |" for name, entry in plan.notebooks.items())
    return "\n".join(["| notebook | passes, or needs |", "| --- | --- |", *rows])


def find(checkout: Path) -> list[str]:
    """Return the notebooks of a checkout that are run, by their paths below v3-examples."""
    root = checkout / FOLDER
    found = (path for folder in FOLDERS for path in sorted((root / folder).rglob("*.ipynb")))
    names = (path.relative_to(root).as_posix() for path in found)
    return [name for name in names if not LEFT_OUT.search(name)]


def replace(path: Path, replacements: tuple[tuple[str, str], ...]) -> None:
    """Replace texts in the code of a notebook's file."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            for former, text in replacements:
                source = source.replace(former, text)
            cell["source"] = source
    path.write_text(json.dumps(notebook), encoding="utf-8")


def judge(expected: Expected, text: str, problems: list[str]) -> tuple[str, str]:
    """Return the result of a notebook and why, from its outputs and what went wrong."""
    if expected.needs:
        if re.search(expected.error, text):
            return NOT_SUPPORTED, expected.needs
        return FAILED if problems else PASSED, "; ".join(problems)
    if not expected.shows:
        return FAILED, "; ".join([*problems, "replacements.toml does not say what is expected"])
    missing = [each for each in expected.shows if each not in text]
    if problems or missing:
        return FAILED, "; ".join([*problems, *(f"its output lacks: {each}" for each in missing)])
    return PASSED, ""
