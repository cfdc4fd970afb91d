"""Decoding of images; one with too many pixels is refused before it is decompressed."""

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 25_000_000
Image.MAX_IMAGE_PIXELS = None  # Pillow's limit only warns; `decode` checks MAX_PIXELS once the header is read

Pixels = NDArray[np.uint8]


class ImageError(Exception):
    """An image can't be used; `reason` is a short word for reports, the text a sentence."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def decode(body: bytes) -> Image.Image:
    """Return a PNG or JPEG as RGB: upright by its EXIF orientation, with transparent parts in white.

    Raises:
        ImageError: the reason is empty, corrupt or too-many-pixels.
    """
    if not body:
        raise ImageError("empty", "it has no bytes")
    try:
        opened = Image.open(io.BytesIO(body), formats=FORMATS)
    except Exception as error:  # a damaged file fails in any of the readers below
        raise ImageError("corrupt", f"it is not a {' or '.join(FORMATS)}") from error
    width, height = opened.size
    if width * height > MAX_PIXELS:
        words = f"it has {width} by {height} pixels, and at most {MAX_PIXELS} in all are allowed"
        raise ImageError("too-many-pixels", words)
    try:
        return _rgb(ImageOps.exif_transpose(opened))
    except Exception as error:
        raise ImageError("corrupt", f"it is damaged: {error}") from error


def digest(image: Image.Image) -> bytes:
    """Return the SHA-256 of an image's size and pixels, which do not depend on how its file encodes them."""
    return hashlib.sha256(b"%d %d " % image.size + image.tobytes()).digest()


def pixels(image: Image.Image, side: int) -> Pixels:
    """Return (side * side * 3,) bytes, row by row, of an image resized to a square."""
    square = image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(square, dtype=np.uint8).reshape(-1)


def encode(square: Pixels, side: int) -> bytes:
    """Return (side * side * 3,) bytes as a PNG, which `pixels` turns back into the same bytes."""
    body = io.BytesIO()
    Image.fromarray(square.reshape(side, side, 3)).save(body, "PNG")
    return body.getvalue()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, whose values above 255 Pillow would clip
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    transparent = image.convert("RGBA")
    background = Image.new("RGBA", transparent.size, "white")
    background.alpha_composite(transparent)
    return background.convert("RGB")
