"""Protects the one reading: a request with a training row's cells has its features and profile, to the bit.

The tables are generated. `READING_EXAMPLES` of them are tried, as `make test-reading` does with many.
"""

import csv
import io
import json
import math
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container.data import encode
from container.data.reading import ReadingSettings
from container.data.schema import Feature, Schema
from container.data.split import NAMES
from container.monitor import reading
from container.monitor.capture import Counts
from container.monitor.profile import ColumnProfile, TableProfile
from container.monitor.request_rows import RequestRows
from container.payload import number_parser
from container.payload.negotiation import CSV, JSON, JSON_LINES
from container.payload.requests import RequestDecoder
from container.prepare import Settings, prepare
from container.runtime.errors import UserError
from tests.container.monitor.captured import side

Row = list[str]
EXAMPLES = int(os.environ.get("READING_EXAMPLES", "10"))


def grouped(number: float, mark: str, decimal: str = ".") -> str:
    return f"{number:,.2f}".replace(",", "\0").replace(".", decimal).replace("\0", mark)


def money(random: Random) -> str:
    text = grouped(random.lognormvariate(6, 2), ",")
    return random.choice([f"${text}", f"${text}", f"(${text})", f"-${text}", text.replace(",", "")])


def clock(random: Random) -> str:
    return f"{random.randrange(1, 13)}:{random.randrange(60):02}"


def day(random: Random, text: str) -> str:
    return text.format(y=random.randrange(1990, 2030), m=random.randrange(1, 13), d=random.randrange(1, 29))


KINDS: dict[str, Callable[[Random], str]] = {
    "whole": lambda random: random.choice(["{}", "{}", "{}.0", " {} ", "+{}", "0{}"]).format(
        random.randrange(9999)
    ),
    "real": lambda random: random.choice([repr, "{:.3f}".format, "{:.4e}".format])(random.gauss(0, 1e3)),
    "money": money,
    "comma": lambda random: grouped(random.gauss(0, 1e4), ".", ",") + random.choice(["", " €"]),
    "unit": lambda random: f"{random.gauss(70, 9):.1f}{random.choice(['kg', ' kg'])}",
    "percent": lambda random: f"{random.gauss(5, 9):.1f}%",
    "spaces": lambda random: grouped(random.lognormvariate(7, 2), " ").replace(".00", ""),
    "minus": lambda random: repr(random.gauss(0, 9)).replace("-", "\u2212"),
    "yes": lambda random: random.choice(["yes", "no", "Yes", "NO", "no "]),
    "bit": lambda random: random.choice(["0", "1", "1.0", " 0"]),
    "truth": lambda random: random.choice(["True", "False", "true", "FALSE"]),
    "letters": lambda random: random.choice(["Y", "N", "Y", "n", random.choice("YNTF")]),
    "tick": lambda random: random.choice(["x", ""]),
    "text": lambda random: random.choice(["red", "Red", " green", "blue, or so", 'a "quoted" one', "Straße"]),
    "code": lambda random: random.choice(["01", "2", "3.0", "3", "A1", "x"]),
    "rare": lambda random: f"w{int(random.expovariate(0.02))}",
    "iso": lambda random: (
        day(random, "{y}-{m:02}-{d:02}") + random.choice(["", f" {random.randrange(10, 24)}:30:15"])
    ),
    "month": lambda random: f"{day(random, '{m}/{d}/{y}')} {clock(random)} {random.choice(['AM', 'PM'])}",
    "typed": lambda random: day(random, random.choice(["{m}/{d}/{y}", "{y}-{m:02}-{d:02}T10:30:15"])),
    "dots": lambda random: day(random, "{d}.{m}.{y}"),
    "digits": lambda random: random.choice([day(random, "{y}{m:02}{d:02}")] * 9 + ["00000000"]),
    "short": lambda random: day(random, "{m}/{d}/{y}")[:-4] + f"{random.randrange(100):02}",
    "name": lambda random: (
        day(random, "{d:02}-") + random.choice(["Jan", "May", "DEC"]) + day(random, "-{y}")
    ),
}
STRAYS = [
    "unknown",
    "12O",
    "<5",
    "0",
    "2018",
    "1514764800000",
    "1.5.2",
    "1.0",
    "true",
    "1,2",
    "$",
    "(1",
    "12 %",
    "0000-13-45",
]
WORDS = ["", "NA", "n/a", "-", ".", "None", "\\N", "#N/A", "<NA>", "?", "not asked", "-999", "-999.0"]
OWN_WORDS = ("not asked", "-999")
LABELS: dict[str, Callable[[Random], str]] = {
    "number": lambda random: repr(random.gauss(0, 1)),
    "price": money,
    "label": lambda random: random.choice(["01", "02", "03"]),
    "truth": lambda random: random.choice(["yes", "no", "Yes"]),
    "letters": lambda random: random.choice(["Y", "N", "n", random.choice("YNT")]),
}


