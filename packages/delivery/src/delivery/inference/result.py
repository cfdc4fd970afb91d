"""The result of `python -m local infer`: predictions, their scores and latency, remarks and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from delivery.inference import scores
from delivery.inference.output import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from delivery.inference.predictions import Predictions
    from delivery.inference.rows import Table
    from delivery.inference.scores import Target

Columns = dict[str, Any]


@dataclass
class Result:
    """Predictions of a table by one method or more, and remarks and warnings on them."""

    source: str
    rows: str
    table: Table
    target: Target
    predictions: dict[str, Predictions]
    left_out: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Compute the scores and the difference of each row."""
        self.first = next(iter(self.predictions.values()))
        labels = self.table.written_labels(self.target.name)
        self.metrics = {} if labels is None else scores.score(labels, self.first.answers, self.target)
        self.differences = (
            [] if labels is None else scores.differences(labels, self.first.values, self.target)
        )
        regression = self.target.classes is None
        self.labels = scores.numbers(labels, self.target) if labels and regression else self.table.labels

    @property
    def columns(self) -> Columns:
        """The columns of the output."""
        return columns_of(self.table, self.labels, self.first.answers, self.differences)

    @property
    def latency(self) -> dict[str, Mapping[str, float]]:
        """The percentiles of each method."""
        return {name: each.latency for name, each in self.predictions.items()}

    @property
    def worst(self) -> list[dict[str, Any]]:
        """The rows with the largest differences, counted from 1."""
        columns = self.columns
        return [
            {"row": row + 1, **{name: cells[row] for name, cells in columns.items()}}
            for row in scores.worst_rows(self.differences)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as a program reads it."""
        return {
            "source": self.source,
            "rows": self.rows,
            "metrics": self.metrics,
            "worst": self.worst,
            "latency_ms": self.latency,
            "identical": len(self.predictions) > 1 or None,
            "left_out": self.left_out,
            "remarks": self.remarks,
            "warnings": self.warnings,
            **self.columns,
        }
