"""Predictions as rows of a file: label, prediction and difference."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from delivery.inference.rows import Table

    Columns = Mapping[str, Sequence[Any]]

CSV, JSON_LINES, PARQUET = ".csv", ".jsonl", ".parquet"
SUFFIXES = (CSV, JSON_LINES, PARQUET)


def columns_of(
    table: Table, labels: Sequence[Any] | None, answers: Sequence[Any], differences: Sequence[float | None]
) -> dict[str, Sequence[Any]]:
    """Return the columns: the prediction, label and difference of labelled rows, and an image's file."""
    files = {"file": table.files} if table.files else {}
    if labels is None:
        return {"prediction": answers, **files}
    return {"label": labels, "prediction": answers, "difference": differences, **files}


def check(path: Path, source: Path | None = None) -> None:
    """Check that a file can be written, before anything else is done.

    Raises:
        DeliveryError: Its name ends in none of the known suffixes, its folder does not exist, or it is the
            file to predict or in that folder.

    """
    if source and (path.resolve() == source.resolve() or source.resolve() in path.resolve().parents):
        raise DeliveryError(f"{path} has the rows to predict, or is among them: name another file.")
    if path.suffix.lower() not in SUFFIXES:
        raise DeliveryError(f"{path} is not called {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}: rename it.")
    if not path.parent.is_dir() or path.is_dir():
        raise DeliveryError(f"{path} can't be written: its folder does not exist, or it is a folder itself.")


def write(path: Path, columns: Columns, write_parquet: Callable[[Path, Columns], None]) -> None:
    """Write the columns as the file's name says; a crash leaves the former file or the new one."""
    fresh = path.with_name(f".{path.name}.part")
    try:
        if path.suffix.lower() == PARQUET:
            write_parquet(fresh, columns)
        else:
            text = as_csv(columns) if path.suffix.lower() == CSV else as_json_lines(columns)
            fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def as_csv(columns: Columns) -> str:
    """Return the columns as CSV with a header; what is missing is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def as_json_lines(columns: Columns) -> str:
    """Return a JSON object a row."""
    rows = (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
