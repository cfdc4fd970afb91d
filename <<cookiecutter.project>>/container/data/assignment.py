"""The splits of a table's rows: by a hash of their cells or of their group, or by their time."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from container.data import columns, encode, identifiers, infer, kinds, split, tables
from container.data.infer import Column, ColumnInference, InferredTable, InspectedTable
from container.data.schema import Feature
from container.data.split import SplitSettings
from container.data.split_keys import SplitKeys
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

Keys = NDArray[np.unsignedinteger]
KEYS = 1  # the version of the keys of rows: another one for each change of how they are made
MAX_WITHOUT = 0.1  # share of the rows
MIN_TRAINED = 0.25  # of the rows that the fractions leave to train on, where many rows have one time
MAX_COPIES = 20  # rows of the same features on average, from which on they are observations and not copies


@dataclass(frozen=True)
class Assignment:
    """Hold each kept row's split and key, how many equal an earlier row, and the report of groups and time.

    `apart` is the mean number of rows with the same features where equal rows are in several splits, else 0.
    """

    splits: pl.Series
    keys: SplitKeys
    duplicates: int
    apart: int = 0
    groups: Mapping[str, Any] | None = None
    time: Mapping[str, Any] | None = None

    @property
    def equal_rows(self) -> str:
        """Return where equal rows are, in a sentence of the report."""
        if not self.apart:
            return f"equal rows {'of one time ' if self.time else ''}are in one split"
        return (
            f"equal rows are in several splits: {self.apart} rows on average have the same features, "
            "so they are taken for observations and not for copies"
        )

    @property
    def without_time(self) -> int:
        """Return the number of rows that are in no split, since their time is missing."""
        return int((self.splits == split.LEFT_OUT).sum())

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of rows of each split."""
        return {name: int((self.splits == number).sum()) for number, name in enumerate(split.NAMES)}


@dataclass(frozen=True)
class _Rows:
    """Hold the class code of each of n kept rows, and its hashes.

    A key decides the split. It is a checksum that is the same in every version, so rows keep their splits. It
    leaves out the target: where rows of the same features had their classes in different splits, a model
    would be tested on the very rows for which it learned another answer. Groups have hashes of 64 bits, so
    equal ones can be counted; they are valid in this process only.
    """

    classes: NDArray[np.uint8]  # zero for a regression
    keys: Keys  # of the row's features, or of its group
    whole: Keys  # checksums of the rows with their targets
    groups: NDArray[np.uint64]  # none where the split has no group
    without_group: int  # of the rows
    duplicates: int


