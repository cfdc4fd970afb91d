"""What a table's columns are: the target's task, each feature's kind, and what is left out."""

import difflib
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from container.data import levels, tables, values
from container.data.levels import Levels
from container.data.schema import Feature, Target
from container.data.tables import Table
from container.runtime.errors import UserError

MAX_LEVELS = 100  # beyond it the commonest 99 are kept, and the others become one
MAX_INTEGER_CLASSES = 20
MAX_CLASSES = 100
MAX_WITHOUT_TARGET = 0.05
MAX_STRAYS = 0.05
MIN_ROWS = 10
TASKS = ("auto", "regression", "classification")


@dataclass(frozen=True)
class Source:
    """Hold the tables of a job as one: all with the same columns, their rows one after the other."""

    tables: list[Table]
    columns: tuple[str, ...]

    def scan(self) -> pl.LazyFrame:
        """Return all rows as stripped text, columns named by position."""
        return pl.concat([tables.scan(table, self.columns) for table in self.tables])

    def place(self, name: str) -> str:
        """Return the position of a column, as its name in `scan`."""
        return str(self.columns.index(name))

    def fault(self, name: str) -> str:
        """Return why no model can use a column, as the first file says that has a reason, or nothing."""
        return next((reason for table in self.tables if (reason := table.fault(name))), "")

    def first(self, place: str, condition: pl.Expr) -> tuple[str, str]:
        """Return where the first row that fulfils a condition is, and its cell in a column."""
        return tables.first(self.tables, self.columns, place, condition)


@dataclass(frozen=True)
class Facts:
    """Hold what one pass over a column's kept rows counted."""

    present: int
    numbers: int
    integral: int
    whole: int
    infinite: int
    distinct: int  # approximate
    least: str | None
    greatest: str | None


@dataclass(frozen=True)
class Column:
    """Hold how a column is written: its kind for the model, and the shape of its text."""

    feature: Feature
    whole: bool = False  # every number of it is a 64-bit integer, 41.0 as well as 41
    fold: bool = False  # a boolean that is spelled in several ways


@dataclass
class Verdict:
    """Hold the columns that the model gets, the others with the reason, and cells that were no numbers."""

    columns: list[Column] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    strays: list[dict[str, Any]] = field(default_factory=list)


def join(found: list[Table]) -> Source:
    """Take several files as one table; refuse files whose columns differ, in name or in what they hold."""
    leader = found[0]
    for table in found[1:]:
        if set(table.columns) != set(leader.columns) or len(table.columns) != len(leader.columns):
            differing = sorted(set(table.columns) ^ set(leader.columns)) or ["(unnamed)"]
            raise UserError(
                f"{table.name}: its columns differ from those of {leader.name} in '{differing[0]}': "
                "all files must have the same columns"
            )
    for column in leader.columns:
        _check_kinds(found, column)
    if not sum(table.rows for table in found):
        raise UserError(f"{leader.name}: there are no rows{'' if leader.types else ' below the header'}")
    return Source(found, leader.columns)


def _check_kinds(found: list[Table], column: str) -> None:
    typed = [(table.name, kind) for table in found if (kind := table.kind_of(column))]
    for name, kind in typed[1:]:
        if kind != typed[0][1]:
            raise UserError(
                f"{name}: '{column}' holds {kind}, and in {typed[0][0]} {typed[0][1]}: "
                "a column must be of one type in all files"
            )


def find_target(source: Source, name: str) -> str:
    """Return the position of the target; refuse a name that no column has, and suggest one."""
    if name in source.columns and name:
        if reason := source.fault(name):
            raise UserError(f"{source.tables[0].name}: '{name}' can't be the target: {reason}")
        return source.place(name)
    folded = {column.lower(): column for column in source.columns}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(folded[text]) for text in near)}?" if near else ""
    shown = ", ".join(source.columns[:20]) + (", …" if len(source.columns) > 20 else "")  # noqa: PLR2004
    raise UserError(f"{source.tables[0].name}: no column is named '{name}'.{hint} The columns are: {shown}")


