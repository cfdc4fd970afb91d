"""The inspection of an image: a digest of its pixels and its statistics, or the reason to leave it out."""

import zlib
from dataclasses import dataclass

from container.images import decode, image_statistics
from container.images.decode import ImageError
from container.images.labelled_file import LabelledFile

UNDERSIZED = "undersized"


@dataclass(frozen=True)
class ImageInfo:
    """Hold the digest of an image's pixels, its statistics, and the checksum of its file."""

    digest: bytes
    statistics: tuple[float, ...]
    checksum: int


def checksum(body: bytes) -> int:
    """Return the checksum of a file's bytes."""
    return zlib.crc32(body)


def inspect(file: LabelledFile, side: int) -> ImageInfo | ImageError:
    """Return what an image's pixels show, or the error of one that can't be used.

    An image must be at least as large as the square that a model sees, which has `side` pixels.
    """
    try:
        body = file.read()
        image = decode.decode(body)
    except ImageError as error:
        return error
    if min(image.size) < side:
        width, height = image.size
        return ImageError(UNDERSIZED, f"it has {width} by {height} pixels, fewer than {side} by {side}")
    return ImageInfo(decode.digest(image), image_statistics.measure(image), checksum(body))
