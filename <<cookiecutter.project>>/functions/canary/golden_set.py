"""The golden set beside the model: requests with their labels and the evaluated model's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

VERSION = 1


@dataclass(frozen=True)
class GoldenRequest:
    """One request with its label and the recorded answer.

    For regression both are numbers. For classes the label is a name, and the answer has the keys "label" and
    "probabilities".
    """

    id: str
    body: str
    label: float | str
    answer: float | dict[str, Any]


@dataclass(frozen=True)
class GoldenSet:
    """The golden requests of one model, which share a content type.

    Answers on another machine may differ from the recorded ones by `absolute_tolerance`.
    """

    content_type: str
    requests: tuple[GoldenRequest, ...]
    absolute_tolerance: float = 0.0


class GoldenSetError(Exception):
    """A file is not a golden set."""


def load(s3: Any, url: str) -> GoldenSet:
    """Read the golden set at an s3:// address.

    Raises:
        GoldenSetError: the file has another form or no requests.
    """
    parts = urlsplit(url)
    response = s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    return parse(response["Body"].read(), url)


def parse(content: bytes, url: str) -> GoldenSet:
    """Parse the JSON of a golden set; the address serves error messages.

    Raises:
        GoldenSetError: the content has another form or no requests.
    """
    try:
        document = json.loads(content)
        version, content_type = document["version"], document["content_type"]
        tolerance = float(document.get("precision", 0.0))  # the file's own name for it
        requests = tuple(
            GoldenRequest(one["id"], one["body"], one["label"], one["answer"]) for one in document["requests"]
        )
    except (ValueError, LookupError, TypeError) as error:
        raise GoldenSetError(f"{url} is not a file of golden requests: {error!r}.") from None
    if version != VERSION or not requests:
        message = f"{url} has version {version} and {len(requests)} requests: train the model anew."
        raise GoldenSetError(message)
    return GoldenSet(content_type, requests, tolerance)