def blank() -> pl.Expr:
    """Return whether a row is a blank line: every cell empty."""
    return pl.all_horizontal(pl.all() == "")


def gather(frame: pl.LazyFrame, places: list[str]) -> dict[str, Facts]:
    """Count, in one pass, what tells a column's kind."""
    counted = frame.select(pl.struct(_facts(place)).alias(place) for place in places)
    row = counted.collect(engine="streaming").row(0, named=True)
    return {place: Facts(**row[place]) for place in places}


def _facts(place: str) -> list[pl.Expr]:
    cell, value = pl.col(place), tables.number(pl.col(place))
    integral = (value == value.floor()) & (value.abs() < tables.EXACT)
    there = ~tables.missing(cell)
    text = pl.when(there).then(cell)
    return [
        there.sum().alias("present"),
        value.is_not_null().sum().alias("numbers"),
        integral.sum().alias("integral"),
        (integral | cell.cast(pl.Int64, strict=False).is_not_null()).sum().alias("whole"),
        value.is_infinite().sum().alias("infinite"),
        text.approx_n_unique().alias("distinct"),
        text.min().alias("least"),
        text.max().alias("greatest"),
    ]


def target(source: Source, place: str, facts: Facts, frame: pl.LazyFrame, task: str) -> Column:
    """Settle whether the target is a number or a class, and which classes there are."""
    name = source.columns[int(place)]
    if facts.least == facts.greatest:
        where, text = source.first(place, ~tables.missing(pl.col(place)))
        raise UserError(f"{where}: '{name}' is '{text}' in every row, so there is nothing to learn")
    numeric = facts.numbers == facts.present
    if task == "regression" and not numeric:
        _refuse_text(source, place, "TASK is regression")
    whole = numeric and facts.integral == facts.present
    few = whole and facts.distinct <= 2 * MAX_INTEGER_CLASSES
    counted = few or not numeric or task == "classification"
    found = _levels(frame, place, facts, whole=whole) if counted else Levels(0, {})
    if task == "regression" or (
        task == "auto" and numeric and not (few and found.distinct <= MAX_INTEGER_CLASSES)
    ):
        _refuse_infinite(source, place, facts)
        return Column(Feature(name, "numeric"), whole=facts.whole == facts.present)
    return _classes(source, place, facts, found, whole=whole)


def as_target(column: Column) -> Target:
    """Return the schema's target of a column that `target` settled."""
    classes = column.feature.categories
    if classes is None:
        return Target(column.feature.name, "regression")
    return Target(column.feature.name, "binary" if len(classes) == 2 else "multiclass", classes)  # noqa: PLR2004


def _classes(source: Source, place: str, facts: Facts, found: Levels, *, whole: bool) -> Column:
    name = source.columns[int(place)]
    if found.distinct > MAX_CLASSES:
        if facts.numbers >= facts.present * (1 - MAX_STRAYS) and facts.numbers < facts.present:
            _refuse_text(source, place, "nearly every other value is a number")
        raise UserError(
            f"{source.tables[0].name}: '{name}' has {found.distinct} classes, and at most {MAX_CLASSES} can "
            "be told apart: choose another target, or TASK = regression for a number"
        )
    texts, fold = _spelling(sorted(found.commonest, key=int) if whole else sorted(found.commonest))
    if len(texts) == 1:
        raise UserError(f"{source.tables[0].name}: '{name}' has one class only, so there is nothing to learn")
    return Column(Feature(name, "categorical", tuple(texts)), whole=whole, fold=fold)


def _refuse_text(source: Source, place: str, why: str) -> None:
    cell = pl.col(place)
    where, text = source.first(place, ~tables.missing(cell) & tables.number(cell).is_null())
    raise UserError(f"{where}: '{source.columns[int(place)]}' is '{text}', which is no number, and {why}")


def _refuse_infinite(source: Source, place: str, facts: Facts) -> None:
    if facts.infinite:
        where, text = source.first(place, tables.number(pl.col(place)).is_infinite())
        raise UserError(
            f"{where}: '{source.columns[int(place)]}' is '{text}', and numbers must be finite: "
            "leave the cell empty for a missing value"
        )


