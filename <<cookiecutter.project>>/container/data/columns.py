"""Inference of how the target and every other column are read, or why a column is left out."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from container.data import infer, kinds, tables, values
from container.data.infer import (
    Column,
    ColumnInference,
    ColumnStats,
    InferredTable,
    InspectedTable,
    Source,
)
from container.data.kinds import Decision
from container.data.reading import ReadingSettings
from container.data.schema import Feature
from container.data.split import SMALLEST_SPREAD
from container.data.value_counts import TEXT, Texts
from container.runtime.errors import UserError

MAX_LEVELS = 100  # of a categorical column; of more, the commonest 99 are kept and the others become one
MAX_INTEGER_CLASSES = 20
MAX_CLASSES = 100
_COUNTED = 1000  # texts that may be spellings of the levels
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


def _doubtful(table: InspectedTable) -> set[str]:
    source = table.source
    positions = [position for position in table.stats if position != table.position]
    untyped = [position for position in positions if not source.is_typed(source.name(position))]
    return kinds.may_be_thousands(table.kept.select(untyped).head(kinds.SAMPLE).collect())


def infer_target(
    source: Source, position: str, stats: ColumnStats, task: str, settings: ReadingSettings
) -> Column:
    """Infer how the target is read, and its classes, from all rows that do not repeat the header.

    Raises:
        UserError: the target can't be predicted.
    """
    name = source.name(position)
    if stats.least == stats.greatest:
        where, text = source.first(position, ~source.missing(position))
        raise UserError(f"{where}: '{name}' is '{text}' in every row, so there is nothing to learn")
    task = _task(name, task, settings)
    texts = _texts(source, source.rows(), position, stats)
    if task == "classification":
        decision = Decision(kinds.LABEL, stats.present)
    elif _is_plain(source, position, stats, settings):
        decision = Decision(kinds.NUMBER, stats.present)
    else:
        decision = _decide_target(source, position, texts, task, _settings_for(source, position, settings))
    if decision.kind == kinds.NUMBER and task != "classification":
        column = _numeric(source, source.rows(), position, stats, decision)
        if task == "regression" or not _has_few(source, position, column, stats):
            return column
    return _classes(source, position, texts, decision)


def _task(name: str, task: str, settings: ReadingSettings) -> str:
    forced = settings.kinds.get(name, "")
    if forced in {"date", "excluded"}:
        raise UserError(f"[data.kinds] sets '{name}' to {forced}, and it is the target")
    return (
        {"numeric": "regression", "categorical": "classification"}.get(forced, task)
        if task == "auto"
        else task
    )


def _decide_target(
    source: Source, position: str, texts: Texts, task: str, settings: ReadingSettings
) -> Decision:
    decision = kinds.decide(texts, settings, "numeric" if task == "regression" else "")
    if task == "regression" and decision.fits < kinds.NOTABLE * texts.present:
        where, text = _first_misfit(source, position, decision)
        raise UserError(
            f"{where}: '{source.name(position)}' is '{text}', which is not a number, and TASK is regression: "
            f"{kinds.share(decision.fits, texts.present)} of its cells are numbers"
        )
    if decision.kind in {kinds.NUMBER, kinds.CODE}:
        return decision
    return replace(decision, kind=kinds.LABEL)  # a label is a name, so that none is a stray


def _has_few(source: Source, position: str, column: Column, stats: ColumnStats) -> bool:
    """Return whether a column of numbers holds few whole ones, which are classes."""
    cell, style = pl.col(position), column.feature.number_format
    value = tables.number(cell, style)
    if stats.numbers == stats.present and stats.integral < stats.present:
        return False
    if stats.distinct > 2 * MAX_INTEGER_CLASSES + stats.present - stats.numbers:  # it is approximate
        return False
    integral = (value == value.floor()) & (value.abs() < tables.EXACT)
    found = source.rows().filter(~source.missing(position), value.is_not_null())
    counted = found.select(value.n_unique().alias("distinct"), integral.all().alias("whole")).collect()
    return bool(counted["whole"][0]) and counted["distinct"][0] <= MAX_INTEGER_CLASSES


def _classes(source: Source, position: str, texts: Texts, decision: Decision) -> Column:
    name, file = source.name(position), source.tables[0].name
    strays = decision.kind == kinds.NUMBER and decision.fits < texts.present
    fitting = _fitting(texts, decision) if strays else texts
    counts = fitting.count(_COUNTED)
    labels = spell_labels(counts.commonest)
    rows = Counter[str]()
    for text, times in counts.commonest.items():
        rows[labels[text]] += times
    distinct = counts.distinct - len(labels) + len(rows)
    why = _near(source, position, decision)
    if decision.near == kinds.NUMBER and why and distinct > MAX_INTEGER_CLASSES:
        raise UserError(
            f"{file}: '{name}' is neither numbers nor classes{why}: name a word for a missing value in "
            "missing_words of [data], or set task to classification"
        )
    if distinct > MAX_CLASSES:
        raise UserError(
            f"{file}: '{name}' has {distinct} classes, and at most {MAX_CLASSES} can "
            f"be told apart: choose another target, or TASK = regression for a number{why}"
        )
    if distinct == 1:
        raise UserError(f"{file}: '{name}' has one class only, so there is nothing to learn")
    if max(rows.values()) < SMALLEST_SPREAD:
        raise UserError(
            f"{file}: '{name}' has {distinct} classes in {sum(rows.values())} rows, and each in fewer than "
            f"{SMALLEST_SPREAD}: choose another target, or TASK = regression for a number{why}"
        )
    changed = {text: label for text, label in labels.items() if text != label}
    feature = Feature(name, "categorical", _sorted(rows), strays=strays, reading=source.reading)
    return Column(feature, decision, labels=changed)


def _sorted(labels: Mapping[str, int]) -> tuple[str, ...]:
    """Return classes by their numbers, if all are numbers, else by their text."""
    if all(values.number(label) is not None for label in labels):
        return tuple(sorted(labels, key=lambda label: (values.number(label), label)))
    return tuple(sorted(labels))


def spell_labels(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the label of each text: of equal texts the commonest, of booleans spelled variously a pair.

    A whole number is written without its fraction, as 1.0 is only how some programs write 1.
    """
    keys = {text: values.label_key(text) for text in counts}
    numbers = [values.number(key) for key in keys.values() if values.number(key) is not None]
    whole = all(number.is_integer() for number in numbers if number is not None)
    spelled = {text: _WHOLE_NUMBER.sub(r"\1", text) if whole else text for text in counts}
    folded = {text: key.lower() for text, key in keys.items()}
    if pair := _pair(folded, counts):
        return {text: pair[values.TRUTH[folded[text]]] for text in counts}
    groups: dict[str, Counter[str]] = {}
    for text, times in counts.items():
        groups.setdefault(keys[text], Counter())[spelled[text]] += times
    commonest = {
        key: min(group, key=lambda text: (-group[text], len(text), text)) for key, group in groups.items()
    }
    return {text: commonest[key] for text, key in keys.items()}


