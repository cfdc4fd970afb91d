"""Names that a person may have meant."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Named = TypeVar("Named")
MOST_NAMES = 20


def find_named(
    name: str, candidates: Iterable[Named], names_of: Callable[[Named], Sequence[str]]
) -> list[Named]:
    """Return the candidates that have the name, or where none has it those whose first name contains it."""
    known = [(each, names_of(each)) for each in candidates]
    exact = [each for each, names in known if name in names]
    return exact or [each for each, names in known if name in names[0]]


def closest(name: str, names: Iterable[str]) -> str:
    """Return the name that is most like another, in upper or lower case; nothing where none is."""
    folded: dict[str, str] = {}
    for each in names:
        folded.setdefault(_fold(each), each)
    found = difflib.get_close_matches(_fold(name), folded, n=1)
    return folded[found[0]] if found else ""


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question that ends a message about an unknown name, or the names to choose from."""
    known = list(names)
    if meant := closest(name, known):
        return f"did you mean '{meant}'?"
    more = f" and {len(known) - MOST_NAMES} more" if len(known) > MOST_NAMES else ""
    return f"choose one of {', '.join(known[:MOST_NAMES])}{more}."


def also_meant(name: str, names: Iterable[str]) -> str:
    """Return what ends a message that does not list the names: the one that is most like, or a full stop.

    Where no whole name is, it is the last that begins so: names of jobs and endpoints end in ids.
    """
    known = list(names)
    begins = {each[: len(name)]: each for each in known}
    meant = closest(name, known) or begins.get(closest(name, begins))
    return f"; did you mean '{meant}'?" if meant else "."


def _fold(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold() or name