def find_identifiers(table: InspectedTable, settings: SplitSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns that are not features, as `identifiers.find` does, and the group among them.

    Raises:
        UserError: a column of the settings is not in the table, or can't be used for the split.
    """
    for setting, name in (("group", settings.group), ("time", settings.time)):
        if name and name not in table.source.columns:
            raise UserError(infer.unknown(table.source, name, f"{setting} of [data] in project.toml: "))
        if name and table.source.position(name) == table.position:
            raise _refusal(table, f"'{name}' is the target, so it can't be the {setting} of the split")
        if name and (reason := table.source.fault(name)):
            raise _refusal(table, f"'{name}' can't be the {setting} of the split: {reason}")
    kinds = table.settings.kinds
    named, numbering = identifiers.find(table, {*kinds, settings.group, settings.time})
    if settings.group and settings.group not in kinds:
        named[settings.group] = "it is the group of the split; name it in kinds to learn from it too"
    return named, numbering


def _refusal(table: InspectedTable, reason: str) -> UserError:
    return UserError(f"{table.source.tables[0].name}: {reason}")


def assign(table: InspectedTable, inferred: InferredTable, settings: SplitSettings) -> Assignment:
    """Return the split of each kept row.

    Raises:
        UserError: a split would be empty, or the time leaves no training row of a class.
    """
    rows = _read(table, inferred, settings.group)
    groups, time = None, None
    if settings.time:
        splits, moments, time = _assign_by_time(table, settings)
        _check_classes(table.target, rows.classes, splits, settings.time)
        keys, apart = _keys_of_moments(rows, moments)
    else:
        if settings.group:
            _check_groups(table, settings.group, rows)
        keys, apart = _keys(rows, bound=bool(settings.group))
        splits, fixed = assign_blocks(rows.classes, keys, settings)
        if not _has_all(splits):
            raise _refusal(table, _why_empty(table.target, rows.classes, keys, keys[fixed], settings.group))
    if settings.group:
        sides = [len(np.unique(rows.groups[splits == number])) for number in range(len(split.NAMES))]
        groups = {
            "column": settings.group,
            **dict(zip(split.NAMES, sides, strict=True)),
            "rows_without": rows.without_group,
        }
    kind = _kind_of_keys(table, inferred, settings, rows, numbered=bool(apart))
    known = SplitKeys(kind, keys.astype(np.uint64))
    return Assignment(pl.Series("split", splits), known, rows.duplicates, 0 if time else apart, groups, time)


def assign_blocks(
    classes: NDArray[np.uint8], keys: Keys, settings: SplitSettings
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the (n,) splits of the rows, and marks of blocks that have to train: of a class in no other.

    The choice is made again without the block that has the most classes that have no training row.
    """
    strata, fixed = split.majorities(classes, keys) if classes.any() else classes, np.zeros(len(keys), bool)
    for code in np.unique(classes):
        mine = keys[classes == code]
        if (mine == mine[0]).all():
            fixed |= keys == mine[0]
    while True:
        rows = np.where(fixed, np.uint64(split.FIXED), keys)
        splits = split.assign(strata, rows, settings.validation, settings.test, settings.seed)
        if settings.group and not _has_all(splits):  # of three groups, no class has one to spare
            none = np.zeros_like(classes)
            splits = split.assign(none, rows, settings.validation, settings.test, settings.seed)
        unlearned = ~np.isin(classes, classes[splits == split.TRAIN])
        if not unlearned.any():
            return splits, fixed
        among = np.isin(keys, keys[unlearned])
        pairs = np.unique(np.stack([keys[among], classes[among]]), axis=1)
        weights = np.where(np.isin(pairs[1], classes[unlearned]), 256, 1)  # of a class with no training row
        found, numbers = np.unique(pairs[0], return_inverse=True)
        fixed |= keys == found[np.bincount(numbers, weights).argmax()]


def _why_empty(target: Column, classes: NDArray[np.uint8], keys: Keys, fixed: Keys, group: str) -> str:
    """Return why a split is empty: too few blocks, or too few that may leave the training."""
    distinct, bound = len(np.unique(keys)), len(np.unique(fixed))
    if distinct < len(split.NAMES) or bound < distinct - 1:
        return split.why_empty(keys, "rows")
    labels = target.feature.categories or ()
    among, label = min((len(np.unique(keys[classes == code])), labels[code]) for code in np.unique(classes))
    values = f"'{group}' has {distinct} different values" if group else f"{distinct} rows are distinct"
    return (
        f"{values}, and {bound} of them must train, or a class of '{target.feature.name}' would have no "
        f"training row: '{label}' is in {among} of them. Validation and test need one each: add rows of such "
        "classes elsewhere, or leave these classes out"
    )


def _has_all(splits: NDArray[np.uint8]) -> bool:
    return set(range(len(split.NAMES))) <= set(np.unique(splits).tolist())


def _kind_of_keys(
    table: InspectedTable, inferred: InferredTable, settings: SplitSettings, rows: _Rows, *, numbered: bool
) -> int:
    """Return a hash of all on which the keys of the rows depend besides the cells."""
    read = {column.feature.name: column for column in (inferred.target, *inferred.columns)}
    group, own = settings.group, {settings.group, settings.time}
    dropped = {left["column"] for left in inferred.dropped_columns} - own
    names = [group] if group and not rows.without_group else sorted(filter(None, table.source.columns))
    details = []
    for name in names:
        stats = table.stats[table.source.position(name)]
        column = read.get(name) or (_infer(table, name).column if name in own else None)
        if name not in dropped or stats.least == stats.greatest:
            details.append((name, _spelling(column.feature) if column else None))
    reading = table.source.reading
    content = (KEYS, reading.version, sorted(reading.words), group, settings.time, numbered, details)
    return int.from_bytes(hashlib.sha256(json.dumps(content).encode()).digest()[:8], "big")


def _spelling(feature: Feature) -> tuple[Any, ...]:
    """Return how the cells of a feature are spelled for its keys; a pair of categories may be booleans."""
    pair = feature.labels.are_booleans and sorted(feature.categories or ())
    return feature.kind, feature.format, repr(feature.number_format), pair


def _keys(rows: _Rows, *, bound: bool) -> tuple[Keys, int]:
    """Return the (n,) keys of the split, and how many rows of the same features there are where these differ.

    A table of few different rows, such as counts of survivors by class and sex, has the same row many times
    without a copy. Bound together, each of its rows would be tested by a model that has never seen the like.
    """
    distinct = len(np.unique(rows.keys))
    if bound or len(rows.keys) < MAX_COPIES * distinct or len(np.unique(rows.whole)) < len(split.NAMES):
        return rows.keys, 0
    return split.numbered(rows.whole), len(rows.keys) // distinct


def _keys_of_moments(rows: _Rows, moments: FloatArray) -> tuple[Keys, int]:
    """Return what `_keys` does, for rows that (n,) moments divide: equal rows of one moment are copies."""
    times = split.splitmix64((moments + 0.0).view(np.uint64))  # -0.0 is 0.0
    keys, whole = (split.splitmix64(hashes + times) for hashes in (rows.keys, rows.whole))
    found, repeats = _keys(replace(rows, keys=keys, whole=whole), bound=False)
    return (found if repeats else whole), repeats


def _check_groups(table: InspectedTable, name: str, rows: _Rows) -> None:
    without, count = rows.without_group, len(rows.keys)
    if without > count * MAX_WITHOUT:
        raise _refusal(
            table,
            f"'{name}' is missing in {without} of {count} rows, and the group of the split may be missing in "
            f"{MAX_WITHOUT:.0%}, as each such row is a group of its own: fill it in, or name another column",
        )
    _check_distinct(table, name, len(np.unique(rows.groups)))


def _check_distinct(table: InspectedTable, name: str, distinct: int) -> None:
    if distinct < len(split.NAMES):
        raise _refusal(
            table,
            f"'{name}' has {distinct} different values, and train, validation and test need one each: "
            "name another column in project.toml, or none",
        )


def _assign_by_time(
    table: InspectedTable, settings: SplitSettings
) -> tuple[NDArray[np.uint8], FloatArray, dict[str, Any]]:
    """Return the (n,) splits of the rows, their moments, and the report of the first moment of each split."""
    name = settings.time
    inferred = _infer(table, name, 1 - MAX_WITHOUT)
    column = inferred.column
    if column is None or column.feature.kind == "categorical":
        raise _refusal(table, f"'{name}' is the time of the split, but {_why_no_time(table, inferred)}")
    moments = _moments(table, column)
    known = moments[~np.isnan(moments)]
    without = len(moments) - len(known)
    if without > len(moments) * MAX_WITHOUT:
        where, text = _first(table, name, column.is_stray)
        stray = f" (the first other text is '{text}', {where})" if text else ""
        raise _refusal(
            table,
            f"'{name}' is missing in {without} of {len(moments)} rows{stray}, and the time of the split may "
            f"be missing in {MAX_WITHOUT:.0%}: write a date or a number, or name another column as the time",
        )
    _check_distinct(table, name, len(np.unique(known)))
    splits = split.assign_by_time(moments, settings.validation, settings.test)
    trained = int((splits == split.TRAIN).sum())
    wanted = len(known) * (1 - settings.validation - settings.test)
    if trained < wanted * MIN_TRAINED:
        raise _refusal(
            table,
            f"the time '{name}' leaves {trained} rows to train on, since many rows have one time, and a "
            f"quarter of the {wanted:.0f} that the fractions ask for must train: name another column",
        )
    first = [_shown(moments[splits == number].min(), column) for number in range(len(split.NAMES))]
    report = {f"first_{part}": moment for part, moment in zip(split.NAMES, first, strict=True)}
    guess = {"guess": inferred.guess} if inferred.guess else {}
    return splits, moments, {"column": name, **report, **guess}


def _why_no_time(table: InspectedTable, inferred: ColumnInference) -> str:
    where, text = _first(table, inferred.name, lambda cell: cell.str.contains(kinds.MONTH))
    if text:
        return f"holds '{text}' ({where}), which is not a day: write 2021-01-01 for a month, quarter or week"
    why = inferred.reason or inferred.kind_reason or "holds neither dates nor numbers"
    return f"{why}: write dates or numbers in nine tenths of the rows, or name another column"


def _first(table: InspectedTable, name: str, test: Callable[[pl.Expr], pl.Expr]) -> tuple[str, str]:
    """Return where the first kept row is whose cell of a column passes a test, and the cell."""
    position = table.source.position(name)
    return table.source.first(position, table.has_target & test(pl.col(position)))


def _moments(table: InspectedTable, column: Column) -> FloatArray:
    """Return (n,) moments of the kept rows: numbers, or seconds since 1970; NaN where missing."""
    name = column.feature.name
    cell = column.written(pl.col(table.source.position(name))).cast(pl.String).fill_null("").alias("cell")
    batches = table.kept.select(cell).collect_batches(maintain_order=True)
    return np.concatenate(
        [encode.encode_column(batch["cell"], column.feature, name) for batch in batches if batch.height]
    )


def _shown(moment: float, column: Column) -> str | float:
    if column.feature.kind == "date":
        return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None).isoformat()
    return int(moment) if column.whole else moment


