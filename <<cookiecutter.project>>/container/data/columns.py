"""Inference of how the target and every other column are read, or why a column is left out."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import polars as pl

from container.data import infer, kinds, tables, values
from container.data.infer import Column, ColumnInference, ColumnStats, InferredTable, InspectedTable, Source
from container.data.kinds import Decision
from container.data.reading import ReadingSettings
from container.data.schema import Feature, Kind
from container.data.split import SMALLEST_SPREAD
from container.data.value_counts import TEXT, Texts
from container.data.values import Reading
from container.runtime.errors import UserError

MAX_LEVELS = 100  # of a categorical column; of more, the commonest 99 are kept and the others become one
MAX_INTEGER_CLASSES = 20
MAX_CLASSES = 100
_SPELLINGS = 20  # of 0 and 1, such as 1.0 and 01
_LETTERS = {"y", "n", "t", "f"}
_COUNTED = 1000  # texts that may be spellings of the levels
_LONG = re.compile("[0-9]{16,300}")
_WHOLE_NUMBER = re.compile(r"^([+-]?[0-9]+)\.0*$")


def infer_others(
    table: InspectedTable, ids: Mapping[str, str], numbering: Mapping[str, str]
) -> InferredTable:
    """Infer the kind of every column but the target.

    `ids` and `numbering` have the reasons to leave out columns, by their names. Those in `numbering` are used
    where the table has no other column.

    Raises:
        UserError: a number is infinite, a kind of the settings does not fit, or no column can be used.
    """
    source = table.source
    for name in table.settings.kinds:
        if name not in source.columns:
            raise UserError(f"[data.kinds] names a column that is not there: {infer.unknown(source, name)}")
    positions = [position for position in table.stats if position != table.position]
    doubtful = _doubtful(table)
    inferences = [_infer_column(table, position, doubtful, {**ids, **numbering}) for position in positions]
    if not any(each.column for each in inferences):
        inferences = [_infer_column(table, position, doubtful, ids) for position in positions]
    inferred = InferredTable(table.target, tuple(inferences))
    if not inferred.columns:
        reasons = "".join(f" '{left['column']}': {left['reason']}." for left in inferred.dropped_columns)
        raise UserError(f"{source.tables[0].name}: no column besides the target can be used.{reasons}")
    return inferred


def infer_column(table: InspectedTable, position: str) -> ColumnInference:
    """Infer the kind of one column, which may be left out as a feature.

    Raises:
        UserError: a number is infinite, or a kind of the settings does not fit.
    """
    return _infer_column(table, position, _doubtful(table), {})


@dataclass(frozen=True)
class _Cells:
    """Hold a column's cells in the rows that count, and the settings by which they are read."""

    source: Source
    position: str
    stats: ColumnStats
    settings: ReadingSettings
    kept: pl.Expr  # whether a row counts

    @property
    def name(self) -> str:
        return self.source.name(self.position)

    @property
    def rows(self) -> pl.LazyFrame:
        return self.source.scan().filter(self.kept)

    @cached_property
    def texts(self) -> Texts:
        """Return the texts that are not missing."""
        texts = self.rows.filter(~self.source.missing(self.position)).select(
            pl.col(self.position).alias(TEXT)
        )
        return Texts(texts, self.stats.present, self.stats.distinct, self.source.decimal_mark(self.position))

    @property
    def is_plain(self) -> bool:
        """Return whether the cells are plain numbers and nothing else, and can be nothing but numbers."""
        if self.source.is_typed(self.name) or not self.stats.is_numeric:
            return self.stats.is_numeric
        doubt = self.stats.padded or kinds.may_be_dates(str(self.stats.least), str(self.stats.greatest))
        return self.settings.decimal != "comma" and not doubt

    def decide(self, forced: str = "") -> Decision:
        """Return what the column is taken for; numbers with a type of their own have a decimal point."""
        typed = self.source.is_typed(self.name)
        return kinds.decide(
            self.texts, replace(self.settings, decimal="point") if typed else self.settings, forced
        )

    def has_strays(self, decision: Decision) -> bool:
        """Return whether some cells do not fit what the column is."""
        return decision.kind != kinds.LABEL and decision.fits < self.stats.present

    def first_misfit(self, decision: Decision) -> tuple[str, str]:
        """Return where the first cell is that does not fit what a column is, or nearly is, and its text."""
        misfit = decision.misfit(pl.col(self.position)) & ~self.source.missing(self.position)
        return self.source.first(self.position, self.kept & misfit)

    def near(self, decision: Decision) -> str:
        """Return what a column of text nearly is, and its first cell that does not fit, in parentheses."""
        if decision.is_measured:
            where, text = self.source.first(self.position, self.kept & ~self.source.missing(self.position))
            return f" ({decision.reason}; the first is '{text}', {where})"
        if not decision.near or not decision.reason:
            return f" ({decision.reason})" if decision.reason else ""
        where, text = self.first_misfit(decision)
        return f" ({decision.reason}; the first other text is '{text}', {where})"

    def levels(self, decision: Decision) -> tuple[dict[str, str], Counter[str], int]:
        """Return the label of each text, how often the labels occur, and how many labels there are."""
        texts = self.texts
        if self.has_strays(decision):
            fitting = texts.frame.filter(~decision.misfit(pl.col(TEXT)))
            texts = replace(texts, frame=fitting, present=decision.fits)
        counts = texts.count(_COUNTED)
        labels, times = spell_labels(counts.commonest, self.source.reading), Counter[str]()
        for text, count in counts.commonest.items():
            times[labels[text]] += count
        return labels, times, counts.distinct - len(labels) + len(times)

    def feature(self, kind: Kind, decision: Decision, **others: Any) -> Feature:
        """Return a feature of this column."""
        return Feature(
            self.name, kind, strays=self.has_strays(decision), reading=self.source.reading, **others
        )

    def numeric(self, decision: Decision) -> Column:
        """Return the column as numbers.

        Raises:
            UserError: one is infinite.
        """
        style, stats, cell = decision.number_format, self.stats, pl.col(self.position)
        if style:
            counted = self.rows.select(infer.statistics(cell, self.source.reading, style))
            stats = ColumnStats(**counted.collect(engine="streaming").row(0, named=True))
        if stats.infinite:
            infinite = self.kept & tables.number(cell, style).is_infinite()
            where, text = self.source.first(self.position, infinite)
            raise UserError(
                f"{where}: '{self.name}' is '{text}', and numbers must be finite: "
                "leave the cell empty for a missing value"
            )
        whole = stats.whole == stats.numbers
        feature = self.feature(
            "numeric", decision, number_format=style, boolean=whole and self._is_boolean(decision)
        )
        return Column(feature, decision, whole=whole)

    def _is_boolean(self, decision: Decision) -> bool:
        """Return whether all numbers are 0 or 1, and no stray is a word that requests would read as one."""
        style, cell = decision.number_format, pl.col(self.position)
        strays = self.stats.present - decision.fits
        if self.stats.distinct - strays > _SPELLINGS or (style and style.sign):  # it is approximate
            return False
        value = tables.number(cell, style)
        other = value.is_null() & ~cell.str.to_lowercase().is_in(sorted(values.TRUTH))
        present = self.rows.filter(~self.source.missing(self.position))
        counted = present.select((value.is_in([0.0, 1.0]).fill_null(value=False) | other).all())
        return bool(counted.collect(engine="streaming").item())


