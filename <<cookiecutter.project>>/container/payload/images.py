"""Image requests, from a body to decoded images and their statistics.

image/png, image/jpeg, image/webp, image/bmp, image/tiff, image/gif
                          one image, of which the first frame is read whatever of these formats it has;
                          application/x-image does not name the format
application/json          {"instances": [{"b64": "…"}, …]}, a list of such objects, or one object; a plain
                          text instead of an object is read as base64 too. Base64 may be wrapped, URL-safe,
                          without padding, or a data URL: data:image/png;base64,…

The server predicts these images, and the model monitor measures the ones that an endpoint has captured.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from container.images import decode, image_statistics
from container.images.dataset import ENCODED
from container.images.decode import ImageError
from container.payload import negotiation
from container.payload.errors import RequestError, quoted
from container.payload.names import check_keys
from container.payload.negotiation import JSON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

IMAGE_TYPES = (
    *(f"image/{name}" for name in ("png", "jpeg", "jpg", "webp", "bmp", "tiff", "gif")),
    "application/x-image",
)
_DATA_URL = re.compile(r"\Adata:[^,]*;base64,", re.IGNORECASE)
_FROM_WRAPPED_AND_URL_SAFE = str.maketrans("-_", "+/", " \t\r\n")
MAX_IMAGES = 100  # of a request: a full body of small images would take minutes
# An image with too many pixels is too large, however few bytes it has.
STATUS = {"too-many-pixels": 413}


def measure(body: bytes, content_type: bytes) -> list[tuple[float, ...]]:
    """Return the statistics of each image of a request, in the order of `images.STATISTICS`.

    Raises:
        RequestError: the request cannot be read; the status is 400, 413 or 415.
    """
    bodies = split(body, content_type)
    return [image_statistics.measure(decode_image(encoded, row)) for row, encoded in enumerate(bodies, 1)]


def split(body: bytes, content_type: bytes) -> Sequence[bytes]:
    """Return the encoded images of a request, at least one.

    Raises:
        RequestError: the request cannot be read; the status is 400, 413 or 415.
    """
    if _media_type(content_type) != JSON:
        return [body]
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "invalid-json", f"the body is not JSON: {error}") from None
    check_keys(body, document, "the body")
    if isinstance(document, dict) and ENCODED not in document:
        document = document.get("instances")
    rows = document if isinstance(document, list) else [document]
    if not rows or rows == [None]:
        raise RequestError(400, "no-instances", f'send {{"instances": [{{"{ENCODED}": "…"}}, …]}}')
    if len(rows) > MAX_IMAGES:
        message = f"the request has {len(rows)} pictures, and at most {MAX_IMAGES} are taken at a time"
        raise RequestError(413, "too-many-pictures", message)
    return [_from_base64(row, number) for number, row in enumerate(rows, 1)]


def decode_image(encoded: bytes, row: int) -> Image.Image:
    """Decode the request's image number `row`, counted from 1.

    Raises:
        RequestError: with status 413 for too many pixels, 400 for every other image that cannot be decoded.
    """
    try:
        return decode.decode(encoded)
    except ImageError as error:
        status = STATUS.get(error.reason, 400)
        raise RequestError(status, f"picture-{error.reason}", f"picture {row}: {error}", row) from None


@lru_cache(maxsize=256)
def _media_type(header: bytes) -> str:
    """Return the media type of a `Content-Type` header; raise `RequestError` 415 if it is not supported."""
    name = negotiation.media_type(header)
    if name not in {JSON, *IMAGE_TYPES}:
        sent = quoted(name) if name else "no Content-Type"
        supported = " or ".join((*IMAGE_TYPES, JSON))
        raise RequestError(415, "unsupported-media-type", f"the request has {sent}; send {supported}")
    return name


def _from_base64(row: Any, number: int) -> bytes:
    text = row.get(ENCODED) if isinstance(row, dict) else row
    if not isinstance(text, str):
        message = f'picture {number} is not {{"{ENCODED}": "…"}} with a text in base64'
        raise RequestError(400, "no-picture", message, number)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        plain = _DATA_URL.sub("", text.lstrip(), count=1).translate(_FROM_WRAPPED_AND_URL_SAFE)
    try:
        return base64.b64decode(plain if "=" in plain else plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "not-base64", f"picture {number} is not base64", number) from None