def _check_classes(target: Column, classes: NDArray[np.uint8], splits: NDArray[np.uint8], time: str) -> None:
    """Refuse a class that no training row has."""
    for code, label in enumerate(target.feature.categories or ()):
        mine = splits[classes == code]
        if not (mine == split.TRAIN).any():
            raise UserError(
                f"'{target.feature.name}' is '{label}' in {len(mine)} rows, and time = '{time}' leaves none "
                "of them to train on: lower test_fraction and validation_fraction, or leave out these rows"
            )


def _read(table: InspectedTable, inferred: InferredTable, group: str) -> _Rows:
    """Return the classes and the hashes of the kept rows, batch by batch.

    The hash is that of what the model sees of a row's features, in one spelling and in the order of their
    names, so that it depends neither on how a cell is written nor on the order of rows and columns. Columns
    that are left out do not count, since rows that differ in nothing but their ids are equal. Columns of one
    value count, so that the other rows keep their splits when such a column gets a second value.
    """
    count = table.rows.kept
    classes = np.zeros(count, dtype=np.uint8)
    keys, whole = np.zeros(count, dtype=np.uint32), np.zeros(count, dtype=np.uint32)
    contents, groups = np.zeros(count, dtype=np.uint64), np.zeros(count if group else 0, dtype=np.uint64)
    done = without = 0
    for batch in _texts(table, inferred, group).collect_batches(maintain_order=True):
        rows = slice(done, done + batch.height)
        classes[rows] = batch["class"].to_numpy()
        contents[rows] = batch["row"].hash().to_numpy()
        keys[rows], whole[rows] = _checksums(batch["key"]), _checksums(batch["row"])
        if group:
            groups[rows] = batch["key"].hash().to_numpy()
            without += int((batch["value"] == "").sum())
        done += batch.height
    contents.sort()
    equal = int(np.count_nonzero(contents[1:] == contents[:-1]))
    return _Rows(classes, keys, whole, groups, without, equal)