def _doubtful(table: InspectedTable) -> set[str]:
    stats = {position: stats for position, stats in table.stats.items() if position != table.position}
    return _may_be_thousands(table.source, table.kept, stats)


def _may_be_thousands(source: Source, rows: pl.LazyFrame, stats: Mapping[str, ColumnStats]) -> set[str]:
    untyped = [position for position in stats if not source.is_typed(source.name(position))]
    fractions = {position for position in untyped if stats[position].integral < stats[position].numbers}
    sample = rows.select(untyped).head(kinds.SAMPLE).collect()
    return kinds.may_be_thousands(sample, source.reading.missing, fractions)


def infer_target(
    source: Source, position: str, stats: ColumnStats, task: str, settings: ReadingSettings
) -> Column:
    """Infer how the target is read, and its classes.

    Raises:
        UserError: the target can't be predicted.
    """
    cells = _Cells(source, position, stats, settings, ~source.missing(position))
    if stats.least == stats.greatest:
        where, text = source.first(position, cells.kept)
        raise UserError(f"{where}: '{cells.name}' is '{text}' in every row, so there is nothing to learn")
    forced = settings.kinds.get(cells.name, "")
    if forced in {"date", "excluded"}:
        raise UserError(f"[data.kinds] sets '{cells.name}' to {forced}, and it is the target")
    if task == "auto":
        task = {"numeric": "regression", "categorical": "classification"}.get(forced, task)
    if task == "classification":
        return _classes(cells, Decision(kinds.LABEL, stats.present))
    is_plain = cells.is_plain and not _may_be_thousands(source, cells.rows, {position: stats})
    decision = Decision(kinds.NUMBER, stats.present) if is_plain else _decide_target(cells, task)
    if decision.kind == kinds.NUMBER:
        column = cells.numeric(decision)
        if task == "regression" or not _has_few(cells, decision):
            return column
    return _classes(cells, decision)


