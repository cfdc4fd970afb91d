"""Captured requests as SageMaker writes them, and a baseline of a table, for the tests of the monitor."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from container.monitor import baseline_file
from container.monitor.baseline import write_baseline
from container.monitor.baseline_file import Baseline
from container.monitor.profile import TableProfile

TIME = "2026-01-31T14:05:06Z"


def record(data: str, encoding: str = "CSV", kind: str = "text/csv", **about: str) -> dict[str, Any]:
    """Return one captured request, with what is known about it; with an `answer` both sides of it.

    `answered` is the answer's encoding, `inference` the id that the caller gave, `event` SageMaker's own.
    """
    sides = {"endpointInput": side(data, encoding, kind, "INPUT")}
    if "answer" in about:
        answered = about.get("answered", "CSV")
        sides["endpointOutput"] = side(about["answer"], answered, "text/csv; charset=utf-8", "OUTPUT")
    metadata = {"eventId": about.get("event", "e"), "inferenceTime": about.get("time", TIME)}
    if "inference" in about:
        metadata["inferenceId"] = about["inference"]
    return {"captureData": sides, "eventMetadata": metadata, "eventVersion": "0"}


def side(data: str, encoding: str, kind: str, mode: str) -> dict[str, str]:
    """Return one side of a request."""
    return {"observedContentType": kind, "mode": mode, "data": data, "encoding": encoding}


def ground_truth(identifier: str, label: str) -> dict[str, Any]:
    """Return a line of ground truth."""
    return {
        "groundTruthData": {"data": label, "encoding": "CSV"},
        "eventMetadata": {"eventId": identifier},
        "eventVersion": "0",
    }


def lines(records: list[dict[str, Any]]) -> bytes:
    """Return records as the lines of a file."""
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in records)


def baseline_of(table: dict[str, list[str]], folder: Path) -> Baseline:
    """Suggest a baseline of a table of texts, and read it back."""
    profile = TableProfile()
    profile.update(pl.DataFrame(table, schema=dict.fromkeys(table, pl.String)))
    write_baseline(profile, folder)
    return baseline_file.read(folder / "statistics.json", folder / "constraints.json")
