"""Captured predictions joined with ground truth, by the caller's inference id or else SageMaker's event id.

A line of ground truth is what SageMaker takes: `{"groundTruthData": {"data": "1.5", "encoding": "CSV"},
"eventMetadata": {"eventId": "…"}, "eventVersion": "0"}`. A request of several rows has a label a line, or a
JSON array of them. A record that AWS's merge job has joined, with both, is read as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from container.data.schema import Target
from container.monitor import capture
from container.monitor.capture import Counts, Side
from container.monitor.response_rows import UNREADABLE, finite_number, read
from container.monitor.window import Window
from container.runtime.typing import FloatArray


class Pairs(NamedTuple):
    """Hold (n,) labels, and predictions as `evaluate` has them: (n,) numbers or (n, classes) probabilities.

    They are complete when every prediction had its probabilities; else the predicted label has them all.
    """

    labels: FloatArray
    predicted: FloatArray
    complete: bool


@dataclass
class _Join:
    """Collect the rows of requests that have labels."""

    target: Target
    labels: list[float] = field(default_factory=list)
    predicted: list[list[float]] = field(default_factory=list)
    complete: bool = True

    def add(self, predictions: Sequence[Any], labels: Sequence[Any]) -> None:
        """Add all rows of a request, or none.

        Raises:
            ValueError: there is not a label for each prediction.
            KeyError: a prediction or a label is of another class.
        """
        codes = [self.target.encode(str(label)) for label in labels]
        rows = [_prediction(prediction, self.target) for prediction in predictions]
        if len(codes) != len(rows) or np.isnan(codes).any():
            raise ValueError("a label for each prediction")
        self.labels += codes
        self.predicted += [values for values, _ in rows]
        self.complete = self.complete and all(complete for _, complete in rows)

    def pairs(self) -> Pairs:
        """Return all rows."""
        width = len(self.target.classes or ()) or 1
        predicted = np.array(self.predicted, dtype=np.float64).reshape(-1, width)
        return Pairs(
            np.array(self.labels, dtype=np.float64),
            predicted if self.target.classes else predicted[:, 0],
            self.complete,
        )


def join(source: Path, ground_truth: Path, window: Window, target: Target, counts: Counts) -> Pairs:
    """Join the predictions of one directory with the ground truth of another; count what does not fit."""
    labels_by_id = _labels_by_id(ground_truth, counts)
    joined = _Join(target)
    for chunks in _blocks(source, counts):
        for identifier, captured, event in capture.events(chunks, window, counts):
            labels = _labels(identifier, event, labels_by_id)
            response = captured.get("endpointOutput")
            if labels is None:
                counts.unlabelled += 1
            elif response is None:
                counts.missing_body += 1
            else:
                _add(joined, response, labels, counts)
    return joined.pairs()


def _labels(
    identifier: str, event: dict[str, Any], labels_by_id: dict[str, Sequence[Any]]
) -> Sequence[Any] | None:
    """Return a request's labels, from its own record or by its id; None when there are none."""
    try:
        own = event.get("groundTruthData")
        return read(own) if own else labels_by_id.pop(identifier, None)
    except UNREADABLE:
        return None


def _add(joined: _Join, response: Side, labels: Sequence[Any], counts: Counts) -> None:
    try:
        predictions = read(response)
    except UNREADABLE:
        counts.unreadable += 1
        return
    try:
        joined.add(predictions, labels)
    except UNREADABLE:
        counts.mismatched += 1


def _labels_by_id(directory: Path, counts: Counts) -> dict[str, Sequence[Any]]:
    """Read the labels by id; the later file wins when two have the same id."""
    labels: dict[str, Sequence[Any]] = {}
    for chunk in chain.from_iterable(_blocks(directory, counts)):
        for event in capture.parse_lines(chunk):
            try:
                labels[event["eventMetadata"]["eventId"]] = read(event["groundTruthData"])
            except UNREADABLE:
                counts.unparsable += 1
    return labels


def _blocks(directory: Path, counts: Counts) -> Iterable[list[bytes]]:
    for shard in capture.shards(capture.find(directory)):
        yield from capture.blocks(shard, counts)


def _prediction(row: Any, target: Target) -> tuple[list[float], bool]:
    """Return a number, or the classes' probabilities and whether they are known."""
    if target.classes is None:
        return [finite_number(row)], True
    if isinstance(row, tuple):
        if len(row) != len(target.classes):
            raise ValueError("there are other classes than the model's")
        return [finite_number(share) for share in row], True
    if isinstance(row, dict):
        probabilities = row["probabilities"]
        return [finite_number(probabilities[name]) for name in target.classes], True
    return _from_label(row if isinstance(row, list) else [row], target, target.classes)


def _from_label(cells: list[Any], target: Target, classes: tuple[str, ...]) -> tuple[list[float], bool]:
    """Return the probabilities of a label, with or without its confidence, or of a probability alone."""
    label, *confidence = cells
    text, is_binary = str(label).strip(), len(classes) == 2  # noqa: PLR2004 - a pair of classes
    if is_binary and text not in target.codes:
        share = finite_number(text)  # as XGBoost's container responds: the probability of the second class
        return [1 - share, share], True
    values, sure = [0.0] * len(classes), finite_number(confidence[0]) if confidence and is_binary else 1.0
    values[target.codes[text]] = sure
    if is_binary:
        values[1 - target.codes[text]] = 1 - sure
    return values, bool(confidence) and is_binary
