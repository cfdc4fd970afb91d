"""The states of the training and their input, which its tests share."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from delivery.templates.read import machines_in

from tests.stacks import asl
from tests.stacks.asl import evaluate

ROOT = Path(__file__).resolve().parents[2]
MACHINE = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
STATES = MACHINE["States"]
EPOCH = {"LastModified": "1970-01-01T00:00:00Z", "Key": ""}
UUID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"


def tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every Task state, in branches too."""
    for _, machine in machines_in(MACHINE, ""):
        for name, state in machine["States"].items():
            if state["Type"] == "Task":
                yield name, state


TASKS = dict(tasks())
JOBS = {name: state for name, state in TASKS.items() if state["Resource"].endswith(".sync")}
(DESCRIPTION,) = [
    machine["States"]["BuildTrainingJob"]["Assign"]["job"]
    for _, machine in machines_in(MACHINE, "")
    if "BuildTrainingJob" in machine["States"]
]
SETTINGS = {
    "PipelineExecutionId": UUID,
    "ImageUri": "111122223333.dkr.ecr.eu-central-1.amazonaws.com/house@sha256:" + "0" * 64,
    "Commit": "3f2a91c",
    "DataVersion": 'version "1"\n' + "é" * 500,
    "Reason": "commit",
}
CONTEXT = {"Execution": {"Name": UUID}, "State": {"RetryCount": 0}}


def an_object(key: str, modified: str = "2024-01-01T00:00:00Z", size: int = 1) -> dict[str, Any]:
    return {"Key": key, "LastModified": modified, "Size": size}


def caught(name: str, error: str) -> dict[str, Any]:
    """Return the Catch rule of a task for an error."""
    return next(rule for rule in STATES[name]["Catch"] if error in rule["ErrorEquals"])


def choose(name: str, state_input: Any, **variables: Any) -> tuple[str, Any]:
    """Return the next state of a Choice, and its output."""
    following, _, output = asl.choose(STATES[name], state_input, **variables)
    return following, output


REPORTS = ("evaluation", "intervals", "golden", "explanation", "learning_curve")
REGRESSION = {
    "metrics": {"rmse": 0.5, "r2": 0.8},
    "naive": {"rmse": 1.1, "r2": 0.0},
    "rows": 9,
    "task": "regression",
}


def copies(workload: str = "tabular") -> list[dict[str, str]]:
    """Return the copies that are made beside the model: the evaluation's reports, and the baseline."""
    given = {
        "training": {"ModelDataUrl": "s3://b/m.tar.gz"},
        "evaluation": {"reports": [*REPORTS]},
        "settings": {"Data": {"Workload": workload}},
    }
    return list(evaluate(STATES["CopyModel"]["Items"], folder="RUN", **given))
