"""The directories of tags in TIFF files and EXIF data, checked before Pillow copies all that they refer to.

A tag names a range of the file, and thousands of tags may name the same one. Sources: TIFF 6.0 (Adobe, 1992),
and the BigTIFF design note, whose numbers are wider.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

from PIL import Image

MAX_BYTES = 67_108_864  # of all tags: twice the largest file
MAX_TAGS = 65_535
MAX_STRIPS = 65_536  # Pillow takes its time for each
_SIZES = (1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 1, 1, 8, 8, 8)  # bytes of a value, by its type
_DIRECTORIES = (0x8769, 0x8825, 0xA005)  # tags that refer to another directory: EXIF, GPS, interoperability
_BITS, _PHOTOMETRIC, _OFFSETS, _TILE = 258, 262, (273, 324), (322, 323)
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_BIG = (b"+\0", b"\0+")
# EXIF data may go on in a second segment; the other kind lists the pictures of a camera's multi-picture file.
_JPEG_SEGMENTS = [re.compile(each, re.DOTALL) for each in (rb"\xff\xe1(..)Exif\0\0", rb"\xff\xe2(..)MPF\0")]


class TagsError(Exception):
    """Tags refer to more than is read."""


def check_file(body: bytes) -> None:
    """Check what Pillow reads of a TIFF or JPEG when it opens the file.

    Raises:
        TagsError: the tags are too many, or refer to too many bytes or strips.
    """
    if body.startswith(b"\xff\xd8"):
        for segment in _JPEG_SEGMENTS:
            found = ((match.end(), match.start() + 2, match[1]) for match in segment.finditer(body))
            _check(b"".join(body[at : start + int.from_bytes(length)] for at, start, length in found))
    _check(body)


def check_exif(opened: Image.Image) -> None:
    """Check the EXIF data of an image that is loaded, as `check_file` does."""
    _check(opened.info.get("exif", b"").removeprefix(b"Exif\0\0"))
    text = opened.info.get("Raw profile type exif", "")  # of a PNG: three lines, then hexadecimal digits
    _check(bytes.fromhex("".join(text.split("\n")[3:])).removeprefix(b"Exif\0\0"))


def tile_pixels(opened: Image.Image) -> int:
    """Return the pixels of a TIFF's tile, which may be larger than the image; 0 without tiles."""
    width, height = (_tag(opened, each, 0) for each in _TILE)
    return int(width * height)


def grey(opened: Image.Image) -> tuple[int, bool]:
    """Return how many bits a pixel of an image with 16-bit grey uses, and whether 0 is white."""
    return max(8, _tag(opened, _BITS, (16,))[0]), _tag(opened, _PHOTOMETRIC, 1) == 0


def _tag(opened: Image.Image, tag: int, default: Any) -> Any:
    return getattr(opened, "tag_v2", {}).get(tag, default)


def _check(data: bytes) -> None:
    """Check directories that begin with a byte order; other bytes and damaged tags are Pillow's matter."""
    order = _ORDERS.get(data[:2])
    size = 0
    for number, (tag, kind, count) in enumerate(_tags(data, order) if order else ()):
        size += min(count * (_SIZES[kind] if kind < len(_SIZES) else 1), len(data))
        if number >= MAX_TAGS or size > MAX_BYTES or (tag in _OFFSETS and count > MAX_STRIPS):
            raise TagsError("its tags refer to more than a picture has")


def _tags(data: bytes, order: Literal["little", "big"]) -> Iterator[tuple[int, int, int]]:
    """Yield the number, the type and the count of each tag of the first directory and of those in it."""

    def read(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    width, count_width = (8, 8) if data[2:4] in _BIG else (4, 2)
    starts, length = [read(width, width)], 4 + 2 * width
    while starts:
        first = starts.pop()
        end = min(first + count_width + read(first, count_width) * length, len(data))
        for at in range(first + count_width, end, length):
            tag = read(at, 2)
            yield tag, read(at + 2, 2), read(at + 4, width)
            if tag in _DIRECTORIES:
                starts.append(read(at + 4 + width, width))
