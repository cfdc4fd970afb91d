"""Real tables, prepared as a project prepares them, with the baseline that its monitor suggests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from container import prepare
from container.monitor import command
from container.monitor.settings import Settings
from container.runtime.paths import ResourceConfig

SHARED_DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Prepared:
    """The folder of a baseline, and the rows that were not used for it, with every cell as text."""

    baseline: Path
    rows: pl.DataFrame


def prepared(table: str, target: str, folder: Path) -> Prepared:
    data, output, baseline = folder / "data", folder / "prepared", folder / "baseline"
    data.mkdir()
    (data / table).write_bytes((SHARED_DATA / table).read_bytes())
    prepare.prepare(prepare.Settings(target), data, output)
    command.run(Settings(output / "baseline", baseline), ResourceConfig(), [])
    parts = [
        pl.read_csv(output / name / f"{name}.csv", infer_schema=False) for name in ("validation", "test")
    ]
    return Prepared(baseline, pl.concat(parts).drop(target))


@pytest.fixture(scope="session")
def housing(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare California housing: eight numeric columns, two of them whole."""
    return prepared("california_housing.csv", "MedHouseVal", tmp_path_factory.mktemp("housing"))


@pytest.fixture(scope="session")
def abalone(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare abalone, which has a categorical column."""
    return prepared("abalone.csv", "Rings", tmp_path_factory.mktemp("abalone"))