def _decide_target(cells: _Cells, task: str) -> Decision:
    decision = cells.decide("numeric" if task == "regression" else "")
    if task == "regression" and decision.fits < kinds.MOST * cells.stats.present:
        where, text = cells.first_misfit(decision)
        raise UserError(
            f"{where}: '{cells.name}' is '{text}', which is not a number, and TASK is regression: "
            f"{kinds.share(decision.fits, cells.stats.present)} of its cells are numbers"
        )
    if decision.kind in {kinds.NUMBER, kinds.CODE}:
        return decision
    reason = decision.reason or "its cells are dates" * (decision.kind == kinds.DATE)
    return replace(decision, kind=kinds.LABEL, reason=reason, guess="")  # a name, so that none is a stray


def _has_few(cells: _Cells, decision: Decision) -> bool:
    """Return whether a column of numbers holds few whole ones, which are classes."""
    stats, value = cells.stats, tables.number(pl.col(cells.position), decision.number_format)
    if stats.is_numeric and stats.integral < stats.present and not decision.number_format:
        return False
    if stats.distinct > 2 * MAX_INTEGER_CLASSES + stats.present - decision.fits:  # it is approximate
        return False
    integral = (value == value.floor()) & (value.abs() < values.EXACT)
    counted = cells.rows.select(
        value.drop_nulls().n_unique().alias("distinct"), integral.all().alias("whole")
    )
    distinct, whole = counted.collect().row(0)
    return bool(whole) and distinct <= MAX_INTEGER_CLASSES


def _classes(cells: _Cells, decision: Decision) -> Column:
    file = cells.source.tables[0].name
    labels, times, distinct = cells.levels(decision)
    problem, advice = "", "choose another target, or TASK = regression for a number"
    if decision.date_format and decision.fits >= kinds.MOST * cells.stats.present:
        advice = "choose another target, such as a number of days, as dates can't be predicted"
    mostly = decision.near == kinds.NUMBER and decision.fits >= kinds.MOST * cells.stats.present
    if decision.is_measured and distinct > MAX_INTEGER_CLASSES:
        problem = "is neither numbers nor classes"
        advice = (
            "write it as plain numbers of one unit, or set task to classification or its kind to categorical"
        )
    elif mostly and distinct > MAX_INTEGER_CLASSES:
        problem = "is neither numbers nor classes"
        advice = "name a word for a missing value in missing_words of [data], or set task to classification"
    elif distinct > MAX_CLASSES:
        problem = f"has {distinct} classes, and at most {MAX_CLASSES} are supported"
    elif distinct == 1:
        raise UserError(f"{file}: '{cells.name}' has one class only, so there is nothing to learn")
    elif max(times.values()) < SMALLEST_SPREAD:
        rows = sum(times.values())
        problem = f"has {distinct} classes in {rows} rows, and each in fewer than {SMALLEST_SPREAD}"
    if problem:
        raise UserError(f"{file}: '{cells.name}' {problem}{cells.near(decision)}: {advice}")
    changed = {text: label for text, label in labels.items() if text != label}
    decision = replace(decision, guess=decision.guess or _guess_labels(labels))
    return Column(cells.feature("categorical", decision, categories=_sorted(times)), decision, labels=changed)


