"""The rows of a file as the container reads them, and which of their cells the model does not know."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from delivery.inference.rows import CSV, Table, describe_faults, make_table, read_json_file

from container.runtime.errors import UserError
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from container.data.schema import Schema, Target

JSON_LINES = (".jsonl", ".ndjson")


def read_file(path: Path, schema: Schema, delimiter: str = "auto") -> Table:
    """Read a file as `prepare` reads it; the target's column, where there is one, becomes the labels.

    Hive's folders around the file name columns where the model has them. `delimiter` is that of CSV in
    project.toml.

    Raises:
        LocalError: the file can't be read, or is not a table.
    """
    from container.data import footers, reading, tables  # noqa: PLC0415 - a terminal need not wait for polars

    if delimiter not in {"auto", *reading.DELIMITERS}:
        choices = ", ".join(("auto", *reading.DELIMITERS))
        raise LocalError(
            f"delimiter in [data] of project.toml is '{delimiter}', and must be one of {choices}."
        )
    names = [feature.name for feature in schema.features]
    try:
        if path.suffix.lower() in JSON_LINES:
            return read_json_file(path, schema.target.name, names, schema.number_formats)
        absolute = path.resolve() if ".." in path.parts else path.absolute()
        found = tables.inspect(absolute, _root(absolute), delimiter)
        folders = {name for name, _ in found.folders}
        unused = folders.difference((schema.target.name, *names))
        columns = tuple(name for name in found.columns if name not in unused)
        target = schema.target
        footer = footers.ends_in_one(found, target.name, target.reading.missing, target.number_format)
        faults = {name: reason for name in columns if (reason := found.fault(name))}
        rows = tables.scan(found, columns).collect().rows()
    except UserError as error:
        raise LocalError(f"{error}.") from None
    except OSError as error:
        raise LocalError(f"{path} can't be read: {error.strerror}.") from None
    typed = {name for name in columns if found.kind_of(name) == "numbers"}
    formats = {name: style for name, style in schema.number_formats.items() if name in typed}
    width = len(found.columns) - len(folders)
    spelled = Table(columns, (), None, formats).spelled(rows)
    kept = [row for row in spelled if any(row[:width])]
    said = [f"The last line ({','.join(kept.pop())}) is left out: it is a footer."] if footer else []
    warnings = describe_faults(faults, target.name, names, found.name)
    if not kept:
        raise LocalError(" ".join((f"{path} has no rows to predict below its header.", *warnings)))
    blank = [number for number, row in enumerate(spelled, 1) if not any(row[:width])]
    table = make_table(columns, kept, schema.target.name, blank)
    return replace(table, remarks=(*table.remarks, *said), warnings=warnings)


def _root(path: Path) -> Path:
    """Return the folder above those that name columns; the same column is named once."""
    root, names = path.parent, set[str]()
    for folder in path.parents:
        name, mark, _ = folder.name.partition("=")
        if mark and name in names:
            break
        if mark:
            names.add(name)
            root = folder.parent
    return root


def describe_cells(table: Table, schema: Schema) -> list[str]:
    """Return how many cells are missing or unknown to the model, and which columns it does not have."""
    from container.payload.errors import RequestError  # noqa: PLC0415 - as polars above
    from container.payload.feature_decoder import FeatureDecoder  # noqa: PLC0415 - as polars above

    cells = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    missing, unknown, refused = {}, {}, []
    for feature in schema.features:
        name, column = feature.name, cells.pop(feature.name, ())
        try:
            _, missing[name], unknown[name] = FeatureDecoder(feature).decode(column)
        except RequestError as error:  # an endpoint of another version of this code has taken it
            refused.append(f"this project would refuse what the endpoint took: {error.message}")
    return [
        *refused,
        *_counted("missing values", missing),
        *_counted("values that the model does not know", unknown),
        *_mostly_unknown(unknown, len(table.rows)),
        *([f"columns that the model does not use: {', '.join(map(repr, cells))}"] if cells else []),
    ]


def _counted(what: str, counts: Mapping[str, int]) -> Iterator[str]:
    if total := sum(counts.values()):
        places = ", ".join(f"{name}: {count}" for name, count in counts.items() if count)
        yield f"{what}: {total} ({places})"


def _mostly_unknown(unknown: Mapping[str, int], rows: int) -> Iterator[str]:
    if names := ", ".join(name for name, count in unknown.items() if count > rows / 2):
        yield f"warning: most cells of {names} are unknown to the model: are they written as in training?"


def count_learned(folder: Path, table: Table, schema: Schema) -> int | None:
    """Count the labelled rows that the model of a folder has learned from; None where it has no record."""
    import numpy as np  # noqa: PLC0415 - as polars above

    from container import learned_rows  # noqa: PLC0415 - as polars above

    labels = [_label(text, schema.target) for text in table.written_labels(schema.target.name) or ()]
    known = [row for row, label in enumerate(labels) if not math.isnan(label)]
    features = _features(table, schema)
    if features is None or not known:
        return None
    try:
        new = learned_rows.new_rows(folder, features[known], np.array([labels[row] for row in known]))
    except UserError:
        return None
    return len(known) - int(new.sum())


def _label(text: str, target: Target) -> float:
    try:
        return target.encode(text)
    except ValueError:
        return math.nan


def _features(table: Table, schema: Schema) -> Any:
    """Return the numbers that the model sees; None where this project would refuse a row."""
    import numpy as np  # noqa: PLC0415 - as polars above

    from container.payload.errors import RequestError  # noqa: PLC0415 - as polars above
    from container.payload.requests import RequestDecoder  # noqa: PLC0415 - as polars above

    if schema.side is not None:
        from container.images.decode import decode, pixels  # noqa: PLC0415 - tables do not have it

        bodies = (base64.b64decode(text) for (text,) in table.rows)
        return np.stack([pixels(decode(body), schema.side) for body in bodies])
    try:
        return RequestDecoder(schema).decode(table.body(0, len(table.rows)).encode(), CSV, "present").rows
    except RequestError:
        return None
