"""A labelled image: its name, its label, and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from container.images.decode import ImageError

MAX_BYTES = 33_554_432  # size of an image's file, or of a list

Read = Callable[[], bytes]


@dataclass(frozen=True)
class LabelledFile:
    """Hold the name of an image's file in messages, its label, and the function that reads it.

    The function raises `ImageError` for a file that cannot be read.
    """

    name: str
    label: str
    read: Read


def read_bounded(file: IO[bytes]) -> bytes:
    """Return the bytes of an image's file.

    Raises:
        ImageError: there are too many of them.
    """
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ImageError("too-large", f"its file has more than {MAX_BYTES} bytes")
    return content


def refuse(reason: str, words: str) -> bytes:
    """Raise the error of a file that cannot be read.

    Raises:
        ImageError: always.
    """
    raise ImageError(reason, words)


def normalise_label(label: str) -> str:
    """Return a label without blanks around it or a zero fraction: tools write whole numbers as 1.000000."""
    label = label.strip()
    whole, dot, rest = label.partition(".")
    return whole if dot and whole.isdecimal() and rest.strip("0") == "" else label