def _pair(folded: Mapping[str, str], counts: Mapping[str, int]) -> tuple[str, str] | None:
    """Return the commonest pair of booleans, where all texts are booleans and one has several spellings."""
    words = set(folded.values())
    pairs = values.pairs_in(words) or [pair for pair in values.BOOLEAN_PAIRS if words < set(pair)]
    several = len(folded) > len({values.TRUTH.get(word) for word in words})
    if not several or not pairs or words <= {"0", "1"} or not words <= values.TRUTH.keys():
        return None
    return max(pairs, key=lambda pair: sum(times for text, times in counts.items() if folded[text] in pair))


def _infer_column(
    table: InspectedTable, position: str, doubtful: set[str], left_out: Mapping[str, str]
) -> ColumnInference:
    source, settings, stats = table.source, table.settings, table.stats[position]
    name, forced = source.name(position), settings.kinds.get(source.name(position), "")
    if reason := _reason_to_drop(table, position) or left_out.get(name, ""):
        return ColumnInference(name, reason=reason)
    if stats.least == stats.greatest:
        feature = Feature(name, "categorical", (str(stats.least),), reading=source.reading)
        return ColumnInference(
            name, Column(feature), kind_reason="it has one value, and is missing elsewhere"
        )
    texts = _texts(source, table.kept, position, stats)
    plain = position not in doubtful and _is_plain(source, position, stats, settings)
    if forced == "categorical":
        decision = Decision(kinds.LABEL, stats.present)
    elif plain and forced != "date":
        decision = Decision(kinds.NUMBER, stats.present)
    else:
        decision = kinds.decide(texts, _settings_for(source, position, settings), forced)
        _check_forced(table, position, decision, forced)
    if forced:
        decision = replace(
            decision, reason="; ".join(filter(None, ["[data.kinds] sets it", decision.reason]))
        )
    if decision.kind == kinds.NUMBER:
        column = _numeric(source, table.kept, position, stats, decision)
        return ColumnInference(name, column, kind_reason=decision.reason, guess=decision.guess)
    if decision.kind == kinds.DATE:
        strays = decision.fits < stats.present
        feature = Feature(name, "date", format=decision.date_format, strays=strays, reading=source.reading)
        return ColumnInference(name, Column(feature, decision), "", decision.reason, decision.guess)
    return _infer_text(table, position, texts, decision)