def _levels(frame: pl.LazyFrame, place: str, facts: Facts, *, whole: bool = False) -> Levels:
    """Count how often each text stands in a column; whole numbers in one spelling."""
    cell = pl.col(place)
    text = tables.number(cell).cast(pl.Int64).cast(pl.String) if whole else cell
    texts = frame.filter(~tables.missing(cell)).select(text.alias(levels.TEXT))
    return levels.count(texts, facts.present, facts.distinct, MAX_LEVELS)


def _spelling(texts: list[str]) -> tuple[list[str], bool]:
    """Return the levels, a boolean's spelled in one way, and whether that changed them."""
    lower = sorted({text.lower() for text in texts})
    fold = set(lower) <= values.BOOLEANS and len(lower) < len(texts)
    return (lower if fold else texts), fold


def features(source: Source, places: list[str], facts: dict[str, Facts], frame: pl.LazyFrame) -> Verdict:
    """Settle each column's kind; refuse infinite numbers and a table without a usable column."""
    verdict = Verdict()
    for place in places:
        _judge(source, place, facts[place], frame, verdict)
    if not verdict.columns:
        reasons = "".join(f" '{left['column']}': {left['reason']}." for left in verdict.left_out)
        raise UserError(f"{source.tables[0].name}: no column besides the target can be used.{reasons}")
    return verdict


def _judge(source: Source, place: str, facts: Facts, frame: pl.LazyFrame, verdict: Verdict) -> None:
    name = source.columns[int(place)]
    reason = source.fault(name) or _useless(name, facts)
    if reason:
        verdict.left_out.append({"column": name, "reason": reason})
    elif facts.numbers == facts.present:
        _refuse_infinite(source, place, facts)
        verdict.columns.append(Column(Feature(name, "numeric"), whole=facts.whole == facts.present))
    else:
        _judge_text(source, place, facts, frame, verdict)


def _useless(name: str, facts: Facts) -> str:
    if not name:
        return "it has no name"
    if not facts.present:
        return "every value is missing"
    return "it has one value" if facts.least == facts.greatest else ""


def _judge_text(source: Source, place: str, facts: Facts, frame: pl.LazyFrame, verdict: Verdict) -> None:
    name = source.columns[int(place)]
    style = _date_style(frame, place)
    if style:
        verdict.columns.append(Column(Feature(name, "date", format=style)))
        return
    found = _levels(frame, place, facts)
    if found.distinct > MAX_LEVELS and facts.numbers >= facts.present * (1 - MAX_STRAYS):
        _refuse_infinite(source, place, facts)
        cell = pl.col(place)
        where, text = source.first(place, ~tables.missing(cell) & tables.number(cell).is_null())
        count = facts.present - facts.numbers
        verdict.strays.append({"column": name, "cells": count, "first": where, "text": text})
        verdict.columns.append(Column(Feature(name, "numeric"), whole=facts.whole == facts.numbers))
    elif found.distinct == facts.present:
        verdict.left_out.append({"column": name, "reason": "it is text that differs in every row"})
    else:
        verdict.columns.append(_categorical(name, found))


def _categorical(name: str, found: Levels) -> Column:
    if found.distinct <= MAX_LEVELS:
        texts, fold = _spelling(list(found.commonest))
        return Column(Feature(name, "categorical", tuple(sorted(texts))), fold=fold)
    commonest = list(found.commonest)[: MAX_LEVELS - 1]
    return Column(Feature(name, "categorical", tuple(sorted(commonest)), other=True))


def _date_style(frame: pl.LazyFrame, place: str) -> str:
    """Return the one way in which every text of a column is a date, else nothing."""
    styles = list(values.DATE_FORMATS)
    cells = frame.select(place).filter(~tables.missing(pl.col(place)))
    for batch in cells.collect_batches(maintain_order=True):
        texts = batch[place].unique(maintain_order=True).to_list()
        for style in styles.copy():
            if any(values.seconds(text, style) is None for text in texts):
                styles.remove(style)
        if not styles:
            return ""
    return styles[0]
