"""Rows to predict, of a table or of images, and how they are written into requests."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LONGEST_CELL = 33_554_432  # of the container
csv.field_size_limit(LONGEST_CELL)
COLUMN = "b64"  # the name of an image in JSON
CSV, JSON = "text/csv", "application/json"
MOST_BLANK = 5  # numbers of rows in a message


class NumberFormat(Protocol):
    """How the numbers of a column are written."""

    def spell(self, cell: str, /) -> str:
        """Return a plain number as the column has it."""


@dataclass(frozen=True)
class Table:
    """Rows to predict: the columns' names, the fields as text, and labels when the file has them."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...] | None
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)  # where the rows have plain numbers
    remarks: tuple[str, ...] = ()  # on how the file was read
    warnings: tuple[str, ...] = ()  # on what of the file could not be read
    files: tuple[str, ...] = ()  # of rows that are a file each

    at_once: ClassVar[int] = 500  # rows of a request
    suffix: ClassVar[str] = ".csv"  # of a file of training data
    content_type: ClassVar[str] = CSV
    # A file's header may name none of the model's columns, and has to be taken for one all the same.
    content_type_of_files: ClassVar[str] = f"{CSV}; header=present"

    def body(self, start: int, stop: int) -> str:
        """Write the rows from start to stop as CSV with a header."""
        text = io.StringIO()
        writer = csv.writer(text)  # its line break, "\\r\\n", is what it quotes within a cell
        writer.writerow(self.columns)
        writer.writerows(self.spelled(self.rows[start:stop]))
        return text.getvalue()

    def packed(self, target: str) -> bytes:
        """Write the rows with their labels as a file of training data."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*self.columns, target])
        labels = self.written_labels(target) or ()
        writer.writerows([*row, label] for row, label in zip(self.spelled(self.rows), labels, strict=True))
        return text.getvalue().encode()

    def spelled(self, rows: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return rows whose plain numbers have the formats of their columns, as requests have them."""
        styles = [self.formats.get(name) for name in self.columns]
        return [
            [cell if style is None else style.spell(cell) for style, cell in zip(styles, row, strict=True)]
            for row in rows
        ]

    def written_labels(self, target: str) -> tuple[str, ...] | None:
        """Return the labels in the format of the target's column, as the training read them."""
        style = self.formats.get(target)
        if style is None or self.labels is None:
            return self.labels
        return tuple(style.spell(label) for label in self.labels)

    def head(self, rows: int) -> Table:
        """Return the first rows."""
        labels = self.labels[:rows] if self.labels else None
        return replace(self, rows=self.rows[:rows], labels=labels, files=self.files[:rows])


@dataclass(frozen=True)
class Pictures(Table):
    """Images in base64, and labels when there are any."""

    at_once: ClassVar[int] = 10
    suffix: ClassVar[str] = ".zip"
    content_type: ClassVar[str] = JSON
    content_type_of_files: ClassVar[str] = JSON

    @classmethod
    def of(
        cls, bodies: Mapping[str, bytes], labels: tuple[str, ...] | None = None, *remarks: str
    ) -> Pictures:
        """Return encoded images, by the names of their files, as rows."""
        rows = tuple((base64.b64encode(body).decode(),) for body in bodies.values())
        return cls((COLUMN,), rows, labels, remarks=remarks, files=tuple(bodies))

    def body(self, start: int, stop: int) -> str:
        """Write the pictures from start to stop as JSON."""
        return json.dumps({"instances": [{COLUMN: text} for (text,) in self.rows[start:stop]]})

    def packed(self, target: str) -> bytes:  # noqa: ARG002 - a table names the column of its labels
        """Write them with their labels as a zip of training data."""
        sink, lines = io.BytesIO(), []
        with zipfile.ZipFile(sink, "w") as archive:
            for number, ((text,), label) in enumerate(zip(self.rows, self.labels or (), strict=True)):
                archive.writestr(f"{number}.png", base64.b64decode(text))
                lines.append(f"{number}\t{label}\t{number}.png\n")
            archive.writestr("pictures.lst", "".join(lines))
        return sink.getvalue()