def _reason_to_drop(table: InspectedTable, position: str) -> str:
    source, stats = table.source, table.stats[position]
    name = source.name(position)
    if reason := source.fault(name):
        return reason
    if not name:
        return "it has no name"
    if table.settings.kinds.get(name) == "excluded":
        return "[data.kinds] excludes it"
    if not stats.present:
        return "every value is missing"
    one = stats.least == stats.greatest and stats.present == table.rows.kept
    return "it has one value" if one else ""


def _infer_text(table: InspectedTable, position: str, texts: Texts, decision: Decision) -> ColumnInference:
    source, name = table.source, table.source.name(position)
    strays = decision.kind == kinds.BOOLEAN and decision.fits < texts.present
    fitting = _fitting(texts, decision) if strays else texts
    counts = fitting.count(_COUNTED)
    near = _near(source, position, decision, *table.conditions) or (
        decision.reason and f" ({decision.reason})"
    )
    is_set = name in table.settings.kinds and bool(counts.commonest)
    if counts.distinct == texts.present and not is_set:
        return ColumnInference(name, reason=f"it is text that differs in every row{near}")
    labels = spell_labels(counts.commonest)
    merged = Counter[str]()
    for text, times in counts.commonest.items():
        merged[labels[text]] += times
    other = counts.distinct - len(labels) + len(merged) > MAX_LEVELS
    if other:
        merged = Counter(dict(sorted(merged.items(), key=lambda each: (-each[1], each[0]))[: MAX_LEVELS - 1]))
    changed = {text: label for text, label in labels.items() if text != label and label in merged}
    feature = Feature(
        name, "categorical", tuple(sorted(merged)), other, strays=strays, reading=source.reading
    )
    return ColumnInference(name, Column(feature, decision, labels=changed), kind_reason=near.strip(" ()"))


def _check_forced(table: InspectedTable, position: str, decision: Decision, forced: str) -> None:
    present = table.stats[position].present
    if not forced or decision.fits >= kinds.NOTABLE * present:
        return
    where, text = _first_misfit(table.source, position, decision, *table.conditions)
    raise UserError(
        f"{where}: [data.kinds] sets '{table.source.name(position)}' to {forced}, and only "
        f"{kinds.share(decision.fits, present)} of its cells are {decision.kind}: this one is '{text}'"
    )


def _numeric(
    source: Source, rows: pl.LazyFrame, position: str, stats: ColumnStats, decision: Decision
) -> Column:
    style = decision.number_format
    if style:
        counted = rows.select(infer.statistics(pl.col(position), source.reading, style))
        stats = ColumnStats(**counted.collect(engine="streaming").row(0, named=True))
    if stats.infinite:
        where, text = source.first(position, tables.number(pl.col(position), style).is_infinite())
        raise UserError(
            f"{where}: '{source.name(position)}' is '{text}', and numbers must be finite: "
            "leave the cell empty for a missing value"
        )
    strays = decision.fits < stats.present
    feature = Feature(
        source.name(position), "numeric", number_format=style, strays=strays, reading=source.reading
    )
    return Column(feature, decision, whole=stats.whole == stats.numbers)


def _is_plain(source: Source, position: str, stats: ColumnStats, settings: ReadingSettings) -> bool:
    """Return whether a column holds plain numbers and nothing else, and can be nothing but numbers."""
    if not stats.is_numeric:
        return False
    if source.is_typed(source.name(position)):
        return True
    return settings.decimal != "comma" and not kinds.is_in_doubt(str(stats.least), str(stats.greatest))


def _settings_for(source: Source, position: str, settings: ReadingSettings) -> ReadingSettings:
    """Return the settings for a column: numbers with a type of their own have a decimal point."""
    typed = source.is_typed(source.name(position))
    return replace(settings, decimal="point") if typed else settings


def _texts(source: Source, rows: pl.LazyFrame, position: str, stats: ColumnStats) -> Texts:
    """Return the texts of a column that are not missing."""
    texts = rows.filter(~source.missing(position)).select(pl.col(position).alias(TEXT))
    return Texts(texts, stats.present, stats.distinct)


def _fitting(texts: Texts, decision: Decision) -> Texts:
    """Return the texts that are not strays."""
    return replace(texts, frame=texts.frame.filter(~decision.misfit(pl.col(TEXT))), present=decision.fits)


def _first_misfit(source: Source, position: str, decision: Decision, *conditions: pl.Expr) -> tuple[str, str]:
    """Return where the first cell is that does not fit what a column is, or nearly is, and its text."""
    misfit = decision.misfit(pl.col(position)) & ~source.missing(position)
    return source.first(position, pl.all_horizontal(misfit, *(conditions or source.body())))


def _near(source: Source, position: str, decision: Decision, *conditions: pl.Expr) -> str:
    """Return what a column of text nearly is, and its first cell that does not fit, in parentheses."""
    if not decision.near or not decision.reason:
        return ""
    where, text = _first_misfit(source, position, decision, *conditions)
    return f" ({decision.reason}; the first other text is '{text}', {where})"
