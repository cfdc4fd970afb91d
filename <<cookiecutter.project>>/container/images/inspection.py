"""A look at a picture: what it shows, in a few numbers, or why it is none that is taken."""

import zlib
from dataclasses import dataclass

from container.images import decode, image_statistics
from container.images.decode import PictureError
from container.images.sources import Labelled

UNDERSIZED = "undersized"


@dataclass(frozen=True)
class Look:
    """Hold what a picture shows, as a digest that others have that show the same, and its statistics."""

    digest: bytes
    numbers: tuple[float, ...]
    checksum: int  # of its file

    @staticmethod
    def checked(body: bytes) -> int:
        """Return the checksum of a file."""
        return zlib.crc32(body)


Seen = Look | PictureError


def look(file: Labelled, side: int) -> Seen:
    """Look at a picture, which has to be as large as the side of the square that a model sees."""
    try:
        body = file.read()
        picture = decode.decode(body)
    except PictureError as error:
        return error
    if min(picture.size) < side:
        width, height = picture.size
        return PictureError(UNDERSIZED, f"it has {width} by {height} pixels, fewer than {side} by {side}")
    return Look(decode.digest(picture), image_statistics.measure(picture), Look.checked(body))
