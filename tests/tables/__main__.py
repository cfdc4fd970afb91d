"""Compare the product's model with a plain HistGradientBoosting on small tables of other people.

Each table is prepared, trained on and evaluated by the product's own commands, once for each seed of the
split. The plain model has scikit-learn's defaults, and is fitted to the same train and validation rows.
Prints the scores on the same test rows; the exit code is 1 where the product's model falls short.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import catalogue
import numpy as np
import pandas as pd
from catalogue import Table
from container.__main__ import main as container
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.preprocessing import OrdinalEncoder

SEEDS = range(int(os.environ.get("ROUNDS", "5")))
MAX_LOSS = 0.03  # of r2, auc or accuracy, in the median over the seeds
SPLITS = ("train", "validation", "test")
GROUPS = (
    ("r2", "regression", catalogue.REGRESSIONS),
    ("auc", "classification", catalogue.TWO_CLASSES),
    ("accuracy", "classification", catalogue.SEVERAL_CLASSES),
)


@dataclass(frozen=True)
class Result:
    """Hold the scores of both models by seed, or the reason why a table could not be used."""

    table: Table
    metric: str
    product: tuple[float, ...] = ()
    plain: tuple[float, ...] = ()
    fault: str = ""

    @property
    def differences(self) -> list[float]:
        """Return by how much the product's model is better, for each seed."""
        return [ours - theirs for ours, theirs in zip(self.product, self.plain, strict=True)]


def compare(metric: str, task: str, table: Table) -> Result:
    """Score both models for each seed of the split."""
    product, plain = [], []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                product.append(_product(Path(folder), table, task, seed, metric))
                plain.append(_plain(Path(folder) / "prepare/processing/output", metric))
            except RuntimeError as error:
                return Result(table, metric, fault=f"seed {seed}: {error}")
    return Result(table, metric, tuple(product), tuple(plain))


def _product(root: Path, table: Table, task: str, seed: int, metric: str) -> float:
    """Run the three commands as jobs do, and return a metric of gate.json."""
    data = root / "prepare/processing/input/data"
    data.mkdir(parents=True)
    table.read().to_csv(data / "table.csv", index=False)
    _run("prepare", root / "prepare", TARGET=table.target, TASK=task, SEED=str(seed))
    prepared = root / "prepare/processing/output"
    for name in ("train", "validation", "schema"):
        _link(prepared / name, root / "train/input/data" / name)
    _run("train", root / "train")
    given = root / "evaluate/processing/input"
    for name in SPLITS:
        _link(prepared / name, given / name)
    (given / "model").mkdir()
    with tarfile.open(given / "model/model.tar.gz", "w") as archive:
        for path in (root / "train/model").iterdir():
            archive.add(path, path.name)
    _run("evaluate", root / "evaluate")
    gate = json.loads((root / "evaluate/processing/output/evaluation/gate.json").read_bytes())
    if metric not in gate["metrics"]:
        raise RuntimeError(f"the test split of {gate['rows']} rows has no {metric}: its labels are all equal")
    return float(gate["metrics"][metric])


def _run(command: str, base: Path, **environment: str) -> None:
    os.environ.update(environment | {"SAGEMAKER_BASE_DIR": str(base)})
    written = StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        code = container([command])
    if code:
        raise RuntimeError(f"{command}: {written.getvalue().strip().splitlines()[-1]}")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source, target_is_directory=True)


def _plain(prepared: Path, metric: str) -> float:
    """Fit the plain model to the written train and validation rows, and score it on the written test rows."""
    features, target = _read(prepared)
    learning = ["train", "validation"]
    train, learned = features.loc[learning], target.loc[learning]
    test, labels = features.loc["test"], target.loc["test"]
    kind = HistGradientBoostingRegressor if metric == "r2" else HistGradientBoostingClassifier
    model = kind(random_state=0).fit(train.to_numpy(), learned.to_numpy())
    if metric == "r2":
        return float(r2_score(labels, model.predict(test.to_numpy())))
    if metric == "auc":
        return float(roc_auc_score(labels, model.predict_proba(test.to_numpy())[:, 1]))
    return float(accuracy_score(labels, model.predict(test.to_numpy())))


def _read(prepared: Path) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """Return the rows of all splits, which are the index, as numbers: texts by their order, dates by day."""
    schema = json.loads((prepared / "schema/schema.json").read_bytes())
    texts = [each["name"] for each in schema["features"] if each["kind"] == "categorical"]
    dates = [each["name"] for each in schema["features"] if each["kind"] == "date"]
    target = schema["target"]["name"]
    types = dict.fromkeys(
        [*texts, *dates] if schema["target"]["classes"] is None else [*texts, *dates, target], str
    )
    parts = {
        name: pd.read_csv(
            next((prepared / name).glob("*.csv")), dtype=types, keep_default_na=False, na_values=[""]
        )
        for name in SPLITS
    }
    whole = pd.concat(parts).droplevel(1)
    whole[texts] = OrdinalEncoder(encoded_missing_value=np.nan).fit_transform(whole[texts])
    for name in dates:
        whole[name] = pd.to_datetime(whole[name], format="mixed").astype("int64") / 86_400e9
    return whole.drop(columns=target).astype(float), whole[target]


def main() -> int:
    """Compare on every table, print the scores, and return 1 where the product's model falls short."""
    began = time.perf_counter()
    console, results = Console(width=120), []
    with ProcessPoolExecutor() as pool:
        waiting = [
            pool.submit(compare, metric, task, table) for metric, task, tables in GROUPS for table in tables
        ]
        for each in waiting:
            results.append(each.result())
            console.print(_line(results[-1]), highlight=False, markup=False)
    compared = [result for result in results if not result.fault]
    mean = statistics.fmean(statistics.fmean(result.differences) for result in compared)
    worse = [result for result in compared if statistics.median(result.differences) < -MAX_LOSS]
    seconds = time.perf_counter() - began
    console.print(
        f"{len(compared)} tables, {len(SEEDS)} seeds, {seconds:.0f} s: mean difference {mean:+.4f},"
        f" {len(worse)} worse by more than {MAX_LOSS}, {len(results) - len(compared)} not compared"
    )
    return int(bool(mean < 0 or worse or len(compared) < len(results)))


def _line(result: Result) -> str:
    name = f"{result.table.package} {result.table.name} {result.table.target}"
    if result.fault:
        return f"{name:60} {result.fault}"
    ours, theirs = statistics.fmean(result.product), statistics.fmean(result.plain)
    differences = result.differences
    return (
        f"{name:60} {result.metric:8} {ours:8.4f} {theirs:8.4f} median {statistics.median(differences):+.4f}"
        f" [{min(differences):+.4f} {max(differences):+.4f}]"
    )


if __name__ == "__main__":
    sys.exit(main())