@dataclass(frozen=True)
class Raw:
    """Hold a generated table: header, rows of text, dialect and the project's words for "missing"."""

    header: Row
    rows: list[Row]
    delimiter: str
    quoting: int
    words: tuple[str, ...]

    def write(self, folder: Path) -> None:
        """Write the table as the only file of a folder."""
        file = io.StringIO()
        writer = csv.writer(file, delimiter=self.delimiter, quoting=self.quoting, lineterminator="\r\n")  # type: ignore[arg-type]
        writer.writerows([self.header, *self.rows])
        folder.mkdir()
        (folder / "a.csv").write_text(file.getvalue(), encoding="utf-8-sig", newline="")


@st.composite
def tables(draw: st.DrawFn) -> Raw:
    random = Random(draw(st.integers(0, 2**32)))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    label = draw(st.sampled_from(sorted(LABELS)))
    count = draw(st.sampled_from([60, 250]))
    columns = [column(random, KINDS[kind], count, draw) for kind in kinds]
    columns.append([LABELS[label](random) for _ in range(count)])
    header = [f"{place} {kind}" for place, kind in enumerate(kinds)] + ["y"]
    if draw(st.booleans()):
        columns.append([*map(str, range(count))])
        header.append("")
    order = random.sample(range(len(header)), len(header))
    rows = [[cells[place] for place in order] for cells in zip(*columns, strict=True)]
    rows += random.sample(rows, draw(st.sampled_from([0, 5])))
    dialect = draw(st.sampled_from(",;\t|")), draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    words = OWN_WORDS if draw(st.booleans()) else ()
    return Raw([header[place] for place in order], rows, *dialect, words)


