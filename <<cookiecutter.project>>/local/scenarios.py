"""Scenarios of drift: ways in which a table of requests differs from the training data."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from delivery.inference.rows import Table

Cells: TypeAlias = tuple[str, ...]
NUMERIC = ("Fractional", "Integral")
NEW_CATEGORY = "never seen before"
NEW_COLUMN = "additional_column"
OWN = 0.9  # share of different cells in a column from which each row has its own, as ids have


@dataclass(frozen=True)
class Scenario:
    """One way to differ: what it does to a column, how much by default, and which check finds it.

    `types` are those that the baseline infers of a column that can differ so; none where no column changes.
    """

    name: str
    check: str
    strength: float
    means: str
    types: tuple[str, ...] = ()
    change: Callable[[Cells, float, Random], Cells] | None = None
    is_share: bool = False

    @property
    def rule(self) -> str:
        """What its strength has to be."""
        if self.change is None:
            return "it takes none"
        return f"it is the {self.means}, {'from 0 to 1' if self.is_share else 'a finite number'}"

    def takes(self, strength: float) -> bool:
        """Tell whether a number can be its strength."""
        if self.change is None:
            return False
        return 0 <= strength <= 1 if self.is_share else math.isfinite(strength)


def shifted(cells: Cells, strength: float, chance: Random) -> Cells:  # noqa: ARG001 - all scenarios are called alike
    """Add `strength` standard deviations to numbers; whole numbers stay whole."""
    known = [value for value in map(_number, cells) if value is not None]
    step = strength * (statistics.pstdev(known) if known else 0.0)
    if math.isfinite(step) and all(value.is_integer() for value in known):
        step = math.copysign(max(1.0, math.floor(abs(step) + 0.5)), step)
    return _numbers(cells, lambda value: value + step)


def scaled(cells: Cells, strength: float, chance: Random) -> Cells:  # noqa: ARG001 - all scenarios are called alike
    """Multiply numbers; whole ones stay whole."""

    def times(value: float) -> float:
        product = value * strength
        return float(round(product)) if value.is_integer() and math.isfinite(product) else product

    return _numbers(cells, times)


def emptied(cells: Cells, strength: float, chance: Random) -> Cells:
    """Take a share of the values away."""
    return tuple("" if chance.random() < strength else cell for cell in cells)


def renamed(cells: Cells, strength: float, chance: Random) -> Cells:
    """Put a category that was never there in place of a share."""
    return tuple(NEW_CATEGORY if chance.random() < strength else cell for cell in cells)


def fractional(cells: Cells, strength: float, chance: Random) -> Cells:
    """Add a half to a share of whole numbers."""
    return _numbers(cells, lambda value: value + 0.5 if chance.random() < strength else value)


def by_name(*scenarios: Scenario) -> Mapping[str, Scenario]:
    """Return scenarios by their names, in their order; the first is the default."""
    return {scenario.name: scenario for scenario in scenarios}


OF_TABLES: Mapping[str, Scenario] = by_name(
    Scenario(
        "shift", "baseline_drift_check", 1.5, "number of standard deviations to move by", NUMERIC, shifted
    ),
    Scenario("scale", "baseline_drift_check", 3.0, "factor of a number", NUMERIC, scaled),
    Scenario(
        "missing",
        "completeness_check",
        0.2,
        "share of the values that are missing",
        (*NUMERIC, "String"),
        emptied,
        is_share=True,
    ),
    Scenario(
        "category",
        "categorical_values_check",
        0.05,
        "share of the rows with a new category",
        ("String",),
        renamed,
        is_share=True,
    ),
    Scenario(
        "fraction",
        "data_type_check",
        0.05,
        "share of whole numbers that become fractional",
        ("Integral",),
        fractional,
        is_share=True,
    ),
    Scenario("absent", "missing_column_check", 1.0, "a column is not sent", (*NUMERIC, "String")),
    Scenario("additional", "extra_column_check", 1.0, "a column is sent that the model does not have"),
)


def applied(scenario: Scenario, table: Table, feature: str, strength: float | None, chance: Random) -> Table:
    """Give the table as the scenario has it; strength is the scenario's own when it is None."""
    if scenario.name == "additional":
        rows = tuple((*row, "1") for row in table.rows)
        return replace(table, columns=(*table.columns, NEW_COLUMN), rows=rows)
    at = table.columns.index(feature)
    if scenario.change is None:
        rows = tuple((*row[:at], *row[at + 1 :]) for row in table.rows)
        return replace(table, columns=(*table.columns[:at], *table.columns[at + 1 :]), rows=rows)
    cells = tuple(row[at] for row in table.rows)
    changed = scenario.change(cells, scenario.strength if strength is None else strength, chance)
    rows = tuple((*row[:at], cell, *row[at + 1 :]) for row, cell in zip(table.rows, changed, strict=True))
    return replace(table, rows=rows)


def further_cells(cells: Cells, count: int) -> list[str]:
    """Return cells of more rows: those of the rows again, or new ones where each row has its own."""
    present = [cell for cell in cells if cell]
    if not present or len(set(present)) < OWN * len(present):
        return [cells[number % len(cells)] for number in range(count)]
    if all(cell.isdecimal() for cell in present):
        first = max(map(int, present)) + 1
        return [str(number) for number in range(first, first + count)]
    return [f"{present[0]}-{number}" for number in range(1, count + 1)]


def usable_features(scenario: Scenario, wanted: str | None, types: Mapping[str, str]) -> list[str]:
    """List the features that can change, by the types that the baseline inferred; LocalError for none."""
    fitting = scenario.types
    usable = [feature for feature, inferred in types.items() if inferred in fitting or not fitting]
    if wanted is not None and wanted not in types:
        raise LocalError(f"The model has no feature {wanted}: take one of {', '.join(types)}.")
    if not usable or (wanted is not None and wanted not in usable):
        which = wanted or "the model"
        raise LocalError(
            f"The scenario {scenario.name} takes a feature of type {' or '.join(fitting)}, and {which} is or"
            f" has none: {', '.join(usable) or 'no feature'} would do."
        )
    return usable if wanted is None else [wanted]


def sampled(table: Table, rows: int, chance: Random) -> Table:
    """Draw `count` rows of the table with replacement."""
    places = [chance.randrange(len(table.rows)) for _ in range(rows)]
    labels = table.labels
    return replace(
        table,
        rows=tuple(table.rows[place] for place in places),
        labels=None if labels is None else tuple(labels[place] for place in places),
    )


def _numbers(cells: Cells, change: Callable[[float], float]) -> Cells:
    return tuple(
        cell if (value := _number(cell)) is None else _written(change(value), cell) for cell in cells
    )


def _number(cell: str) -> float | None:
    """Read a cell as a number; None when it is missing or none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _written(value: float, before: str) -> str:
    """Write a number as it was written: one without a point stays so."""
    return str(int(value)) if value.is_integer() and before.strip().lstrip("+-").isdigit() else repr(value)
