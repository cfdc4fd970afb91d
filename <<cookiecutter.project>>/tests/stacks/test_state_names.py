"""The names of states, which an operator reads in the console: one style in every state machine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import machines_in

ROOT = Path(__file__).resolve().parents[2]
MACHINES = sorted((ROOT / "stacks").glob("*.asl.json"))
PASCAL_CASE = re.compile(r"(?:[A-Z][a-z0-9]+){2,}")
QUESTIONS = {"Is", "Has", "Should", "Choose"}
# The verbs in use; a new state takes one of them, or adds its own.
VERBS = {
    *("Build", "Check", "Classify", "Compare", "Compute", "Copy", "Deduplicate", "Describe", "Evaluate"),
    *("Extract", "Fail", "Find", "Initialize", "List", "Log", "Merge", "Notify", "Prepare", "Publish"),
    *("Put", "Read", "Record", "Register", "Reject", "Resolve", "Restore", "Retain", "Return", "Run"),
    *("Save", "Schedule", "Send", "Start", "Train", "Trigger", "Update", "Validate", "Wait", "Write"),
}


def style_faults(machine: dict[str, Any]) -> list[str]:
    """List the names of states, in branches too, that do not begin with a verb or are not in PascalCase."""
    faults = []
    for _, inner in machines_in(machine, ""):
        for name, state in inner["States"].items():
            verb, *_ = re.split(r"(?<!^)(?=[A-Z])", name)
            allowed = VERBS | QUESTIONS if state["Type"] == "Choice" else VERBS
            if not PASCAL_CASE.fullmatch(name) or verb not in allowed:
                faults.append(name)
    return faults


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_a_state_is_named_by_verb_and_noun(path: Path) -> None:
    """A Choice may begin with Is, Has, Should or Choose instead."""
    assert style_faults(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "kind", "is_fault"),
    [
        ("ListData", "Task", False),
        ("HasNewData", "Choice", False),
        ("CheckLimits", "Choice", False),
        ("HasNewData", "Task", True),
        ("List the data", "Task", True),
        ("listData", "Task", True),
        ("Failed", "Fail", True),
        ("BaselineFailed", "Fail", True),
        ("WhoComes", "Choice", True),
    ],
)
def test_a_name_of_another_style_is_found(name: str, kind: str, *, is_fault: bool) -> None:
    """Sentences, single words and names without a verb, in a branch as well."""
    inner = {"StartAt": name, "States": {name: {"Type": kind}}}
    branches = {"StartAt": "RunBoth", "States": {"RunBoth": {"Type": "Parallel", "Branches": [inner]}}}
    assert style_faults(branches) == ([name] if is_fault else [])
