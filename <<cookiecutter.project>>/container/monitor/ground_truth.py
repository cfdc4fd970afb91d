"""Captured predictions joined with ground truth, by the id that the caller gave, or else by SageMaker's own.

A line of ground truth is what SageMaker takes: `{"groundTruthData": {"data": "1.5", "encoding": "CSV"},
"eventMetadata": {"eventId": "…"}, "eventVersion": "0"}`. A request of several rows has a label a line, or a
JSON array of them. What AWS's merge job has joined already, both in one record, is read as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from container.data.schema import Target
from container.monitor import capture
from container.monitor.capture import Counts, Side, Window
from container.monitor.response_rows import UNREADABLE, cells, finite
from container.runtime.typing import FloatArray


class Pairs(NamedTuple):
    """Hold labels and predictions as `evaluate` does; complete when all classes have their probability."""

    labels: FloatArray
    predicted: FloatArray
    complete: bool


@dataclass
class _Joined:
    target: Target
    labels: list[float] = field(default_factory=list)
    predicted: list[list[float]] = field(default_factory=list)
    complete: bool = True

    def add(self, answers: Sequence[Any], truth: Sequence[Any]) -> None:
        """Add a request's rows; raise ValueError or KeyError when the two do not fit, and add none then."""
        labels = [self.target.encode(str(label)) for label in truth]
        read = [_prediction(answer, self.target) for answer in answers]
        if len(labels) != len(read) or np.isnan(labels).any():
            raise ValueError("a label for each prediction")
        self.labels += labels
        self.predicted += [values for values, _ in read]
        self.complete = self.complete and all(complete for _, complete in read)

    def pairs(self) -> Pairs:
        """Return all that was joined."""
        width = len(self.target.classes or ()) or 1
        predicted = np.array(self.predicted, dtype=np.float64).reshape(-1, width)
        return Pairs(
            np.array(self.labels, dtype=np.float64),
            predicted if self.target.classes else predicted[:, 0],
            self.complete,
        )


def join(source: Path, truth: Path, window: Window, target: Target, counts: Counts) -> Pairs:
    """Read predictions and their truth from two directories; what does not fit is counted."""
    known = _truths(truth, counts)
    joined = _Joined(target)
    for chunks in _blocks(source, counts):
        for identifier, captured, event in capture.events(chunks, window, counts):
            labels = _labels(identifier, event, known)
            answered = captured.get("endpointOutput")
            if labels is None:
                counts.unlabelled += 1
            elif answered is None:
                counts.without += 1
            else:
                _add(joined, answered, labels, counts)
    return joined.pairs()


def _labels(identifier: str, event: dict[str, Any], known: dict[str, Sequence[Any]]) -> Sequence[Any] | None:
    """Return a request's labels, from its own record or from those that are known by id; None without any."""
    try:
        given = event.get("groundTruthData")
        return cells(given) if given else known.pop(identifier, None)
    except UNREADABLE:
        return None


def _add(joined: _Joined, answered: Side, labels: Sequence[Any], counts: Counts) -> None:
    try:
        answers = cells(answered)
    except UNREADABLE:
        counts.unreadable += 1
        return
    try:
        joined.add(answers, labels)
    except UNREADABLE:
        counts.mismatched += 1


def _truths(directory: Path, counts: Counts) -> dict[str, Sequence[Any]]:
    """Read the labels by id; of two for one id the later file's holds."""
    found: dict[str, Sequence[Any]] = {}
    for chunk in chain.from_iterable(_blocks(directory, counts)):
        for event in capture.values(chunk):
            try:
                found[event["eventMetadata"]["eventId"]] = cells(event["groundTruthData"])
            except UNREADABLE:
                counts.broken += 1
    return found


def _blocks(directory: Path, counts: Counts) -> Iterable[list[bytes]]:
    for share in capture.shares(capture.find(directory)):
        yield from capture.blocks(share, counts)


def _prediction(answer: Any, target: Target) -> tuple[list[float], bool]:
    """Return a number, or the classes' probabilities and whether they are known."""
    if target.classes is None:
        return [finite(answer)], True
    if isinstance(answer, tuple):
        if len(answer) != len(target.classes):
            raise ValueError("there are other classes than the model's")
        return [finite(share) for share in answer], True
    if isinstance(answer, dict):
        given = answer["probabilities"]
        return [finite(given[name]) for name in target.classes], True
    label, *confidence = answer if isinstance(answer, list) else [answer]
    text, binary = str(label).strip(), len(target.classes) == 2  # noqa: PLR2004
    if binary and text not in target.codes:
        share = finite(text)  # as XGBoost answers: the probability of the second class
        return [1 - share, share], True
    values, sure = [0.0] * len(target.classes), finite(confidence[0]) if confidence and binary else 1.0
    values[target.codes[text]] = sure
    if binary:
        values[1 - target.codes[text]] = 1 - sure
    return values, bool(confidence) and binary
