"""Rows of captured responses, in each format of the endpoint (payload/responses.py), and of ground truth."""

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

# What the readers below raise for a body that is not a response.
UNREADABLE = (RequestError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def read(side: Side) -> Sequence[Any]:
    """Return the rows of a response or of ground truth: numbers, a list of a CSV row's cells, or JSON values.

    It raises an exception of `UNREADABLE` for a body that is not one.
    """
    data, encoding = side["data"], side["encoding"]
    if encoding not in {"CSV", "JSON"}:
        kind, _ = content_type(side.get("observedContentType", "text/csv").encode())
        body = base64.b64decode(data, validate=True)
        if kind == NPY:
            return _read_array(body)
        if kind == JSON_LINES:
            return json_lines(body)
        data, encoding = body.decode(), "JSON" if kind == JSON else "CSV"
    if encoding == "CSV":
        return [row if len(row) > 1 else row[0] for row in csv_rows(str(data).encode())]
    document = orjson.loads(data) if isinstance(data, str) else data
    if isinstance(document, dict) and "predictions" in document:
        document = document["predictions"]
    return document if isinstance(document, list) else [document]


def _read_array(body: bytes) -> Sequence[Any]:
    """Return an array's numbers, or its rows of probabilities as tuples, unlike the cells of a CSV row."""
    rows = npy.read(body).tolist()
    return [tuple(row) if isinstance(row, list) else row for row in rows]


def read_confidences(side: Side | None, count: int) -> list[float | None]:
    """Return the label's probability of each of `count` predictions, each None when they can't be read."""
    try:
        confidences = [_confidence(row) for row in read(side)] if side else []
    except UNREADABLE:
        confidences = []
    return [*confidences] if len(confidences) == count else [None] * count


def _confidence(row: Any) -> float:
    if isinstance(row, tuple):
        return max(map(finite_number, row))
    if isinstance(row, dict):
        return max(map(finite_number, row["probabilities"].values()))
    if not isinstance(row, list):
        raise TypeError("a prediction without its probability")
    _, confidence = row
    return finite_number(confidence)


def finite_number(value: Any) -> float:
    """Return a value as a number.

    Raises:
        ValueError: it is not a finite number.
    """
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number
