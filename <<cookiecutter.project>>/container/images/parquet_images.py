"""Images in Parquet files: a binary column, or Hugging Face's structs of bytes and a path, and labels."""

import io
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path

import polars as pl

from container.images.decode import ImageError
from container.images.labelled_file import LabelledFile, normalise_label, read_bounded
from container.runtime.errors import UserError

CHUNK = 32  # rows that are read at a time
LABEL = "label"
_BYTES = "bytes"  # of the struct
_LABEL_TYPES = (pl.datatypes.classes.NumericType, pl.Boolean, pl.String, pl.Categorical, pl.Enum)
_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def find(files: Iterable[tuple[Path, str]], target: str) -> tuple[list[LabelledFile], str]:
    """Return an image for each row of Parquet files, by path and name, and a sentence on their labels.

    `target` is the label's column, and where there is none, another is taken.

    Raises:
        UserError: a file cannot be read, or its columns are not those of labelled images.
    """
    result: list[LabelledFile] = []
    taken = ""
    named: dict[bool, str] = {}  # a file whose labels have names, and one whose labels have none
    for path, name in files:
        try:
            images, has_names, column = _images(path, name, target)
        except _ERRORS as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{name} can't be read as Parquet ({reason}): write the file again") from None
        result += images
        named.setdefault(has_names, name)
        if column != target and not taken:
            lacking = f", since no column of labels is named '{target}'" if target else ""
            taken = f"the labels of {name} are in its column '{column}'{lacking}"
    if len(named) > 1:
        raise UserError(f"{named[True]} has names for its labels, and {named[False]} none: write both alike")
    return result, taken


def _images(path: Path, name: str, target: str) -> tuple[list[LabelledFile], bool, str]:
    types = pl.read_parquet_schema(path)
    image, column = _image_column(types, name), _label_column(types, name, target)
    classes = dict(enumerate(_class_names(path, column)))
    cells = _scan(path).select(pl.col(column) if classes else pl.col(column).cast(pl.String))
    labels = [
        classes.get(cell, "") if classes else (cell or "").strip() for cell in cells.collect().to_series()
    ]
    return (
        [
            LabelledFile(
                f"{name}/{row:07}",
                normalise_label(label),
                partial(_read, path, image, row) if label else partial(_refuse, row),
            )
            for row, label in enumerate(labels)
        ],
        bool(classes),
        column,
    )


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
def _chunk(path: Path, column: str, start: int) -> pl.Series:
    """Return some cells of encoded images; rows are read in their order, so one chunk is enough."""
    cells = _scan(path).select(column).slice(start, CHUNK).collect().to_series()
    return cells.struct.field(_BYTES) if isinstance(cells.dtype, pl.Struct) else cells


def _read(path: Path, column: str, row: int) -> bytes:
    try:
        body: bytes | None = _chunk(path, column, row - row % CHUNK)[row % CHUNK]
    except _ERRORS as error:
        raise ImageError("corrupt", f"its row can't be read: {error}") from error
    if body is None:
        raise ImageError("missing", "its cell has no bytes")
    return read_bounded(io.BytesIO(body))


def _refuse(row: int) -> bytes:
    raise ImageError("no-label", f"row {row} has no label")
