"""Images in Parquet files: a binary column, or Hugging Face's structs of bytes and a path, and labels."""

import io
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from container.data import values
from container.images.decode import ImageError
from container.images.labelled_file import LabelledFile, normalise_label, read_bounded, refuse
from container.runtime.errors import UserError

# Of the file, that are read at a time; polars decodes a whole row group for any part of it.
MAX_CHUNK_BYTES, MAX_CHUNK_ROWS = 67_108_864, 1024
LABEL = "label"
_BYTES = "bytes"  # of the struct
_LABEL_TYPES = (pl.datatypes.classes.NumericType, pl.Boolean, pl.String, pl.Categorical, pl.Enum)
_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def find(files: Iterable[tuple[Path, str]], target: str) -> tuple[list[LabelledFile], str]:
    """Return an image for each row of Parquet files, by path and name, and a sentence on their labels.

    `target` is the label's column. Files without it have their labels in another column, the same in all.

    Raises:
        UserError: a file cannot be read, or its columns are not those of labelled images.
    """
    result: list[LabelledFile] = []
    first: dict[tuple[str, bool], str] = {}  # a file by its column of labels, and whether they have names
    for path, name in files:
        try:
            images, column, has_names = _images(path, name, target)
        except _ERRORS as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{name} can't be read as Parquet ({reason}): write the file again") from None
        result += images
        first.setdefault((column, has_names), name)
    if len(first) > 1:
        both = " and ".join(list(first.values())[:2])
        raise UserError(
            f"{both} have other columns of labels, or one has no names of classes: write both alike"
        )
    ((column, _), name) = next(iter(first.items()))
    if column == target:
        return result, ""
    lacking = f", since no column of labels is named '{target}'" if target else ""
    return result, f"the labels of {name} are in its column '{column}'{lacking}"


def _images(path: Path, name: str, target: str) -> tuple[list[LabelledFile], str, bool]:
    types = pl.read_parquet_schema(path)
    image, column = _image_column(types, name), _label_column(types, name, target)
    classes = dict(enumerate(_class_names(path, column) if types[column].is_numeric() else ()))
    cells = _scan(path).select(pl.col(column) if classes else pl.col(column).cast(pl.String))
    labels = cells.collect().to_series()
    step = max(1, min(MAX_CHUNK_ROWS, MAX_CHUNK_BYTES * len(labels) // path.stat().st_size))
    images = []
    for row, cell in enumerate(labels):
        label = normalise_label(_label(cell, classes))
        read = (
            partial(_read, path, image, row, step) if label else partial(refuse, "no-label", _why_none(cell))
        )
        images.append(LabelledFile(f"{name}/{row:07}", label, read))
    return images, column, bool(classes)


def _label(cell: Any, classes: Mapping[Any, str]) -> str:
    """Return the label of a cell, empty without one; only the name of a class may be a word for "missing"."""
    if classes:
        return classes.get(cell, "")
    text = (cell or "").strip()
    return "" if values.is_missing(text) else text


def _why_none(cell: Any) -> str:
    """Return why a cell is not a label."""
    if not str(cell or "").strip():
        return "it has no label"
    word = "a word for a missing value: a class that has this name needs another"
    return f"{cell!r} is {word if isinstance(cell, str) else 'not the number of a class'}"


def _image_column(types: Mapping[str, pl.DataType], name: str) -> str:
    found = [
        column
        for column, kind in types.items()
        if kind == pl.Binary or (isinstance(kind, pl.Struct) and pl.Field(_BYTES, pl.Binary) in kind.fields)
    ]
    if len(found) != 1:
        raise UserError(
            f"{name} has {len(found)} columns of encoded images ({', '.join(types)}), and must have one: "
            f"binary, or a struct with the binary field '{_BYTES}'"
        )
    return found[0]


def _label_column(types: Mapping[str, pl.DataType], name: str, target: str) -> str:
    found = [column for column, kind in types.items() if isinstance(kind, _LABEL_TYPES)]
    for column in [target, LABEL] + (found if len(found) == 1 else []):
        if column in found:
            return column
    raise UserError(
        f"{name} has {len(found)} columns that may be the label ({', '.join(found)}): "
        "set [data] target in project.toml to the one that is"
    )


def _class_names(path: Path, column: str) -> list[str]:
    """Return the names of labels 0, 1, …, which Hugging Face's library writes into the file's metadata."""
    try:
        stored = json.loads(pl.read_parquet_metadata(path).get("huggingface", "{}"))
        return [str(name) for name in stored["info"]["features"][column]["names"]]
    except (ValueError, LookupError, TypeError):
        return []


def _scan(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


@lru_cache(maxsize=1)
def _chunk(path: Path, column: str, start: int, step: int) -> pl.Series:
    """Return some cells of encoded images; rows are read in their order, so one chunk is enough."""
    cells = _scan(path).select(column).slice(start, step).collect().to_series()
    return cells.struct.field(_BYTES) if isinstance(cells.dtype, pl.Struct) else cells


def _read(path: Path, column: str, row: int, step: int) -> bytes:
    try:
        body: bytes | None = _chunk(path, column, row - row % step, step)[row % step]
    except _ERRORS as error:
        raise ImageError("corrupt", f"its row can't be read: {error}") from error
    if body is None:
        raise ImageError("missing", "its cell has no bytes")
    return read_bounded(io.BytesIO(body))
