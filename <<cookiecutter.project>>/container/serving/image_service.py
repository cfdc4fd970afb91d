"""Pictures to predictions, as a service of its own beside that of tables.

image/png, image/jpeg     one picture; application/x-image says no more than that it is one
application/json          {"instances": [{"b64": "…"}, …]}, a bare list of these, or one; a text alone is
                          taken for base64 too

The answer is JSON with each label's probability, or CSV with the label and its probability, as `Accept` asks.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from container.images import decode, image_statistics
from container.images.dataset import ENCODED
from container.images.decode import ImageError
from container.payload import negotiation
from container.payload.errors import Refusal, shown
from container.payload.negotiation import JSON
from container.payload.responses import content_type
from container.serving.service import Answer, Service
from container.serving.settings import MAX_ANSWER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from container.model_artifact import ModelArtifact

TYPES = ("image/png", "image/jpeg", "image/jpg", "application/x-image")
MOST_PICTURES = 100  # of a request: as many small ones as a body holds would take minutes
# What is too large in pixels is so, whatever its bytes are.
STATUS = {"too-many-pixels": 413}


class PictureService(Service):
    """Answer requests about pictures with one loaded model."""

    def __init__(self, artefact: ModelArtifact, most: int = MAX_ANSWER) -> None:
        super().__init__(artefact, most)
        self.side = artefact.schema.side or 0

    def answer(self, body: bytes, content: bytes, accept: bytes) -> Answer:
        """Score a body of a `Content-Type` and write it as `Accept` asks. Raises `Refusal`."""
        bodies = _bodies(body, content)
        answer_kind = negotiation.answer_type(accept, JSON)
        self.answers.check(len(bodies), answer_kind)
        seen: NDArray[Any] = np.stack(
            [decode.pixels(_picture(each, row), self.side) for row, each in enumerate(bodies, 1)]
        )
        written = self.answers.write(self.artefact.predict(seen), answer_kind)
        self.totals.rows += len(seen)
        headers = [(b"content-type", content_type(answer_kind)), (b"content-length", b"%d" % len(written))]
        return Answer(200, headers, written)

    def warm_up(self) -> None:
        """Score a grey picture, so that the first caller does not pay for lazy imports."""
        grey: NDArray[Any] = np.full((1, self.artefact.schema.width), 128, dtype=np.uint8)
        self.artefact.predict(grey)


def measured(body: bytes, content: bytes) -> list[tuple[float, ...]]:
    """Return the statistics of each picture of a request. Raises `Refusal` as its answer does."""
    bodies = _bodies(body, content)
    return [image_statistics.measure(_picture(each, row)) for row, each in enumerate(bodies, 1)]


def _bodies(body: bytes, content: bytes) -> Sequence[bytes]:
    return encoded(body) if _kind(content) == JSON else [body]


@lru_cache(maxsize=256)
def _kind(header: bytes) -> str:
    """Return a request's media type. Raises `Refusal` 415 for one that is not read here."""
    name = negotiation.name_of(header)
    if name not in {JSON, *TYPES}:
        said = shown(name) if name else "no Content-Type"
        known = " or ".join((*TYPES, JSON))
        raise Refusal(415, "unsupported-media-type", f"the request has {said}; send {known}")
    return name


def encoded(body: bytes) -> Sequence[bytes]:
    """Return the pictures of a JSON body, never none. Raises `Refusal` 400 or 413."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "invalid-json", f"the body is not JSON: {error}") from None
    if isinstance(document, dict) and ENCODED not in document:
        document = document.get("instances")
    rows = document if isinstance(document, list) else [document]
    if not rows or rows == [None]:
        raise Refusal(400, "no-instances", f'send {{"instances": [{{"{ENCODED}": "…"}}, …]}}')
    if len(rows) > MOST_PICTURES:
        message = f"the request has {len(rows)} pictures, and at most {MOST_PICTURES} are taken at a time"
        raise Refusal(413, "too-many-pictures", message)
    return [_decoded(row, number) for number, row in enumerate(rows, 1)]


def _decoded(row: Any, number: int) -> bytes:
    text = row.get(ENCODED) if isinstance(row, dict) else row
    if not isinstance(text, str):
        message = f'picture {number} is no {{"{ENCODED}": "…"}} with a text in base64'
        raise Refusal(400, "no-picture", message, number)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(400, "not-base64", f"picture {number} is not base64", number) from None


def _picture(body: bytes, row: int) -> Image.Image:
    try:
        return decode.decode(body)
    except ImageError as error:
        status = STATUS.get(error.reason, 400)
        raise Refusal(status, f"picture-{error.reason}", f"picture {row}: {error}", row) from None