def _sorted(labels: Mapping[str, int]) -> tuple[str, ...]:
    """Return classes by their numbers or truth values, if all have them, else by their text."""
    if all(values.number(label) is not None for label in labels):
        return tuple(sorted(labels, key=lambda label: (values.number(label), label)))
    if tuple(sorted(label.lower() for label in labels)) in values.BOOLEAN_PAIRS:
        return tuple(sorted(labels, key=lambda label: values.TRUTH[label.lower()]))
    return tuple(sorted(labels))


def spell_labels(counts: Mapping[str, int], reading: Reading) -> dict[str, str]:
    """Return the label of each text: of equal texts, such as booleans in upper and lower case, the commonest.

    A whole number is written without its fraction, as 1.0 is only how some programs write 1, and an ISO time
    without trailing zeros, which not all programs write, unless that would mean a missing value. Where a
    fraction is spelled in two ways, the numbers are names, such as the versions 1.1 and 1.10: each text is a
    label.
    """
    keys = {text: values.label_key(text) for text in counts}
    numbers = [values.number(key) for key in keys.values() if values.number(key) is not None]
    whole = all(number.is_integer() for number in numbers if number is not None)
    if any(_is_fraction(key) for key, times in Counter(keys.values()).items() if times > 1):
        keys = {text: text for text in counts}
    folded = {text: key.lower() for text, key in keys.items()}
    merged = _merged(folded, counts)
    keys = {text: merged.get(folded[text], key) for text, key in keys.items()}
    groups: dict[str, Counter[str]] = {}
    for text, times in counts.items():
        if merged.get(folded[text], folded[text]) == folded[text]:
            spelled = reading.spell_moment(_WHOLE_NUMBER.sub(r"\1", text) if whole else text)
            groups.setdefault(keys[text], Counter())[spelled] += times
    commonest = {
        key: min(group, key=lambda text: (-group[text], len(text), text)) for key, group in groups.items()
    }
    return {text: commonest[key] for text, key in keys.items()}


def _is_fraction(text: str) -> bool:
    value = values.number(text)
    return value is not None and not value.is_integer()


def _look(text: str) -> str:
    """Return a text without what readers hardly see, such as a no-break space or an accent of its own."""
    return re.sub(r"[\s\u200b-\u200d\ufeff]+|\.$", "", unicodedata.normalize("NFKC", text)).casefold()


def _guess_labels(labels: Mapping[str, str]) -> str:
    """Return what the report says where two texts are the same number, unless they are such as 1 and 1.0.

    Labels that look the same are named too.
    """
    seen: dict[str, str] = {}
    alike: dict[str, str] = {}
    for text, label in labels.items():
        first = alike.setdefault(_look(label), label)
        if first != label:
            return (
                f"'{first}' and '{label}' are two of the labels, and differ in case, blanks or a dot at most"
            )
        first = seen.setdefault(values.label_key(text), text)
        if values.number(text) is not None and first.removesuffix(".0") != text.removesuffix(".0"):
            kept = "one" if labels[first] == label else "two"
            return f"'{first}' and '{text}' are the same number, and {kept} of the labels"
    return ""


def _merged(folded: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, str]:
    """Return the boolean in lower case that each word means: itself, or that of the commonest pair.

    Several pairs are one where each is complete, except Y and N beside T and F. A word without its pair is a
    label of its own: T beside Y and N.
    """
    words = set(folded.values())
    pairs = values.pairs_in(words)
    several = len(pairs) > 1 and words == {word for pair in pairs for word in pair}
    if not several or words >= _LETTERS:
        return {word: word for word in values.spelled_pair(words)}
    usual = max(pairs, key=lambda pair: sum(times for text, times in counts.items() if folded[text] in pair))
    return {word: usual[values.TRUTH[word]] for word in words}


