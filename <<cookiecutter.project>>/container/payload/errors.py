from __future__ import annotations

from dataclasses import dataclass

import orjson

SHOWN = 40  # characters of a caller's own text that are quoted back


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818  it is an answer to the caller, not a fault of ours
    """A request that cannot be scored, as the answer that the caller gets.

    `row` counts the rows of the request from 1, without a CSV header; `column` is a feature's name.
    """

    status: int
    code: str
    message: str
    row: int | None = None
    column: str | None = None

    def body(self) -> bytes:
        """Return the JSON body `{"error": {…}}`; keys that do not apply are left out."""
        facts = {"code": self.code, "message": self.message, "row": self.row, "column": self.column}
        return orjson.dumps({"error": {name: fact for name, fact in facts.items() if fact is not None}})


def shown(value: object) -> str:
    """Quote a caller's value for a message, cut to what a reader needs, safe in JSON and on a terminal."""
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
