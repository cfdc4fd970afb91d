"""Captured predictions joined with ground truth, by the caller's inference id or else SageMaker's event id.

A line of ground truth is what SageMaker takes: `{"groundTruthData": {"data": "1.5", "encoding": "CSV"},
"eventMetadata": {"eventId": "…"}, "eventVersion": "0"}`; the id may be called `inferenceId` too. A request of
several rows has a label a line, or a JSON array of them. A record that AWS's merge job has joined, with both,
is read as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from container.data import values
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


class Joined(NamedTuple):
    """Hold what could be joined, and the counts of requests and of ground truth."""

    pairs: Pairs
    counts: Counts
    truth: Counts


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
        codes = [self.target.encode(_text(label, self.target)) for label in labels]
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


def join(source: Path, ground_truth: Path, window: Window, target: Target) -> Joined:
    """Join the predictions of one directory with the ground truth of another; count what does not fit."""
    counts, truth = Counts(), Counts()
    truths = _truths_by_id(ground_truth, truth)
    joined = _Join(target)
    for chunks in _blocks(source, counts):
        for identifier, captured, event in capture.events(chunks, Window(), counts):
            own = event.get("groundTruthData") or truths.pop(_known_id(identifier, event, truths), None)
            if not _is_in_window(event["eventMetadata"], window, counts):
                continue
            if own is None:
                counts.unlabelled += 1
            else:
                counts.labelled += 1
                _add(joined, captured.get("endpointOutput"), own, counts)
    counts.unreadable_truth, counts.relabelled = truth.unparsable, truth.relabelled
    counts.unmatched = len(truths)
    return Joined(joined.pairs(), counts, truth)


def _is_in_window(metadata: dict[str, Any], window: Window, counts: Counts) -> bool:
    time = metadata.get("inferenceTime", "")
    if window == Window():
        return True
    if not isinstance(time, str) or not time:
        counts.unparsable += 1
        return False
    counts.out_of_window += not window.contains(time)
    return window.contains(time)


def _known_id(identifier: Any, event: dict[str, Any], truths: dict[str, Any]) -> str:
    """Return the id that ground truth has of a request: the caller's, or else SageMaker's own."""
    return str(identifier if str(identifier) in truths else event["eventMetadata"].get("eventId"))


def _add(joined: _Join, response: Side | None, truth: Any, counts: Counts) -> None:
    if response is None:
        counts.missing_body += 1
        return
    try:
        predictions = read(response)
    except UNREADABLE:
        counts.unreadable += 1
        return
    try:
        joined.add(predictions, read(truth))
    except UNREADABLE:
        counts.mismatched += 1


def _truths_by_id(directory: Path, counts: Counts) -> dict[str, Any]:
    """Return the ground truth by id, unread; the later of two lines with an id wins, as a correction."""
    truths: dict[str, Any] = {}
    relabelled: set[str] = set()
    for chunk in chain.from_iterable(_blocks(directory, counts)):
        for line in capture.parse_lines(chunk):
            counts.lines += 1
            try:
                metadata, found = line["eventMetadata"], line["groundTruthData"]
                if found["data"] is None:
                    raise ValueError("a line without a label")
                identifier = str(metadata.get("inferenceId") or metadata["eventId"])
                if identifier in truths and _spelled(truths[identifier]) != _spelled(found):
                    relabelled.add(identifier)
                truths[identifier] = found
            except UNREADABLE:
                counts.unparsable += 1
    counts.labelled, counts.relabelled = len(truths), len(relabelled)
    return truths


def _blocks(directory: Path, counts: Counts) -> Iterable[list[bytes]]:
    for shard in capture.shards(capture.find(directory, counts)):
        yield from capture.blocks(shard, counts)


def _spelled(truth: dict[str, Any]) -> str:
    return values.label_key(str(truth["data"]).strip())


def _text(label: Any, target: Target) -> str:
    """Return a label as the target's column has it: as CSV, 1,234.5 without quotes is read as two cells."""
    if isinstance(label, int | float) and target.number_format:
        return target.number_format.spell(str(label))
    is_row = isinstance(label, list) and all(isinstance(cell, str) for cell in label)
    return ",".join(label) if is_row else str(label)


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
    code, share = target.labels.find(text), values.number(text)
    if is_binary and text not in classes and code in {None, share} and share is not None and 0 <= share <= 1:
        return [1 - share, share], True  # XGBoost's container gives the probability of the second class
    if code is None:
        raise ValueError(f"{text} is not a class")
    shares, sure = [0.0] * len(classes), finite_number(confidence[0]) if confidence and is_binary else 1.0
    shares[code] = sure
    if is_binary:
        shares[1 - code] = 1 - sure
    return shares, bool(confidence) and is_binary