def _infer_column(
    table: InspectedTable, position: str, doubtful: set[str], left_out: Mapping[str, str]
) -> ColumnInference:
    cells = _Cells(table.source, position, table.stats[position], table.settings, table.has_target)
    name, stats = cells.name, cells.stats
    if reason := _reason_to_drop(table, cells) or left_out.get(name, ""):
        return ColumnInference(name, reason=reason)
    forced = table.settings.kinds.get(name, "")
    if stats.least == stats.greatest and not forced:
        text = str(stats.least)
        label = table.source.reading.spell_moment(text)
        feature = Feature(name, "categorical", (label,), reading=table.source.reading)
        why = "it has one value, and is missing elsewhere"
        column = Column(feature, labels={text: label} if text != label else {})
        return ColumnInference(name, column, kind_reason=why)
    decision = Decision(kinds.NUMBER, stats.present)
    if forced == "categorical":
        decision = Decision(kinds.LABEL, stats.present)
    elif forced == "date" or position in doubtful or not cells.is_plain:
        decision = cells.decide(forced)
        _check_forced(cells, decision, forced)
    reasons = ["[data.kinds] sets it"] * bool(forced) + [decision.reason]
    decision = replace(decision, reason="; ".join(filter(None, reasons)))
    if decision.kind == kinds.NUMBER:
        guess = decision.guess or ("" if forced else _guess_code(stats))
        return ColumnInference(name, cells.numeric(decision), "", decision.reason, guess)
    if decision.kind == kinds.DATE:
        feature = cells.feature("date", decision, format=decision.date_format)
        return ColumnInference(name, Column(feature, decision), "", decision.reason, decision.guess)
    return _infer_text(cells, decision)


def _guess_code(stats: ColumnStats) -> str:
    """Return what numbers of many digits, and a few with leading zeros, are taken for, or nothing."""
    if stats.padded:
        return "some of its cells begin with 0, as codes do: set its kind to categorical if they are codes"
    for text in (str(stats.least), str(stats.greatest)):
        if _LONG.fullmatch(text) and int(text) > values.EXACT:
            return (
                f"'{text}' has more digits than a number keeps, as codes have: set its kind to categorical, "
                "or to excluded"
            )
    return ""


def _reason_to_drop(table: InspectedTable, cells: _Cells) -> str:
    stats, name = cells.stats, cells.name
    one = stats.least == stats.greatest and stats.present == table.rows.kept
    reasons = {
        "it has no name": not name,
        "[data.kinds] excludes it": table.settings.kinds.get(name) == "excluded",
        "every value is missing": not stats.present,
        "it has one value": one,
    }
    return cells.source.fault(name) or next((reason for reason, holds in reasons.items() if holds), "")


def _infer_text(cells: _Cells, decision: Decision) -> ColumnInference:
    labels, times, distinct = cells.levels(decision)
    near, is_set = cells.near(decision), cells.name in cells.settings.kinds and times
    if distinct == cells.stats.present and not is_set:
        return ColumnInference(cells.name, reason=f"it is text that differs in every row{near}")
    other = distinct > MAX_LEVELS
    commonest = sorted(times, key=lambda label: (-times[label], label))
    kept = commonest[: MAX_LEVELS - 1] if other else commonest
    changed = {text: label for text, label in labels.items() if text != label and label in kept}
    feature = cells.feature("categorical", decision, categories=tuple(sorted(kept)), other=other)
    column, guess = Column(feature, decision, labels=changed), decision.guess or _guess_labels(labels)
    return ColumnInference(cells.name, column, "", near.strip(" ()"), guess)


def _check_forced(cells: _Cells, decision: Decision, forced: str) -> None:
    if forced and decision.fits < kinds.MOST * cells.stats.present:
        where, text = cells.first_misfit(decision)
        raise UserError(
            f"{where}: [data.kinds] sets '{cells.name}' to {forced}, and only "
            f"{kinds.share(decision.fits, cells.stats.present)} of its cells are {decision.kind}: "
            f"this one is '{text}'"
        )
