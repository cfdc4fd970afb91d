"""The names of a request's columns, each of which a row has once: a reader of JSON would take the last."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from container.payload.errors import RequestError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

_KEY = re.compile(rb'"\s*:')  # of which a body has one for each key, and perhaps more in its texts


class _Object(dict[str, Any]):
    """An object of JSON with its names as they were sent."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def check_distinct(names: Iterable[str], place: str, row: int | None = None) -> None:
    """Check that a header or a row names a column once; a column without a name is left out.

    Raises:
        RequestError: with status 400, and the name.
    """
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            message = f"{place} names {quoted(name)} twice; a column is sent once"
            raise RequestError(400, "duplicate-column", message, row, name)
        seen.add(name)


def check_keys(text: bytes, document: Any, place: str, row: int | None = None) -> None:
    """Check that neither an object of JSON nor the rows in it have a key twice; `document` is what was read.

    Raises:
        RequestError: with status 400, the key, and the row where the document has several.
    """
    keys = sum(len(each) for each in (document, *_rows(document)) if isinstance(each, dict))
    if text.count(b":") <= keys or len(_KEY.findall(text)) <= keys:
        return
    try:
        sent = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):  # it is not a text of Python's, or deeper than it reads
        return
    if isinstance(sent, _Object):
        check_distinct(sent.names, place, row)
    for number, each in enumerate(_rows(sent), start=1):
        if isinstance(each, _Object):
            check_distinct(each.names, f"row {number}", number)


def _rows(document: Any) -> list[Any]:
    rows = document.get("instances") if isinstance(document, dict) else document
    return rows if isinstance(rows, list) else []
