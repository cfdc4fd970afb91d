"""Parts of sentences with names from the data, which are short and printable: the registry shows them."""

from collections.abc import Sequence

MAX_NAME, MAX_NAMES = 40, 3


def printable(text: str) -> str:
    """Return a text in one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def quoted(name: str) -> str:
    """Return a name in quotes, cut where it is long."""
    text = printable(name)
    return f"'{text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + '…'}'"


def listed(parts: Sequence[str]) -> str:
    """Return the first parts as a list, and how many there are beside them."""
    shown = ", ".join(parts[:MAX_NAMES])
    return shown if len(parts) <= MAX_NAMES else f"{shown} and {len(parts) - MAX_NAMES} more"
