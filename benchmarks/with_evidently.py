"""The comparison of benchmarks/drift.py with evidently's drift report and its defaults."""

import io
import sys

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main(baseline: str, captured: str) -> None:
    """Compare captured requests with the baseline table."""
    reference = pd.read_csv(baseline)
    records = pd.read_json(captured, lines=True)
    bodies = records["captureData"].map(lambda sides: sides["endpointInput"]["data"])
    current = pd.read_csv(io.StringIO("\n".join(bodies)), names=list(reference.columns))
    print(Report([DataDriftPreset()]).run(current, reference).json())  # noqa: T201 - the report is the output


if __name__ == "__main__":
    main(*sys.argv[1:])