def read_pictures(content: bytes) -> Pictures:
    """Read a zip of images and their list, as `prepare` writes it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (listed,) = (name for name in archive.namelist() if name.endswith(".lst"))
        lines = [line.split("\t") for line in archive.read(listed).decode().splitlines()]
        bodies = {path: archive.read(path) for _, _, path in lines}
    return Pictures.of(bodies, tuple(label for _, label, _ in lines))


def read_table(text: str, target: str) -> Table:
    """Read CSV with a header; the target's column, where there is one, becomes the labels.

    Blank lines are skipped.

    Raises:
        DeliveryError: The text is not a table.

    """
    header, *rows = _rows(text)
    return make_table(header, rows, target)


def make_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], target: str, blank: Sequence[int] = ()
) -> Table:
    """Return rows of cells as a table, whose labels are the target's column where there is one.

    `blank` has the numbers of the file's rows that are left out, because they have no cell.
    """
    remarks = _describe_blank(blank)
    if target not in columns:
        return Table(tuple(columns), tuple(map(tuple, rows)), None, remarks=remarks)
    at = columns.index(target)
    return Table(
        columns=(*columns[:at], *columns[at + 1 :]),
        rows=tuple((*row[:at], *row[at + 1 :]) for row in rows),
        labels=tuple(row[at] for row in rows),
        remarks=remarks,
    )


def describe_faults(
    faults: Mapping[str, str], target: str, columns: Sequence[str], file: str
) -> tuple[str, ...]:
    """Return which of the model's columns can't be read, from the reasons by column.

    Raises:
        DeliveryError: The target can't be read; the message has the name of the file.

    """
    remedy = "write it as numbers, booleans, text or dates"
    if reason := faults.get(target):
        raise DeliveryError(f"{file}: '{target}' can't be the target: {reason}; {remedy}.")
    return tuple(
        f"The column '{name}' can't be read: {faults[name]}. Its cells are missing values in "
        f"every row, and the predictions are made without them; {remedy}."
        for name in columns
        if name in faults
    )


def _describe_blank(blank: Sequence[int]) -> tuple[str, ...]:
    if not blank:
        return ()
    numbers = ", ".join(map(str, blank[:MOST_BLANK])) + (", …" if len(blank) > MOST_BLANK else "")
    remark = (
        f"Blank rows of the file are left out: {numbers} ({len(blank)} in all). The rows after them have "
        "lower numbers here than in the file."
    )
    return (remark,)


def read_json_file(
    path: Path, target: str, columns: Sequence[str], formats: Mapping[str, NumberFormat]
) -> Table:
    """Read a file of JSON lines as `read_json_lines` does.

    Raises:
        DeliveryError: The file is not UTF-8, or a line can't be read; the message names the file.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return read_json_lines(text, target, columns, formats)
    except UnicodeDecodeError as error:
        raise DeliveryError(
            f"{path.name}: byte {error.start} is not UTF-8: save the file as UTF-8."
        ) from None
    except DeliveryError as error:
        raise DeliveryError(f"{path.name}: {error}") from None


def read_json_lines(
    text: str, target: str, columns: Sequence[str], formats: Mapping[str, NumberFormat]
) -> Table:
    """Read a JSON object a line by its names, or an array a line as the model's columns and no labels.

    A number is plain in JSON, and is written in the format of its column; a text is a cell as it is.

    Raises:
        DeliveryError: A line is neither, or is not like the others.

    """
    rows = [_json_row(line, number) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not rows:
        raise DeliveryError(
            "there are no rows to predict: write each row as a JSON object or array, one on each line."
        )
    if any(type(row) is not type(rows[0]) for row in rows):
        raise DeliveryError("it has objects and arrays, and its lines must all be one or the other.")
    if isinstance(rows[0], dict):
        names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
        cells = [
            [_cell(row.get(name), formats.get(name)) for name in names]
            for row in rows
            if isinstance(row, dict)
        ]
        return make_table(names, cells, target)
    for number, row in enumerate(rows, 1):
        if len(row) != len(columns):
            raise DeliveryError(
                f"row {number} has {len(row)} cells, and the model has {len(columns)} columns."
            )
    styles = [formats.get(name) for name in columns]
    return make_table(columns, [list(map(_cell, row, styles)) for row in rows], "")


def _json_row(line: str, number: int) -> dict[str, object] | list[object]:
    def distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (name, _), *_ = Counter(name for name, _ in pairs).most_common()
            raise DeliveryError(f"line {number} has the key {name!r} twice: write it once.")
        return found

    try:
        row = json.loads(line, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:  # its own text has a number of a line as well
        raise DeliveryError(f"line {number} is not JSON: {error.msg}, column {error.colno}.") from None
    except ValueError as error:
        raise DeliveryError(f"line {number} is not JSON: {error}.") from None
    row = row["features"] if isinstance(row, dict) and list(row) == ["features"] else row
    if isinstance(row, dict | list):
        return row
    raise DeliveryError(f"line {number} is neither a JSON object nor an array: write a row as one of them.")


def _cell(value: object, style: NumberFormat | None) -> str:
    """Return a value of JSON as the cell of a table; null is a missing value."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    plain = json.dumps(value)
    return plain if style is None or isinstance(value, bool) else style.spell(plain)


def _rows(text: str) -> list[list[str]]:
    """Read the header and at least one row below it, all of one width."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise DeliveryError(f"The file is not CSV: {error}.") from None
    if len(rows) < 2:  # noqa: PLR2004 - a header and one row
        raise DeliveryError("The file has no rows to predict: it needs a header and at least one row.")
    width = len(rows[0])
    for number, row in enumerate(rows[1:], 1):
        if len(row) != width:
            raise DeliveryError(f"Row {number} has {len(row)} cells, and the header has {width}.")
    return rows
