"""Predictions to the bytes of an answer: floats in the shortest form that reads back the same.

application/json       {"predictions": [prediction, ...]}: a number, or of classes
                       {"label": ..., "probabilities": {class: probability, ...}}
application/jsonlines  a prediction a line
text/csv               a line a prediction: a number, or the label and its probability
application/x-npy      an array of numbers, or (rows, classes) of probabilities in the order of schema.json

An answer has a greatest size, because what carries it to the caller has one.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import orjson

from container.payload import npy
from container.payload.errors import Refusal
from container.payload.limits import MAX_RESPONSE_BYTES
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container.data.schema import Target
    from container.runtime.typing import FloatArray

NUMBERS = orjson.OPT_SERIALIZE_NUMPY
CONTENT_TYPES = {
    JSON: b"application/json",
    JSON_LINES: b"application/jsonlines",
    CSV: b"text/csv; charset=utf-8",
    NPY: b"application/x-npy",
}
CHUNK = 4096  # rows written at a time: bounds the memory of an answer of many rows
SHORTEST = 0.0  # no number is written in fewer characters


class Answers:
    """Write predictions, for a regression or for classes."""

    def __init__(self, target: Target, most: int = MAX_RESPONSE_BYTES) -> None:
        """Write at most so many bytes."""
        self.most = most
        self.labels = tuple(target.classes or ())
        self.csv_labels = [_csv_cell(label) for label in self.labels]
        self.least = self._least()

    def check(self, rows: int, kind: str) -> None:
        """Raise `Refusal` 413 when no predictions for so many rows fit: they need not be made."""
        if rows * self.least[kind] - 1 > self.most:
            raise self._too_large()

    def write(self, predictions: FloatArray, kind: str) -> bytes:
        """Return the answer's body: (n,) numbers of a regression, or (n, classes) probabilities.

        Raises `Refusal` 413 for one that is larger than the limit.
        """
        body = self._write(predictions, kind)
        if len(body) > self.most:
            raise self._too_large()
        return body

    def _too_large(self) -> Refusal:
        message = f"the answer would be larger than {self.most} bytes; send fewer rows at a time"
        return Refusal(413, "answer-too-large", message)

    def _least(self) -> dict[str, int]:
        """Return the bytes that a row has at least, with what separates it from the next, by media type."""
        number = len(orjson.dumps(SHORTEST))
        if not self.labels:
            return {**dict.fromkeys((JSON, JSON_LINES, CSV), number + 1), NPY: 8}
        label = min(self.labels, key=lambda text: len(orjson.dumps(text)))
        row = orjson.dumps({"label": label, "probabilities": dict.fromkeys(self.labels, SHORTEST)})
        csv_row = min(map(len, self.csv_labels)) + 1 + number
        return {JSON: len(row) + 1, JSON_LINES: len(row) + 1, CSV: csv_row + 1, NPY: 8 * len(self.labels)}

    def _write(self, predictions: FloatArray, kind: str) -> bytes:
        exact = np.ascontiguousarray(predictions, dtype=np.float64)
        if kind == JSON:
            return b'{"predictions":[%b]}' % (self._json_classes(exact) if self.labels else _numbers(exact))
        if kind == NPY:
            return npy.write(exact)
        if not self.labels:
            return _numbers(exact).replace(b",", b"\n")
        return self._csv_classes(exact) if kind == CSV else b"\n".join(self._lines(exact))

    def _json_classes(self, probabilities: FloatArray) -> bytes:
        chunks = (probabilities[start : start + CHUNK] for start in range(0, len(probabilities), CHUNK))
        return b",".join(orjson.dumps(self._rows(chunk))[1:-1] for chunk in chunks)

    def _lines(self, probabilities: FloatArray) -> Iterator[bytes]:
        for start in range(0, len(probabilities), CHUNK):
            yield from map(orjson.dumps, self._rows(probabilities[start : start + CHUNK]))

    def _rows(self, probabilities: FloatArray) -> list[dict[str, object]]:
        best = probabilities.argmax(axis=1).tolist()
        rows = probabilities.tolist()
        labels = self.labels
        return [
            {"label": labels[label], "probabilities": dict(zip(labels, row, strict=True))}
            for label, row in zip(best, rows, strict=True)
        ]

    def _csv_classes(self, probabilities: FloatArray) -> bytes:
        best = probabilities.argmax(axis=1)
        confidences = _numbers(np.ascontiguousarray(probabilities[np.arange(len(best)), best])).split(b",")
        labels = self.csv_labels
        return b"\n".join(
            b"%b,%b" % (labels[label], confidence)
            for label, confidence in zip(best.tolist(), confidences, strict=True)
        )


def _numbers(values: FloatArray) -> bytes:
    return orjson.dumps(values, option=NUMBERS)[1:-1]


def _csv_cell(text: str) -> bytes:
    cell = io.StringIO()
    csv.writer(cell, lineterminator="").writerow([text])
    return cell.getvalue().encode()


def content_type(kind: str) -> bytes:
    """Return the `Content-Type` that an answer of this kind is sent with."""
    return CONTENT_TYPES[kind]


def count_headers(counts: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, bytes]]:
    """Return a header a count, leaving out those that are 0."""
    return [(name, b"%d" % count) for name, count in counts if count]