def _checksums(texts: pl.Series) -> NDArray[np.uint32]:
    return np.fromiter(map(zlib.crc32, texts.cast(pl.Binary)), dtype=np.uint32, count=len(texts))


def _texts(table: InspectedTable, inferred: InferredTable, group: str) -> pl.LazyFrame:
    """Return the class of each kept row, the texts of its features and of the row, and of what binds rows."""
    value = (_group(table, group) if group else pl.lit("")).alias("value")
    own = {group: value} if group else {}
    cells = pl.concat_str(list(_cells(table, inferred, own)), separator="\x1f").alias("cells")
    target = table.target.canonical(pl.col(table.position)).alias("target")
    row = pl.concat_str("cells", "target", separator="\x1f").alias("row")
    bound = pl.when(pl.col("value") == "").then(pl.col("cells")).otherwise(pl.col("value")).alias("key")
    return table.kept.select(_class_code(table), cells, target, value).with_columns(row, bound)


def _cells(table: InspectedTable, inferred: InferredTable, own: Mapping[str, pl.Expr]) -> Iterator[pl.Expr]:
    """Yield the cells besides the target by which rows are equal, in the order of their columns' names.

    `own` has the cells of a column that is perhaps no feature, and counts nevertheless.
    """
    dropped = {left["column"] for left in inferred.dropped_columns}
    target = table.source.name(table.position)
    read = {column.feature.name: column for column in inferred.columns}
    for name in sorted(filter(None, table.source.columns)):
        position = table.source.position(name)
        stats = table.stats[position]
        if name in read:
            yield read[name].canonical(pl.col(position))
        elif name in own:
            yield own[name]
        elif name != target and (name not in dropped or stats.least == stats.greatest):
            yield tables.canonicalize(pl.col(position), table.source.reading.missing)


def _group(table: InspectedTable, name: str) -> pl.Expr:
    """Return the canonical cells of the group; one that does not fit its column's kind is a group too."""
    cell, column = pl.col(table.source.position(name)), _infer(table, name).column
    text = tables.canonicalize(cell, table.source.reading.missing)
    if column is None:
        return text
    return pl.when(column.is_stray(cell)).then(text).otherwise(column.canonical(cell))


def _infer(table: InspectedTable, name: str, enough: float = 1) -> ColumnInference:
    """Infer how the group or the time is read, by the kind of a share of its cells that is `enough`."""
    settings = table.settings
    read_as = {
        key: kind for key, kind in settings.kinds.items() if key != name or kind in {"numeric", "date"}
    }
    share = min(enough, settings.kind_share)
    read = replace(table, settings=replace(settings, kinds=read_as, kind_share=share))
    return columns.infer_column(read, table.source.position(name))


def _class_code(table: InspectedTable) -> pl.Expr:
    """Return the code of a row's class, in a column named "class"."""
    target = table.target
    classes = target.feature.categories
    if classes is None:
        return pl.lit(0, dtype=pl.UInt8).alias("class")
    codes = pl.Series(range(len(classes)), dtype=pl.UInt8)
    return target.written(pl.col(table.position)).replace_strict(pl.Series(classes), codes).alias("class")
