"""The comparison of benchmarks/drift.py with pandas: types, completeness, statistics and distances."""

import io
import json
import sys
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

BUCKETS = 10


def requests(path: str) -> "pd.Series[str]":
    """Return the bodies of callers' requests in CSV."""
    records = pd.read_json(path, lines=True)
    names = records["eventMetadata"].map(lambda about: about.get("inferenceId", ""))
    sides = records["captureData"].map(lambda captured: captured["endpointInput"])
    by_callers = ~names.str.startswith(("golden-", "synthetic-"))
    return sides[by_callers & sides.map(lambda side: side["encoding"] == "CSV")].map(
        lambda side: side["data"]
    )


def compared(reference: "pd.Series[float]", current: "pd.Series[float]") -> dict[str, Any]:
    """Return the statistics of a column that the monitor computes."""
    present = current.dropna()
    counts, bounds = np.histogram(present, bins=BUCKETS)
    return {
        "completeness": float(current.notna().mean()),
        "whole": float((present % 1 == 0).mean()),
        "distinct": int(present.nunique()),
        "sum": float(present.sum()),
        "statistics": present.describe().to_dict(),
        "buckets": [counts.tolist(), bounds.tolist()],
        "distance": float(stats.ks_2samp(reference, present).statistic),
    }


def main(baseline: str, captured: str) -> None:
    """Compare captured requests with the baseline table."""
    reference = pd.read_csv(baseline)
    current = pd.read_csv(io.StringIO("\n".join(requests(captured))), names=list(reference.columns))
    report = {name: compared(reference[name], current[name]) for name in reference.columns}
    print(json.dumps(report))  # noqa: T201 - the report is the output


if __name__ == "__main__":
    main(*sys.argv[1:])
