"""What the evaluation left beside the model: requests, their true labels and the model's own answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

VERSION = 1


@dataclass(frozen=True)
class Row:
    """A request; label and answer are numbers, or for classes a name and {"label", "probabilities"}."""

    id: str
    body: str
    label: float | str
    answer: float | dict[str, Any]


@dataclass(frozen=True)
class Golden:
    """All requests, which have one content type; by `precision` answers may differ between machines."""

    content_type: str
    rows: tuple[Row, ...]
    precision: float = 0.0


class GoldenFileError(Exception):
    """A file that holds no golden requests."""


def load(s3: Any, url: str) -> Golden:
    """Read the file at an s3:// address."""
    parts = urlsplit(url)
    found = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    return parse(found["Body"].read(), url)


def parse(content: bytes, url: str) -> Golden:
    """Read the file's content; raise GoldenFileError when it is of another form or empty."""
    try:
        table = json.loads(content)
        version, kind = table["version"], table["content_type"]
        precision = float(table.get("precision", 0.0))
        rows = tuple(Row(r["id"], r["body"], r["label"], r["answer"]) for r in table["requests"])
    except (ValueError, LookupError, TypeError) as error:
        raise GoldenFileError(f"{url} is no file of golden requests: {error!r}.") from None
    if version != VERSION or not rows:
        raise GoldenFileError(f"{url} has version {version} and {len(rows)} requests: train the model anew.")
    return Golden(kind, rows, precision)
