"""Compare what the prepared cells of a column mean to the model of another schema.

The cells of a prepared table are what its own schema made of the file: plain numbers, and nothing for a
missing value. A model that reads the file otherwise would predict from cells that it never gets.
"""

from collections.abc import Collection

import polars as pl

from container.data import kinds, tables, values
from container.data.schema import Feature, Target
from container.data.values import NumberFormat


def difference(cells: pl.Series, ours: Feature, theirs: Feature) -> str:
    """Return what the other model reads otherwise in (n,) cells that were prepared as ours, or nothing."""
    start = f"it reads the column '{ours.name}' as"
    if ours.kind == "numeric" and not same_numbers(cells, ours, theirs):
        our, their = map(described, (ours.number_format, theirs.number_format))
        return f"{start} {their}, and the new model as {our}"
    if different := merged(ours.name, ours.categories or (), theirs.categories or ()):
        return different
    gaps = _has_gaps(cells)
    for word in sorted(ours.reading.missing - theirs.reading.missing):
        if gaps and _is_value(word, theirs):
            return f"{start} having the value '{word}', which is missing for the new model"
    for word in sorted(theirs.reading.missing - ours.reading.missing):
        if _may_stand_for(word, cells, ours):
            return f"{start} missing where it is '{word}', which is a value for the new model"
    if theirs.reading.version != ours.reading.version and not _same_labels(cells, theirs):
        return f"{start} texts, of which the new model takes some for equal"
    return ""


def merged(name: str, ours: Collection[str], theirs: Collection[str]) -> str:
    """Return which labels of the other model are one of ours, such as a day and its midnight, or nothing."""
    keys, first = set(map(values.label_key, ours)), dict[str, str]()
    for text in theirs:
        key = values.label_key(text)
        other = first.setdefault(key, text)
        is_fraction = not (values.number(key) or 0.0).is_integer()  # 1.1 and 1.10 are one label for no model
        if other != text and key in keys and not {other, text} <= {*ours} and not is_fraction:
            start = f"it reads the column '{name}' as having the values '{other}' and '{text}'"
            return f"{start}, which are one for the new model"
    return ""


def same_numbers(cells: pl.Series, ours: Feature | Target, theirs: Feature | Target) -> bool:
    """Return whether the formats of two columns read the same numbers.

    What two formats with one decimal mark both read is the same number. With two marks, `1,074` is not; whole
    numbers without groups are. A gap may be a number that only the other format reads, where we have strays.
    """
    our, their = (column.number_format or NumberFormat() for column in (ours, theirs))
    if our == their:
        return True
    signs = {style.sign.rstrip(".") for style in (our, their)}
    if (len(signs) > 1 and ("" not in signs or signs & {*kinds.MULTIPLIERS, "%"})) or (
        isinstance(ours, Feature) and ours.strays and _has_gaps(cells)
    ):
        return False
    numbers = _numbers(cells)
    return our.decimal == their.decimal or bool(
        not (our.group or their.group) and (numbers == numbers.floor()).all()
    )


def described(style: NumberFormat | None) -> str:
    """Return how numbers are written, in words."""
    style = style or NumberFormat()
    grouped = f", groups separated by '{style.group}'" if style.group else ""
    return f"numbers with the decimal mark '{style.decimal}'{grouped}" + (
        f" and the sign '{style.sign}'" if style.sign else ""
    )


def _is_value(word: str, feature: Feature) -> bool:
    """Return whether a text would be a value for a feature if it did not mean a missing one."""
    if feature.kind == "numeric":
        return values.number(word, feature.number_format) is not None
    if feature.kind == "date":
        return values.parse_timestamp(word, feature.format or values.ISO) is not None
    return feature.other or feature.labels.find(word) is not None


def _may_stand_for(word: str, cells: pl.Series, ours: Feature) -> bool:
    """Return whether a prepared cell that is a word for "missing" may have been another text in the file."""
    if ours.kind == "numeric":
        return _has_number(cells, values.number(word, ours.number_format))
    return values.is_moment(word) and word in (ours.categories or ())


def _same_labels(cells: pl.Series, theirs: Feature) -> bool:
    """Return whether a category that is found by its text alone is found by equality too, and no other."""
    if theirs.kind != "categorical":
        return True
    texts = theirs.categories or ()
    distinct = len(set(map(values.label_key, texts))) == len(texts)
    return distinct and all(
        text in theirs.codes or theirs.labels.find(text) is None for text in cells.drop_nulls().unique()
    )


def _numbers(cells: pl.Series) -> pl.Series:
    return cells.alias("cell").to_frame().select(tables.number(pl.col("cell"))).to_series().drop_nulls()


def _has_number(cells: pl.Series, number: float | None) -> bool:
    return number is not None and bool((_numbers(cells) == number).any())


def _has_gaps(cells: pl.Series) -> bool:
    return cells.null_count() > 0 or bool((cells == "").any())
