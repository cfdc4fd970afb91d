"""Errors of requests, as the response that the caller gets."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

MAX_QUOTED = 40  # characters of a caller's own text


@dataclass(eq=False)
class RequestError(Exception):
    """A request cannot be answered with predictions; the response has this status and says why.

    `row` counts the rows of the request from 1, without a CSV header; `column` is a feature's name.
    """

    status: int
    code: str
    message: str
    row: int | None = None
    column: str | None = None

    def body(self) -> bytes:
        """Return the JSON body `{"error": {…}}`; keys that do not apply are left out."""
        fields = {"code": self.code, "message": self.message, "row": self.row, "column": self.column}
        return orjson.dumps({"error": {name: value for name, value in fields.items() if value is not None}})


def quoted(value: object) -> str:
    """Return a caller's value for a message: cut to 40 characters, and safe in JSON and on a terminal."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…")
