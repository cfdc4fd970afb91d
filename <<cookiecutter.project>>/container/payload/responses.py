"""Response bodies from predictions: floats are written in the shortest form that reads back the same.

application/json       {"predictions": [prediction, ...]}; a prediction is a number, or for classes
                       {"label": ..., "probabilities": {class: probability, ...}}
application/jsonlines  a prediction a line
text/csv               a line a prediction: a number, or the label and its probability
application/x-npy      an array of numbers, or (rows, classes) of probabilities in the order of schema.json

The size of a response is limited, since SageMaker's is (limits.py).
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import orjson

from container.payload import npy
from container.payload.errors import RequestError
from container.payload.limits import MAX_RESPONSE_BYTES
from container.payload.negotiation import CSV, JSON, JSON_LINES, NPY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from container.data.schema import Target
    from container.runtime.typing import FloatArray

SERIALIZE_ARRAYS = orjson.OPT_SERIALIZE_NUMPY
CONTENT_TYPES = {
    JSON: b"application/json",
    JSON_LINES: b"application/jsonlines",
    CSV: b"text/csv; charset=utf-8",
    NPY: b"application/x-npy",
}
CHUNK_ROWS = 4096  # written at a time, which bounds the memory that many rows take
SHORTEST = 0.0  # the number with the fewest characters


class ResponseEncoder:
    """Encode predictions of a regression or of classes, in at most `max_bytes` bytes."""

    def __init__(self, target: Target, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.labels = tuple(target.classes or ())
        self.csv_labels = [_csv_cell(label) for label in self.labels]
        self.min_row_bytes = self._min_row_bytes()

    def check_rows(self, rows: int, kind: str) -> None:
        """Check that predictions for a number of rows can fit, before they are made.

        Raises:
            RequestError: with status 413, even the shortest numbers would take too many bytes.
        """
        if rows * self.min_row_bytes[kind] - 1 > self.max_bytes:
            raise self._too_large()

    def encode(self, predictions: FloatArray, kind: str) -> bytes:
        """Return the response's body for (n,) numbers of a regression or (n, classes) probabilities.

        Raises:
            RequestError: with status 413, the body is larger than the limit.
        """
        body = self._encode(predictions, kind)
        if len(body) > self.max_bytes:
            raise self._too_large()
        return body

    def _too_large(self) -> RequestError:
        message = f"the answer would be larger than {self.max_bytes} bytes; send fewer rows at a time"
        return RequestError(413, "answer-too-large", message)

    def _min_row_bytes(self) -> dict[str, int]:
        """Return the bytes of the shortest row with its separator, by media type."""
        number = len(orjson.dumps(SHORTEST))
        if not self.labels:
            return {**dict.fromkeys((JSON, JSON_LINES, CSV), number + 1), NPY: 8}
        label = min(self.labels, key=lambda text: len(orjson.dumps(text)))
        row = orjson.dumps({"label": label, "probabilities": dict.fromkeys(self.labels, SHORTEST)})
        csv_row = min(map(len, self.csv_labels)) + 1 + number
        return {JSON: len(row) + 1, JSON_LINES: len(row) + 1, CSV: csv_row + 1, NPY: 8 * len(self.labels)}

    def _encode(self, predictions: FloatArray, kind: str) -> bytes:
        exact = np.ascontiguousarray(predictions, dtype=np.float64)
        if kind == JSON:
            return b'{"predictions":[%b]}' % (self._json_classes(exact) if self.labels else _numbers(exact))
        if kind == NPY:
            return npy.write(exact)
        if not self.labels:
            return _numbers(exact).replace(b",", b"\n")
        return self._csv_classes(exact) if kind == CSV else b"\n".join(self._lines(exact))

    def _json_classes(self, probabilities: FloatArray) -> bytes:
        chunks = (
            probabilities[start : start + CHUNK_ROWS] for start in range(0, len(probabilities), CHUNK_ROWS)
        )
        return b",".join(orjson.dumps(self._rows(chunk))[1:-1] for chunk in chunks)

    def _lines(self, probabilities: FloatArray) -> Iterator[bytes]:
        for start in range(0, len(probabilities), CHUNK_ROWS):
            yield from map(orjson.dumps, self._rows(probabilities[start : start + CHUNK_ROWS]))

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
    return orjson.dumps(values, option=SERIALIZE_ARRAYS)[1:-1]


def _csv_cell(text: str) -> bytes:
    cell = io.StringIO()
    csv.writer(cell).writerow([text])  # as in `encode.line`
    return cell.getvalue().removesuffix("\r\n").encode()


def count_headers(counts: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, bytes]]:
    """Return a header for each count that is not 0."""
    return [(name, b"%d" % count) for name, count in counts if count]
