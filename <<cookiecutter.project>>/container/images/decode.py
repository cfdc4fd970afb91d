"""Decoding of images; one with too many pixels or tags is refused before it is decompressed."""

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from container.images import tags

# Of what Pillow reads, the formats that many programs write, and whose readers start no other program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
NAMES = "PNG, JPEG, WebP, BMP, TIFF or GIF"
MAX_PIXELS = 25_000_000
# Pillow's readers of GIF, TIFF and WebP check a frame before they allocate it, and refuse twice this number.
# `decode` checks the size that the header says against MAX_PIXELS itself.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

Pixels = NDArray[np.uint8]


class ImageError(Exception):
    """An image can't be used; `reason` is a short word for reports, the text a sentence."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


def decode(body: bytes) -> Image.Image:
    """Return the first frame of an image as RGB: upright by its orientation, with transparent parts in white.

    Raises:
        ImageError: the reason is empty, corrupt, too-many-pixels or unsupported.
    """
    if not body:
        raise ImageError("empty", "it has no bytes")
    opened = _open(body)
    width, height = opened.size
    if max(width * height, tags.tile_pixels(opened)) > MAX_PIXELS:
        words = f"it has {width} by {height} pixels, and at most {MAX_PIXELS} in all are allowed"
        raise ImageError("too-many-pixels", words)
    if opened.format == "TIFF" and opened.mode in {"I", "F"}:
        words = "its pixels are signed or 32-bit numbers, whose black and white are not known"
        raise ImageError("unsupported", f"{words}: save it with 8 or 16 bits")
    try:
        levels = opened.info.get("transparency")
        if isinstance(levels, tuple) and opened.tile[0].args == "RGB;16B":  # Pillow reads the upper 8 bits
            opened.info["transparency"] = tuple(level // 256 for level in levels)
        opened.load()
        tags.check_exif(opened)
        grey = _from_16_bits(opened) if opened.mode.startswith("I") else None
        return _rgb(grey or ImageOps.exif_transpose(opened))
    except Exception as error:
        raise ImageError("corrupt", f"it is damaged: {error}") from error


def _open(body: bytes) -> ImageFile.ImageFile:
    try:
        tags.check_file(body)
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        words = f"it has more pixels than the {MAX_PIXELS} in all that are allowed"
        raise ImageError("too-many-pixels", words) from error
    except tags.TagsError as error:
        raise ImageError("corrupt", f"it is damaged: {error}") from error
    except Exception as error:  # a damaged file fails in any of the readers
        raise ImageError("corrupt", f"it is not a {NAMES}") from error


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


def _from_16_bits(opened: Image.Image) -> Image.Image:
    """Return a grey image of up to 16 bits in 8 bits, since Pillow would clip the values above 255."""
    bits, white_is_zero = tags.grey(opened)
    upright = np.asarray(ImageOps.exif_transpose(opened)).astype(np.int32)
    levels = (upright // 2 ** (bits - 8)).clip(0, 255).astype(np.uint8)
    levels = 255 - levels if white_is_zero else levels
    levels[upright == opened.info.get("transparency", -1)] = 255
    return Image.fromarray(levels)


def _rgb(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    transparent = image.convert("RGBA")
    background = Image.new("RGBA", transparent.size, "white")
    background.alpha_composite(transparent)
    return background.convert("RGB")
