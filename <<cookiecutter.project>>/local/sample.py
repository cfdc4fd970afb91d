"""Data to try the project with, when the user brings none."""

from __future__ import annotations

import csv
import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from localcloud.files import FULL, named

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a file that takes the place of a path at the end: others read the whole of one of them."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with named(path):
        try:
            yield fresh
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


class Sample(NamedTuple):
    """A table written for a first run."""

    path: Path
    target: str
    description: str


def write_sample(folder: Path) -> Sample:
    """Write California housing as CSV, or the diabetes table when it can't be downloaded."""
    try:
        return _california_housing(folder)
    except OSError as error:
        if error.errno in FULL:
            raise  # another table would be trained on for want of space
        return _diabetes(folder, error)


def _california_housing(folder: Path) -> Sample:
    from sklearn.datasets import fetch_california_housing  # noqa: PLC0415 - a second to import, needed here only

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another try; what matters is raised
        table = fetch_california_housing(data_home=folder / "cache", n_retries=1)
    path = _write(folder / "california_housing.csv", table, "MedHouseVal")
    return Sample(path, "MedHouseVal", "California housing, through scikit-learn's loader")


def _diabetes(folder: Path, error: OSError) -> Sample:
    from sklearn.datasets import load_diabetes  # noqa: PLC0415 - only a first run without data needs it

    path = _write(folder / "diabetes.csv", load_diabetes(scaled=False), "progression")
    return Sample(
        path,
        "progression",
        f"scikit-learn's diabetes table, because California housing could not be downloaded ({error})",
    )


def _write(path: Path, table: Any, target: str) -> Path:
    with whole(path) as fresh, fresh.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*table.feature_names, target])
        for features, label in zip(table.data.tolist(), table.target.tolist(), strict=True):
            rows.writerow([*features, label])
    return path
