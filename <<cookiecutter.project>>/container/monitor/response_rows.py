"""Captured answers, in each form that the endpoint gives (serving/answers.py); ground truth has the same."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from container.monitor.capture import Side
from container.payload import npy
from container.payload.errors import RequestError
from container.payload.negotiation import JSON, JSON_LINES, NPY, content_type
from container.payload.requests import csv_rows, json_lines

UNREADABLE = (RequestError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def cells(given: Side) -> Sequence[Any]:
    """Return the rows of an answer or of a truth: a value, a list of a CSV row's cells, or what JSON held."""
    data, encoding = given["data"], given["encoding"]
    if encoding not in {"CSV", "JSON"}:
        kind, _ = content_type(given.get("observedContentType", "text/csv").encode())
        body = base64.b64decode(data, validate=True)
        if kind == NPY:
            return _array_cells(body)
        if kind == JSON_LINES:
            return json_lines(body)
        data, encoding = body.decode(), "JSON" if kind == JSON else "CSV"
    if encoding == "CSV":
        return [row if len(row) > 1 else row[0] for row in csv_rows(str(data).encode())]
    document = orjson.loads(data) if isinstance(data, str) else data
    if isinstance(document, dict) and "predictions" in document:
        document = document["predictions"]
    return document if isinstance(document, list) else [document]


def _array_cells(body: bytes) -> Sequence[Any]:
    """Return an array's numbers, or its rows of probabilities, which are tuples."""
    rows = npy.read(body).tolist()
    return [tuple(row) if isinstance(row, list) else row for row in rows]


def confidences(given: Side | None, count: int) -> list[float | None]:
    """Return the probability of the label of each of so many predictions, None when they can't be read."""
    try:
        found = [_confidence(answer) for answer in cells(given)] if given else []
    except UNREADABLE:
        found = []
    return [*found] if len(found) == count else [None] * count


def _confidence(answer: Any) -> float:
    if isinstance(answer, tuple):
        return max(map(finite, answer))
    if isinstance(answer, dict):
        return max(map(finite, answer["probabilities"].values()))
    if not isinstance(answer, list):
        raise TypeError("a prediction without its probability")
    _, confidence = answer
    return finite(confidence)


def finite(value: Any) -> float:
    """Return a value as a number; raise ValueError when it is not finite."""
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number
