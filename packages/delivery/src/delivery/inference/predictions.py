"""Predictions for rows: requests, their latency, and what came back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from delivery.inference.rows import Table

# Send the body of a request, and return the body of the response, which is JSON.
Ask: TypeAlias = "Callable[[str], bytes]"
Answer: TypeAlias = float | str
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Predictions:
    """The predictions of rows, as the responses had them, and the seconds of each request.

    A prediction is a number, or a label with the probability of each class.
    """

    values: list[Any]
    seconds: list[float]

    @property
    def answers(self) -> list[Answer]:
        """The predicted numbers, or labels."""
        return [each["label"] if isinstance(each, dict) else float(each) for each in self.values]

    @property
    def latency(self) -> dict[str, float]:
        """The percentiles of the requests' times, in milliseconds, and the number of requests."""
        ordered = sorted(self.seconds)
        ranks = {f"p{share}": ordered[-(-share * len(ordered) // 100) - 1] for share in PERCENTILES}
        return {"requests": len(ordered)} | {name: round(value * 1000, 3) for name, value in ranks.items()}


def predict(table: Table, ask: Ask, rows_a_request: int | None = None) -> Predictions:
    """Ask for all rows in requests of at most `rows_a_request` rows, else of as many as the table says.

    Raises:
        DeliveryError: A response has not one prediction a row.

    """
    found, most = Predictions([], []), rows_a_request or table.at_once
    for start in range(0, len(table.rows), most):
        stop = min(start + most, len(table.rows))
        body, began = table.body(start, stop), time.perf_counter()
        content = _ask(ask, body, f"rows {start + 1} to {stop}" if len(table.rows) > most else "")
        found.seconds.append(time.perf_counter() - began)
        part = json.loads(content)["predictions"]
        if len(part) != stop - start:
            raise DeliveryError(f"{stop - start} rows were sent and {len(part)} predictions came back.")
        found.values.extend(part)
    return found


def _ask(ask: Ask, body: str, rows: str) -> bytes:
    """Ask for a part of the rows; a refusal counts the rows of the request, and says which these are."""
    try:
        return ask(body)
    except DeliveryError as error:
        raise DeliveryError(f"{error}, in the request of {rows}" if rows else str(error)) from None


def first_difference(values: Sequence[Any], others: Sequence[Any]) -> int | None:
    """Return the position of the first prediction that differs in any bit; None where all are identical."""
    for position, (one, other) in enumerate(zip(values, others, strict=True)):
        if _written(one) != _written(other):
            return position
    return None


def _written(value: Any) -> str:
    """Return a prediction as text that differs where a bit of a number differs, and a zero's sign."""
    return json.dumps(value, sort_keys=True)