def column(random: Random, cell: Callable[[Random], str], count: int, draw: st.DrawFn) -> list[str]:
    cells = [cell(random) for _ in range(count)]
    for place in random.sample(range(count), draw(st.integers(0, 2))):
        cells[place] = random.choice(STRAYS)
    if draw(st.booleans()):
        for place in random.sample(range(count), count // 10):
            cells[place] = random.choice(WORDS)
    return cells


@given(tables())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_requests_are_read_as_the_training_was(raw: Raw) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(raw, Path(folder))


def test_a_time_whose_short_spelling_means_missing_is_a_value(tmp_path: Path) -> None:
    """Protects a label from a spelling that training and requests would read as a missing value."""
    columns: dict[str, Row] = {
        "x": [str(number / 7) for number in range(120)],
        "zero": ["0000-00-00 00:00:00.000", "", "0000-00-00T00:00:00", "0000-00-00 00:00:00.000"] * 30,
        "epoch": ["", "1970-01-01 00:00:00", "1970-01-01", ""] * 30,
        "set": ["1970-01-01T00:00:00.0", "2020-01-01 00:00:00", "1970-01-01 00:00:00"] * 40,
        "y": ["1970-01-01T00:00:00", "2020-01-01T00:00:00", "1970-01-01T00:00:00", "2020-01-01"] * 30,
    }
    rows = [[*row] for row in zip(*columns.values(), strict=True)]
    check(Raw([*columns], rows, ",", csv.QUOTE_MINIMAL, ("1970-01-01",)), tmp_path, {"set": "categorical"})
    schema = Schema.read(tmp_path / "out" / "schema" / "schema.json")
    _, zero, epoch, chosen = schema.features
    assert (zero.categories, epoch.categories) == (("0000-00-00 00:00:00.000",), ("1970-01-01 00:00:00",))
    assert chosen.categories == ("1970-01-01 00:00:00", "2020-01-01")
    assert schema.target.classes == ("1970-01-01T00:00:00", "2020-01-01")
    for column in (epoch, chosen, schema.target):
        spellings = ("1970-01-01 00:00:00", "1970-01-01T00:00:00", "1970-01-01T00:00:00.000", "1970-01-01")
        found = [column.encode(text) for text in spellings]
        assert found[:3] == [0.0] * 3
        assert math.isnan(found[3])


def check(raw: Raw, folder: Path, kinds: dict[str, str] | None = None) -> None:
    raw.write(folder / "in")
    settings = Settings("y", reading=ReadingSettings(kinds or {}, missing_words=raw.words))
    try:
        prepare(settings, folder / "in", folder / "out")
    except UserError as error:
        if not re.search("no column besides the target|rows are distinct, and no class", str(error)):
            raise
        return
    schema = Schema.read(folder / "out" / "schema" / "schema.json")
    kept = [row for row in raw.rows if not is_left_out(schema, raw, row)]
    splits = [encode.read(folder / "out" / name, schema) for name in NAMES]
    trained = Counter(bits for split in splits for bits in rows_of_bits(split.features))
    written = pl.concat([split.text.drop("0") for split in splits])
    for form, (bodies, kind) in forms(schema, raw.header, kept).items():
        decoder = RequestDecoder(schema, number_parser.create(len(schema.features)))
        asked = Counter(bits for body in bodies for bits in rows_of_bits(decoder.decode(body, kind).rows))
        assert asked == trained, form
        assert captured(schema, bodies, kind) == baseline(schema, written), form


def is_left_out(schema: Schema, raw: Raw, row: Row) -> bool:
    """Return whether a row has no target, or one that is a stray."""
    try:
        return math.isnan(schema.target.encode(row[raw.header.index("y")]))
    except ValueError:
        return True


def rows_of_bits(features: Any) -> Iterable[tuple[int, ...]]:
    features = features.copy()
    features[features != features] = math.nan  # noqa: PLR0124 - NaN
    return map(tuple, features.view("u8").tolist())


def forms(schema: Schema, header: Row, rows: list[Row]) -> dict[str, tuple[list[bytes], str]]:
    places = [header.index(feature.name) for feature in schema.features]
    selected = [[row[place] for place in places] for row in rows]
    natural = [[*map(natural_value, schema.features, row)] for row in selected]
    names = [feature.name for feature in schema.features]
    return {
        "by position": ([*map(csv_body, ([row] for row in selected))], CSV),
        "by header": ([csv_body([header, *rows])], CSV),
        "texts": ([json.dumps({"instances": selected}).encode()], JSON),
        "numbers": ([json.dumps(natural).encode()], JSON),
        "records": (
            ["\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in natural).encode()],
            JSON_LINES,
        ),
    }


def csv_body(rows: list[Row]) -> bytes:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue().encode()


def natural_value(feature: Feature, text: str) -> object:
    """Return a cell as a program has it that reads the file and writes JSON: numbers, true and null."""
    text = text.strip()
    if text == "":
        return None
    if feature.kind == "categorical" and text in {"true", "false"}:
        return text == "true"
    if feature.kind == "date" or not re.fullmatch(r"-?(0|[1-9]\d{0,15})(\.\d+)?([eE][+-]?\d+)?", text):
        return text
    if "." in text and feature.number_format and feature.number_format.decimal == ",":
        return text  # it is not a number there
    return int(text) if re.fullmatch(r"-?\d+", text) else float(text)


def captured(schema: Schema, bodies: list[bytes], kind: str) -> dict[str, object]:
    names = tuple(feature.name for feature in schema.features)
    profile = TableProfile(known_texts=dict.fromkeys(names, frozenset()))
    kept = Schema.from_json(json.loads(json.dumps(reading.of_baseline(schema).to_json())))
    rows = RequestRows(profile, names, counts := Counts(), reading.readers(kept))
    encoding = "CSV" if kind == CSV else "JSON"
    rows.collect(("", {"endpointInput": side(body.decode(), encoding, kind, "INPUT")}, {}) for body in bodies)
    rows.flush()
    assert counts == Counts()
    return {name: known(profile.columns[name]) for name in names}


def baseline(schema: Schema, written: pl.DataFrame) -> dict[str, object]:
    profile = TableProfile()
    profile.update(written.rename({str(at): feature.name for at, feature in enumerate(schema.features, 1)}))
    return {name: known(profile.columns[name]) for name in profile.columns}


def known(column: ColumnProfile) -> object:
    counts = column.missing, column.integral, column.fractional, column.text
    numbers = column.minimum, column.maximum, column.moments, column.distinct.estimate()
    return counts, numbers, column.text and (column.truncated or column.texts)
