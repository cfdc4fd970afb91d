"""The view of predictions in a terminal: on standard error, since the predictions are on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from delivery.history import results
from delivery.view import errors, print_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from delivery.inference.result import Result


def show(result: Result) -> None:
    """Show the scores, the worst rows, the latency, and what a person should know of them."""
    print_error(f"{len(result.table.rows)} rows of {result.rows}, by {result.source}")
    if result.table.labels is not None:
        errors.print(results.scores(result.metrics))
    if result.worst:
        print_error("largest differences:")
        errors.print(_rows(result.worst))
    print_error("latency of a request in milliseconds:")
    errors.print(_rows({"method": name, **each} for name, each in result.latency.items()))
    if len(result.predictions) > 1:
        print_error(f"All predictions by {', '.join(result.predictions)} are identical.")
    for name, reason in result.left_out.items():
        _warn(f"{name} is left out: {reason}")
    for remark in result.remarks:
        print_error(remark)
    for warning in result.warnings:
        _warn(warning)


def _rows(rows: Iterable[Mapping[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False)
    cells = list(rows)
    for name in cells[0]:
        table.add_column(name)
    for row in cells:
        table.add_row(*(f"{cell:,.6g}" if isinstance(cell, float) else str(cell) for cell in row.values()))
    return table


def _warn(text: str) -> None:
    print_error(f"warning: {text}", "red")
