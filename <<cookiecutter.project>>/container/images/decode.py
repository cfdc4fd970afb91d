"""Bytes to a picture, or a reason why they are none; what is too large is refused before it is unpacked."""

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 25_000_000
Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit warns only; ours follows as soon as the head is read

Pixels = NDArray[np.uint8]


class PictureError(Exception):
    """Say why bytes are no picture that is taken: a short reason, and the same in words."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def decode(body: bytes) -> Image.Image:
    """Return a PNG or JPEG as it is looked at: upright, in RGB, transparent parts white.

    Raises `PictureError`: empty, corrupt, too-many-pixels.
    """
    if not body:
        raise PictureError("empty", "it has no bytes")
    try:
        opened = Image.open(io.BytesIO(body), formats=FORMATS)
    except Exception as error:  # a damaged file fails in as many ways as there are readers below
        raise PictureError("corrupt", f"it is no {' or '.join(FORMATS)}") from error
    width, height = opened.size
    if width * height > MAX_PIXELS:
        words = f"it has {width} by {height} pixels, and at most {MAX_PIXELS} in all are taken"
        raise PictureError("too-many-pixels", words)
    try:
        return _rgb(ImageOps.exif_transpose(opened))
    except Exception as error:
        raise PictureError("corrupt", f"it is damaged: {error}") from error


def digest(picture: Image.Image) -> bytes:
    """Return a checksum of what a picture shows, however its file has it."""
    return hashlib.sha256(b"%d %d " % picture.size + picture.tobytes()).digest()


def pixels(picture: Image.Image, side: int) -> Pixels:
    """Return (side * side * 3,) bytes, row by row: the picture as a square."""
    square = picture if picture.size == (side, side) else picture.resize((side, side), Image.Resampling.BOX)
    return np.asarray(square, dtype=np.uint8).reshape(-1)


def encode(square: Pixels, side: int) -> bytes:
    """Return (side * side * 3,) bytes as a PNG, of which `pixels` gives the same bytes."""
    body = io.BytesIO()
    Image.fromarray(square.reshape(side, side, 3)).save(body, "PNG")
    return body.getvalue()


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # grey of 16 bits, of which Pillow would cut off all above 255
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    seen = picture.convert("RGBA")
    behind = Image.new("RGBA", seen.size, "white")
    behind.alpha_composite(seen)
    return behind.convert("RGB")
