"""A column's kind is that of nearly all of its cells, and prepare and requests read each cell alike."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from container.data import columns, encode, kinds
from container.data.reading import ReadingSettings
from container.data.schema import Feature, Schema
from container.data.value_counts import TEXT, Texts
from container.data.values import Labels, NumberFormat, Reading
from container.monitor.reading import ColumnReader
from container.payload import number_parser
from container.payload.errors import RequestError
from container.payload.feature_decoder import FeatureDecoder
from container.payload.negotiation import CSV, JSON
from container.payload.requests import RequestDecoder
from container.prepare import Settings, prepare
from container.runtime import environment
from container.runtime.errors import UserError

Cell = Callable[[int], str]
ROWS = 240
HALVES = [n / 2 for n in range(ROWS)]


def run(root: Path, cells: dict[str, Cell], task: str = "auto", rows: int = ROWS, **reading: Any) -> Path:
    cells = {"row": str, **cells} if "row" not in cells else cells
    reading["kinds"] = {"row": "numeric"} | reading.get("kinds", {})
    (root / "in").mkdir(parents=True)
    with (root / "in/a.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(cells)
        writer.writerows([cell(n) for cell in cells.values()] for n in range(rows))
    prepare(Settings("y", task, reading=ReadingSettings(**reading)), root / "in", root / "out")
    return root / "out"


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report/report.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def schema_of(out: Path) -> Schema:
    return Schema.read(out / "schema/schema.json")


def once(text: str, others: Cell) -> Cell:
    return lambda n: text if n == 50 else others(n)


def sometimes(text: str, others: Cell, every: int = 12) -> Cell:
    return lambda n: text if n % every == every - 1 else others(n)


def spaced(n: int) -> str:
    return f"{1000 + n // 2 * 7:,}".replace(",", " ")


def comma(n: int) -> str:
    return f"{n * 37.25:,.2f}".translate(str.maketrans(",.", ".,"))


def dots(n: int) -> str:
    return f"{200 + n * 7:,}".replace(",", ".")


def day_number(n: int) -> str:
    return f"202401{n % 28 + 1:02}"


TWO_DIGITS = tuple(f"{n:02}" for n in range(1, 14))
MONTHS = ("Jan", "Feb", "Mar", "Apr")
# Each column's cells, and what its feature holds: how its numbers or dates are written, and its strays.
FEATURES: dict[str, tuple[Cell, dict[str, Any]]] = {
    "words in money": (sometimes("None", lambda n: f"{n * 1.37}"), {}),
    "one stray": (once("unknown", lambda n: str(20 + n % 60)), {"strays": True}),
    "essay": (once("word " * 90, lambda n: str(n % 60)), {"strays": True}),
    **{
        word: (sometimes(word, lambda n: str(n * 13 % 97), 24), {})
        for word in ("#N/A", "n/a", "<NA>", "\\N", "-", ".", "#DIV/0!", "(null)")
    },
    **{
        word: (sometimes(word, lambda n: str(n * 13 % 97), 24), {"strays": True})
        for word in ("No data", "<5", "12O")
    },
    "dollars": (lambda n: f"${n * 37:,}", {"number_format": NumberFormat(group=",", sign="$")}),
    "percent": (lambda n: f"{n % 90}%", {"number_format": NumberFormat(sign="%")}),
    "percent at times": (lambda n: f"{n}{'%' * (n % 2)}", {"number_format": NumberFormat(sign="%")}),
    "spaces": (spaced, {"number_format": NumberFormat(group=" ")}),
    "parentheses": (lambda n: f"({n}.5)" if n % 3 else f"{n}.5", {"number_format": NumberFormat()}),
    "no-break space": (lambda n: f"\u00a0{n % 90}", {"number_format": NumberFormat()}),
    "no-break money": (lambda n: f"${n * 7}\u00a0", {"number_format": NumberFormat(sign="$")}),
    "minus": (lambda n: f"\u2212{n}", {"number_format": NumberFormat()}),
    "comma": (comma, {"number_format": NumberFormat(",", ".")}),
    "euros": (
        once("?!", lambda n: f"{comma(n)} €"),
        {"number_format": NumberFormat(",", ".", "€"), "strays": True},
    ),
    "unit": (lambda n: f"{n}.5 kg", {"number_format": NumberFormat(sign="kg")}),
    "two words": (lambda n: f"{n * 50:,} sq ft", {"number_format": NumberFormat(group=",", sign="sq ft")}),
    "unit before": (lambda n: f"Rs. {n}", {"number_format": NumberFormat(sign="Rs.")}),
    "speed": (
        once("fast", lambda n: f"{n},5km/h"),
        {"number_format": NumberFormat(",", "", "km/h"), "strays": True},
    ),
    "thousands": (lambda n: f"{n}k", {"number_format": NumberFormat(sign="k")}),
    "months": (
        lambda n: f"2020-{n % 12 + 1:02}",
        {"categories": tuple(f"2020-{n:02}" for n in range(1, 13))},
    ),
    "clocks": (lambda n: f"0:{n % 60:02}", {"categories": tuple(f"0:{n:02}" for n in range(60))}),
    "multipliers": (
        lambda n: f"{n % 9}k" if n % 9 else "1.2M",
        {"categories": tuple(sorted(["1.2M", *(f"{n}k" for n in range(1, 9))]))},
    ),
    "some thousands": (
        lambda n: f"{n % 9}k" if n % 9 else "500",
        {"categories": ("1k", "2k", "3k", "4k", "500", "5k", "6k", "7k", "8k")},
    ),
    "large ones": (sometimes("1,234.5", lambda n: f"{n}.25", 40), {"number_format": NumberFormat(group=",")}),
    "excel date": (lambda n: f"{n % 12 + 1}/{n % 28 + 1}/2010 {n % 24}:26", {"format": "mm/dd/yyyy"}),
    "noon": (
        lambda n: f"12/{n % 28 + 1:02}/2010 {n % 12 + 1:02}:26:00 {'AP'[n % 2]}M",
        {"format": "mm/dd/yyyy"},
    ),
    "month name": (lambda n: f"{n % 28 + 1:02}-{MONTHS[n % 4]}-18", {"format": "dd-mmm-yy"}),
    "short year": (lambda n: f"{n % 12 + 1}/{n % 28 + 1}/24", {"format": "mm/dd/yy"}),
    "day first": (lambda n: f"{n % 28 + 1}/{n % 12 + 1}/2024", {"format": "dd/mm/yyyy"}),
    "nanoseconds": (lambda n: f"2020-01-{n % 28 + 1:02}T00:00:00.{n:09}", {"format": "iso8601"}),
    "utc": (lambda n: f"2020-01-{n % 28 + 1:02} 10:00:00 UTC", {"format": "iso8601"}),
    "zero date": (once("0000-00-00", lambda n: f"2020-01-{n % 28 + 1:02}"), {"format": "iso8601"}),
    "no such day": (
        once("2020-02-31", lambda n: f"2020-01-{n % 28 + 1:02}"),
        {"format": "iso8601", "strays": True},
    ),
    "day number": (lambda n: f"202401{n % 28 + 1:02}", {"format": "yyyymmdd"}),
    "no day": (sometimes("00000000", day_number, 3), {"format": "yyyymmdd", "strays": True}),
    "no end": (sometimes("99991231", day_number, 30), {"format": "yyyymmdd"}),
    "no end of dashes": (
        sometimes("9999-12-31", lambda n: f"2024-01-{n % 28 + 1:02}"),
        {"format": "iso8601"},
    ),
    "days and -1": (sometimes("-1", day_number, 30), {"format": "yyyymmdd", "strays": True}),
    "births": (lambda n: f"{n % 12 + 1}/{n % 28 + 1}/{50 + n % 50}", {"format": "mm/dd/yy"}),
    "boolean": (once("maybe", lambda n: ("yes", "no")[n % 2]), {"categories": ("no", "yes"), "strays": True}),
    "float": (once("1.0", lambda n: ("yes", "no")[n % 2]), {"categories": ("1", "no", "yes")}),
    "floats": (
        lambda n: ("no", "yes", "0.0", "1.0")[n % 4 if n < 9 else n % 2],
        {"categories": ("no", "yes")},
    ),
    "spelled": (lambda n: ("Y", "y", "N")[n % 3], {"categories": ("N", "Y")}),
    "letters": (lambda n: "T" if n % 30 == 0 else "YN"[n % 2], {"categories": ("N", "T", "Y")}),
    "letter pairs": (lambda n: "YNTF"[n % 4 if n % 30 < 4 else n % 2], {"categories": tuple("FNTY")}),
    "ticked": (lambda n: ("yes", "", "Yes", "Yes")[n % 4], {"categories": ("Yes",)}),
    "tick box": (lambda n: "yes" if n % 3 == 0 else "", {"categories": ("yes",)}),
    "postal code": (
        lambda n: f"{n % 90 * 13 + 5:05}",
        {"categories": tuple(f"{n * 13 + 5:05}" for n in range(90))},
    ),
    "area code": (
        lambda n: ("030", "089", "0341", "07621", "6221")[n % 5],
        {"categories": ("030", "0341", "07621", "089", "6221")},
    ),
    "code or -1": (sometimes("-1", lambda n: f"{n % 13 + 1:02}", 60), {"categories": ("-1", *TWO_DIGITS)}),
    "padded": (lambda n: f"{n % 50:03}.5", {}),
    "padded twice": (lambda n: f"0{n}" if n in {7, 8} else str(n * 13 % 1000), {}),
    "years": (sometimes("0000", lambda n: str(1990 + n % 30)), {}),
    "rating": (lambda n: "none" if n % 9 == 0 else str(n % 4), {"categories": ("0", "1", "2", "3", "none")}),
    "grades": (lambda n: ("A", "1", "1.0", "01")[n % 4], {"categories": ("1", "A")}),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = {name: cell for name, (cell, _) in FEATURES.items()}
    return run(tmp_path_factory.mktemp("columns"), {**cells, "y": lambda n: f"{n / 7}"})


@pytest.mark.parametrize("name", FEATURES)
def test_a_column_is_what_nearly_all_of_its_cells_are(prepared: Path, name: str) -> None:
    """Protects numbers, money, dates and booleans from a few other cells, and codes from being numbers."""
    wanted = dict(FEATURES[name][1])
    kind = "date" if "format" in wanted else "categorical" if "categories" in wanted else "numeric"
    found = next(feature for feature in schema_of(prepared).features if feature.name == name)
    assert found == Feature(name, kind, **wanted)  # type: ignore[arg-type]


def test_a_request_with_the_cells_of_a_training_row_gives_its_features(prepared: Path) -> None:
    """Protects every answer: each raw cell, and each prepared row as a request, gives the trained number."""
    schema = schema_of(prepared)
    data = encode.read(prepared / "train", schema)
    rows = data.features[:, 0].astype(int)
    for at, feature in enumerate(schema.features[1:], 1):
        raw = [feature.encode(FEATURES[feature.name][0](row)) for row in rows]
        assert np.array_equal(data.features[:, at], raw, equal_nan=True), feature.name
    cells = next(csv.reader([data.body(9)]))
    sent = [feature.encode(cell) for feature, cell in zip(schema.features, cells, strict=True)]
    assert np.array_equal(data.features[9], sent, equal_nan=True)
    assert all(cell == float(f"{row * 1.37}") for row, cell in data.features[:, :2] if row % 12 < 11)


def test_words_and_strays_are_reported(prepared: Path) -> None:
    """Protects the user from silence: the column, how many cells, the first row, its text and the reason."""
    taken = {found["column"]: found for found in report_of(prepared)["taken_as_missing"]}
    assert taken["words in money"] == {
        "column": "words in money",
        "cells": 20,
        "first": "a.csv: row 12",
        "text": "None",
        "why": "a word for a missing value",
    }
    assert (taken["one stray"]["cells"], taken["one stray"]["first"]) == (1, "a.csv: row 51")
    assert taken["one stray"]["text"] == "unknown"
    assert taken["essay"]["text"] == "word " * 40 + "…"
    assert taken["no such day"]["text"] == "2020-02-31"
    assert taken["boolean"]["why"] == "does not fit the column's kind"
    assert taken["no day"]["cells"] == 80


def test_reasons_of_kinds_are_reported(prepared: Path) -> None:
    """Protects the user from a column that is taken for something else without a word."""
    reasons = {decided["column"]: decided["reason"] for decided in report_of(prepared)["kinds"]}
    assert reasons["rating"] == (
        "88.7% of its cells are numbers, fewer than 95%; the first other text is 'none', a.csv: row 1"
    )
    assert reasons["one stray"] == "99.5% of its cells are numbers"
    assert reasons["euros"].endswith("numbers with ',' before decimals, '.' between thousands, the sign '€'")
    assert reasons["clocks"] == (
        "its cells look like durations or times of day, which are not read as numbers; "
        "the first is '0:00', a.csv: row 1"
    )
    assert reasons["months"].startswith("its cells look like months, quarters or weeks, which are not read")
    assert reasons["multipliers"].startswith(
        "its cells look like numbers with several units or decimal marks, which are not"
    )
    assert reasons["unit"] == "numbers with '.' before decimals, the sign 'kg'"
    assert reasons["area code"] == "its cells are digits, some with leading zeros: codes, and not numbers"
    assert reasons["tick box"] == "it has one value, and is missing elsewhere"


def test_guesses_are_reported(prepared: Path) -> None:
    """Protects the user from numbers and dates that may be others."""
    guesses = {guess["column"]: guess["guess"] for guess in report_of(prepared)["guesses"]}
    assert set(guesses) == {
        "dollars",
        "percent at times",
        "two words",
        "grades",
        "day number",
        "no day",
        "no end",
        "no end of dashes",
        "days and -1",
        "births",
        "padded twice",
    }
    assert guesses["no end"].endswith(
        "; '99991231' is read as a date: name it in missing_words if it means that there is no end"
    )
    assert guesses["births"] == (
        "'1/1/50' is read as a day of 2050, as 68 is 2068 and 69 is 1969: write years with four digits"
    )


@pytest.mark.parametrize(
    ("cell", "settings", "wanted", "guess"),
    [
        (lambda n: f"{n % 12 + 1}/{n % 11 + 1}/2020", {}, "mm/dd/yyyy", "every day could be a month"),
        (lambda n: f"{n % 12 + 1}/{n % 11 + 1}/2020", {"date_order": "day-first"}, "dd/mm/yyyy", ""),
        (
            lambda n: f"{n % 12 + 1}/{n % 28 + 1}/2020",
            {"date_order": "day-first"},
            "mm/dd/yyyy",
            "its dates are read in another order than that of date_order = day-first",
        ),
        (
            lambda n: f"{n % 6 + 18}/{n % 12 + 1:02}/{n % 28 + 1:02}",
            {},
            "dd/mm/yy",
            "its dates are read as dd/mm/yy, and are closer together as yy/mm/dd",
        ),
        (lambda n: f"{n % 28 + 1:02}/{n % 12 + 1:02}/{n % 6 + 18}", {}, "dd/mm/yy", ""),
        (lambda n: f"2024-{n % 12 + 1:02}-{n % 11 + 1:02}", {"date_order": "month-first"}, "iso8601", ""),
        (sometimes("2031-01-01", lambda n: f"{n % 28 + 1}.{n % 12 + 1}.24", 3), {}, "dd.mm.yy", ""),
        (lambda n: f"{n % 5 + 95}.{n % 12 + 1:02}.{n % 28 + 1:02}", {}, "yy.mm.dd", ""),
        (lambda n: "5" if n % 2 else "", {"kinds": {"x": "numeric"}}, None, ""),
        (lambda n: f"{n % 9 + 1}.{n + 100}", {}, None, "'1.100' is read as 1.1 and could be 1100"),
        (lambda n: f"{n % 9 + 1}.{n + 100}", {"decimal": "point"}, None, ""),
        (lambda n: f"{n % 9 + 1}.{n + 100}", {"decimal": "comma"}, NumberFormat(",", "."), ""),
        (dots, {}, NumberFormat(",", "."), "'1.005' is read as 1005 and could be 1.005: set decimal"),
        (once("1.005", lambda n: str(n + 100)), {}, NumberFormat(",", "."), "'1.005' is read as 1005"),
        (once("1.005", lambda n: str(n * 9)), {}, None, "'1.005' is read as 1.005 and could be 1005"),
        (dots, {"decimal": "point"}, None, ""),
        (sometimes("0.5", dots, 60), {}, None, "'1.005' is read as 1.005 and could be 1005"),
        (lambda n: f"{n}.25", {"decimal": "comma"}, None, "its numbers are read in another form"),
        (lambda n: f"{n % 7}", {"kinds": {"x": "categorical"}}, tuple("0123456"), ""),
        (
            lambda n: ("1.1", "1.10", "1.9", "2.0")[n % 4],
            {"kinds": {"x": "categorical"}},
            ("1.1", "1.10", "1.9", "2.0"),
            "'1.1' and '1.10' are the same number, and two of the labels",
        ),
        (
            lambda n: ("2E1", "20", "A1")[n % 3],
            {},
            ("20", "A1"),
            "'20' and '2E1' are the same number, and one of the labels",
        ),
        (
            lambda n: ("Cat", "cat ", "dog")[n % 3],
            {},
            ("Cat", "cat", "dog"),
            "'Cat' and 'cat' are two of the labels, and differ in case, blanks or a dot at most",
        ),
        (
            lambda n: ("<=50K", "<=50K.", ">50K")[n % 3],
            {},
            ("<=50K", "<=50K.", ">50K"),
            "'<=50K' and '<=50K.' are two of the labels",
        ),
        (
            lambda n: ("cafe\u0301", "caf\u00e9", "bar")[n % 3],
            {},
            ("bar", "cafe\u0301", "caf\u00e9"),
            "'cafe\u0301' and 'caf\u00e9' are two of the labels",
        ),
        (
            once("118lbs", lambda n: f"{n}kg" if n % 9 else str(n)),
            {},
            NumberFormat(sign="kg"),
            "cells without 'kg', such as '0'",
        ),
        (lambda n: "low" if n % 5 else str(n), {"kind_share": 0.5}, ("low",), ""),
        (sometimes("low", lambda n: str(n % 90), 5), {"kinds": {"x": "numeric"}}, None, ""),
        (sometimes("unk", lambda n: str(n % 90), 3), {"missing_words": ("unk",)}, None, ""),
    ],
)
def test_what_the_cells_leave_open_is_guessed_or_set(
    tmp_path: Path, cell: Cell, settings: dict[str, Any], wanted: object, guess: str
) -> None:
    """Protects the user's say, and the report of each guess."""
    out = run(tmp_path, {"x": cell, "y": lambda n: f"{n % 90}"}, **settings)
    x = schema_of(out).features[1]
    if wanted == ("low",):
        assert x.kind == "categorical"
    else:
        assert wanted in {x.format, x.number_format, x.categories}
    guesses = [found["guess"] for found in report_of(out)["guesses"] if found["column"] == "x"]
    assert guesses[0].startswith(guess) if guess else not guesses


@pytest.mark.parametrize(
    ("delimiter", "other", "wanted"),
    [
        (";", "12", NumberFormat(",", "")),
        (";", "12.5", NumberFormat(".", ",")),
        ("|", "12", NumberFormat(".", ",")),
        ("|", "12,5", NumberFormat(",", "")),
    ],
)
def test_numbers_with_either_mark_follow_the_other_columns(
    tmp_path: Path, delimiter: str, other: str, wanted: NumberFormat
) -> None:
    """Protects tables from countries where 1,100 is a little more than 1, also their targets."""
    rows = (f"{n % 9 + 1},{n + 100}{delimiter}{other}{n}{delimiter}{n % 7 + 1},{n + 100}" for n in range(99))
    (tmp_path / "in").mkdir()
    text = "\n".join([delimiter.join(("x", "other", "y")), *rows])
    (tmp_path / "in/a.csv").write_text(text, encoding="utf-8")
    prepare(Settings("y"), tmp_path / "in", tmp_path / "out")
    schema = schema_of(tmp_path / "out")
    assert {schema.features[0].number_format, schema.target.number_format} == {wanted}
    first, second = ("1.1", "1100") if wanted.decimal == "," else ("1100", "1.1")
    guesses = {each["guess"] for each in report_of(tmp_path / "out")["guesses"]}
    assert f"'1,100' is read as {first} and could be {second}: set decimal" in guesses


def test_points_that_the_other_columns_show_are_no_guess(tmp_path: Path) -> None:
    """Protects guesses that matter from one for each column with three decimals."""
    out = run(tmp_path, {"x": lambda n: f"{n % 9 + 1}.{n + 100}", "z": lambda n: f"{n}.5", "y": str})
    assert "x" not in {each["column"] for each in report_of(out)["guesses"]}


def test_a_file_with_the_other_mark_is_refused(tmp_path: Path) -> None:
    """Protects a year of months from one that was saved in another country: 1,234 is not 1234 there."""
    (tmp_path / "in").mkdir()
    for name, mark, delimiter in (("m11", ".", ","), ("m12", ",", ";")):
        rows = [f"{n % 9 + 1}.{n + 100},{n}.5".translate({44: delimiter, 46: mark}) for n in range(99)]
        (tmp_path / f"in/{name}.csv").write_text("\n".join([f"x{delimiter}y", *rows]), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"m12\.csv: its numbers have decimal commas, and those of m11\.csv have"
    ):
        prepare(Settings("y"), tmp_path / "in", tmp_path / "out")


def test_settings_are_read_as_cells_are() -> None:
    """Protects a word for a missing value from blanks, and the user from a traceback."""
    assert environment.read(ReadingSettings, {"MISSING_WORDS": '[" unk "]'}).missing_words == ("unk",)
    with pytest.raises(UserError, match=r"KINDS is .* and must be a JSON object from columns to one of"):
        environment.read(ReadingSettings, {"KINDS": '{"x": []}'})


def test_dates_are_of_the_format_that_reads_all_of_them_in_any_batch() -> None:
    """Protects 2030-1-5 in a large column, of which some batches have dates such as 2030-01-05 alone."""
    cells = [f"20{10 + n // 28}-01-{n % 28 + 1:02}" for n in range(ROWS)] + ["2030-1-5"] * 9
    with pl.Config():
        pl.Config.set_streaming_chunk_size(7)
        decision = kinds.decide(Texts(pl.LazyFrame({TEXT: cells}), len(cells), len(cells)), ReadingSettings())
    assert (decision.date_format, decision.fits) == ("yyyy-m-d", len(cells))


@pytest.mark.parametrize(
    ("cell", "task", "classes", "strays"),
    [
        (once("n/a", lambda n: f"{n / 2}"), "auto", None, 0),
        (once("oops", lambda n: f"{n / 2}"), "auto", None, 1),
        (sometimes("oops", lambda n: f"{n / 2}", 24), "regression", None, 10),
        (once("oops", lambda n: f"{n % 3}"), "auto", ("0", "1", "2"), 1),
        (once("oops", lambda n: f"{n % 3}"), "classification", ("0", "1", "2", "oops"), 0),
        (lambda n: f"${n * 7:,}", "auto", None, 0),
        (lambda n: f"{n % 90} kg", "auto", None, 0),
        (lambda n: f"0:{n % 20:02}", "auto", tuple(f"0:{n:02}" for n in range(20)), 0),
        (lambda n: f"0:{n % 30:02}", "classification", tuple(f"0:{n:02}" for n in range(30)), 0),
        (lambda n: ("030", "0341", "07621", "6221")[n % 4], "auto", ("030", "0341", "6221", "07621"), 0),
        (lambda n: f"0{n % 4 + 1}", "auto", ("01", "02", "03", "04"), 0),
        (lambda n: ("1", "1.0", "2", "02")[n % 4], "auto", ("1", "2"), 0),
        (lambda n: ("Yes", "no", "yes")[n % 3], "auto", ("no", "Yes"), 0),
        (lambda n: "T" if n % 30 == 0 else "YN"[n % 2], "auto", ("N", "T", "Y"), 0),
        (lambda n: "f" if n % 30 == 0 else "yYnN"[n % 4], "auto", ("N", "Y", "f"), 0),
        (once("yes", lambda n: ("Yes", "No")[n % 2]), "auto", ("No", "Yes"), 0),
        (lambda n: ("N", "Y", "T")[n % 3], "auto", ("N", "T", "Y"), 0),
        (sometimes("maybe", lambda n: ("yes", "no")[n % 2], 24), "auto", ("maybe", "no", "yes"), 0),
    ],
)
def test_the_target_is_read_as_any_column(
    tmp_path: Path, cell: Cell, task: str, classes: tuple[str, ...] | None, strays: int
) -> None:
    """Protects the task from a few cells, and classes from being numbers: a label stays as it is written."""
    out = run(tmp_path, {"y": cell}, task)
    target, report = schema_of(out).target, report_of(out)
    assert target.classes == classes
    assert report["dropped"]["without_target"] == strays + (cell(50) == "n/a")
    data = encode.read(out / "train", schema_of(out))
    raw = [target.encode(cell(int(row))) for row in data.features[:, 0]]
    assert np.array_equal(data.target, raw)


REFUSED: list[tuple[dict[str, Cell], dict[str, Any], str]] = [
    (
        {"y": sometimes("None", lambda n: str(n % 60))},
        {},
        (
            "a.csv: row 12: 'y' is missing, as in 20 of 240 rows: more than 5% of the rows have no target. "
            "'None' is a word for a missing value; where it is a class, write another in the data. "
            "Complete the rows, or set max_missing_target of [data]"
        ),
    ),
    (
        {"y": once("oops", lambda n: str(n / 2))},
        {"max_missing_target": 0.0},
        "a.csv: row 51: 'y' is missing, as in 1 of 240 rows: more than 0% of the rows have no target",
    ),
    (
        {"y": sometimes("oops", lambda n: str(n / 2))},
        {},
        (
            "a.csv: 'y' is neither numbers nor classes (91.6% of its cells are numbers, fewer than 95%; "
            "the first other text is 'oops', a.csv: row 12): name a word for a missing value in missing_words"
        ),
    ),
    (
        {"y": lambda n: f"0:{n % 60:02}"},
        {},
        (
            "a.csv: 'y' is neither numbers nor classes (its cells look like durations or times of day, which "
            "are not read as numbers; the first is '0:00', a.csv: row 1): write it as plain"
        ),
    ),
    (
        {"y": lambda n: f"{n % 60 + 1}{'kM'[n % 2]}"},
        {},
        (
            "a.csv: 'y' is neither numbers nor classes (its cells look like numbers with several units or "
            "decimal marks, which"
        ),
    ),
    (
        {"y": lambda n: f"name {n % 90}" if n < 180 else ""},
        {"max_missing_target": 0.5},
        "a.csv: 'y' has 90 classes in 180 rows, and each in fewer than 3",
    ),
    (
        {"y": lambda n: f"2024-{n % 205 // 28 + 1:02}-{n % 205 % 28 + 1:02}"},
        {},
        (
            "a.csv: 'y' has 205 classes, and at most 100 are supported (its cells are dates): "
            "choose another target, such as a number of days, as dates can't be predicted"
        ),
    ),
    (
        {"y": lambda n: f"{n % 12 + 1}/{n % 28 + 1}/{2000 + n % 5}" if n % 30 else "?!"},
        {},
        (
            "a.csv: 'y' has 233 classes, and at most 100 are supported (96.6% of its cells are dates): "
            "choose another target, such as a number of days"
        ),
    ),
    (
        {"x": sometimes("7", lambda n: "abcd"[n % 4]), "y": str},
        {"kinds": {"x": "numeric"}},
        "a.csv: row 1: [data.kinds] sets 'x' to numeric, and only 8.3% of its cells are numbers: this",
    ),
    (
        {"x": lambda n: "abcd"[n % 4], "y": str},
        {"kinds": {"x": "date"}},
        "a.csv: row 1: [data.kinds] sets 'x' to date, and only 0% of its cells are dates: this one is 'a'",
    ),
    (
        {"x": lambda n: "abcd"[n % 4], "y": str},
        {"kinds": {"X": "categorical"}},
        "[data.kinds] names a column that is not there: a.csv: no column is named 'X'. Did you mean 'x'?",
    ),
    ({"y": str}, {"kinds": {"y": "date"}}, "[data.kinds] sets 'y' to date, and it is the target"),
]


@pytest.mark.parametrize(
    ("cell", "settings", "reason"),
    [
        (
            lambda n: str(n * 37 % 60) if n % 5 < 2 else "abcdefg"[n % 7],
            {},
            "40% of its cells are numbers, fewer than 95%; the first other text is 'c', a.csv: row 3",
        ),
        (
            lambda n: f"2024-01-{n % 28 + 1:02}" if n % 8 == 0 else "abcdefg"[n % 7],
            {},
            "12.5% of its cells are dates, fewer than 95%; the first other text is 'b', a.csv: row 2",
        ),
        (
            sometimes("low", lambda n: f"{n % 9},5"),
            {"decimal": "point"},
            (
                "decimal is point, and 91.6% of its cells are numbers with ',' before decimals, fewer than "
                "95%; the first other text is 'low', a.csv: row 12"
            ),
        ),
        (lambda n: "x" if n % 24 else "7", {}, ""),
        (lambda n: "tfabcdenmq"[n % 10], {}, ""),
    ],
)
def test_text_that_is_something_else_in_part_is_reported(
    tmp_path: Path, cell: Cell, settings: dict[str, Any], reason: str
) -> None:
    """Protects the user from a column of text that was meant for numbers, and from noise."""
    out = run(tmp_path, {"x": cell, "y": lambda n: f"{n / 2}"}, **settings)
    assert schema_of(out).features[1].kind == "categorical"
    assert [each["reason"] for each in report_of(out)["kinds"] if each["column"] == "x"] == [reason] * bool(
        reason
    )


@pytest.mark.parametrize(("cells", "settings", "message"), REFUSED)
def test_a_refusal_names_the_cell(
    tmp_path: Path, cells: dict[str, Cell], settings: dict[str, Any], message: str
) -> None:
    """Protects the user from a symptom where the cause is known."""
    with pytest.raises(UserError) as refused:
        run(tmp_path, cells, **settings)
    assert str(refused.value).startswith(message)


def test_numbers_with_a_type_have_a_decimal_point(tmp_path: Path) -> None:
    """Protects Parquet beside CSV with decimal commas: the setting is for text."""
    (tmp_path / "in").mkdir()
    numbers = [n * 1.001 % 7 for n in range(ROWS)]
    commas = [f"{n % 7},5" for n in range(ROWS)]
    pl.DataFrame({"x": numbers, "c": commas, "y": HALVES}).write_parquet(tmp_path / "in/a.parquet")
    prepare(Settings("y", reading=ReadingSettings(decimal="comma")), tmp_path / "in", tmp_path / "out")
    schema = schema_of(tmp_path / "out")
    assert [feature.number_format for feature in schema.features] == [None, NumberFormat(",")]
    data = encode.read(tmp_path / "out/train", schema)
    assert set(data.features[:, 0]) <= set(numbers)
    assert set(data.features[:, 1]) == {n + 0.5 for n in range(7)}


def test_points_between_thousands_of_the_target_are_no_decimals(tmp_path: Path) -> None:
    """Protects prices of a German export, below and above 1.000."""
    out = run(tmp_path, {"y": dots})
    data = encode.read(out / "train", schema_of(out))
    assert np.array_equal(data.target, 200 + 7 * data.features[:, 0])
    assert report_of(out)["guesses"][0]["column"] == "y"


@pytest.mark.parametrize(
    ("cell", "missing"),
    [
        (sometimes("-999.0", lambda n: f"{n % 90}.5"), ["-999", "-999.0", "-9.99e2"]),
        (sometimes("-999,00", lambda n: f"{n % 90},5"), ["-999", "-999,0", "-999.0"]),
        (sometimes("$-999.00", lambda n: f"${n % 90}"), ["-999", "$-999"]),
        (sometimes("-999.0", lambda n: str(n % 3)), ["-999", "-999.0"]),
        (sometimes("-999.0", lambda n: "abc"[n % 3]), ["-999", "-999.00"]),
    ],
)
@pytest.mark.parametrize("name", ["x", "y"])
def test_a_number_that_means_missing_does_so_in_every_spelling(
    tmp_path: Path, cell: Cell, missing: list[str], name: str
) -> None:
    """Protects training, requests and labels from -999.0, which programs write for the word -999."""
    target = name == "y"
    others: dict[str, Cell] = {"y": cell} if target else {"x": cell, "y": lambda n: f"{n / 7}"}
    out = run(tmp_path, others, missing_words=("-999",), max_missing_target=0.1)
    schema, report = schema_of(out), report_of(out)
    column: Any = schema.target if target else schema.features[1]
    assert all(np.isnan(column.encode(text)) for text in missing)
    data = encode.read(out / "train", schema)
    cells = data.target if target else data.features[:, 1]
    raw = [column.encode(cell(int(row))) for row in data.features[:, 0]]
    assert np.array_equal(cells, raw, equal_nan=True)
    assert np.isnan(raw).any() != target
    assert [found["cells"] for found in report["taken_as_missing"]] == [20]
    assert report["dropped"]["without_target"] == 20 * target
    if not target:
        decoder = FeatureDecoder(column)
        sent, *_ = decoder.decode([-999, -999.0, *missing])
        assert np.isnan(sent).all()
        assert ColumnReader(column).texts(pl.Series(missing)).null_count() == len(missing)


def test_a_column_can_be_excluded(tmp_path: Path) -> None:
    """Protects against a column that the user knows to leak."""
    out = run(tmp_path, {"x": str, "y": str}, kinds={"x": "excluded"})
    assert report_of(out)["left_out"][-1] == {"column": "x", "reason": "[data.kinds] excludes it"}


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        ({"1.0": 5, "2.0": 5}, {"1.0": "1", "2.0": "2"}),
        ({"1.0": 5, "2.5": 5}, {"1.0": "1.0", "2.5": "2.5"}),
        ({"v1.05": 5, "1": 5}, {"v1.05": "v1.05", "1": "1"}),
        ({"1.1": 5, "1.10": 5, "2.0": 1, "2.00": 1}, {text: text for text in ("1.1", "1.10", "2.0", "2.00")}),
        ({"2.0": 2, "2.00": 1}, {"2.0": "2", "2.00": "2"}),
        ({f"{2**53}": 2, f"{2**53 + 1}.0": 1}, {f"{2**53}": f"{2**53}", f"{2**53 + 1}.0": f"{2**53 + 1}"}),
        ({"01": 5, "1": 6, "2": 1}, {"01": "1", "1": "1", "2": "2"}),
        (
            {"true": 5, "True": 6, "0": 3, "1": 1, "FALSE": 2},
            dict.fromkeys(["true", "True", "1"], "True") | dict.fromkeys(["0", "FALSE"], "FALSE"),
        ),
        ({"yes": 1, "Yes": 2}, {"yes": "Yes", "Yes": "Yes"}),
        ({"00": 3, "001": 3, "y": 1, "n": 1}, {"00": "00", "001": "001", "y": "001", "n": "00"}),
        ({"Yes": 1, "No": 2}, {"Yes": "Yes", "No": "No"}),
    ],
)
def test_equal_texts_are_one_label(counts: dict[str, int], labels: dict[str, str]) -> None:
    """Protects classes and categories: equal texts are one, spelled as it is written most often."""
    assert columns.spell_labels(counts, Reading()) == labels
    classes = tuple(dict.fromkeys(labels.values()))
    assert [classes.index(label) for label in labels.values()] == [*map(Labels(classes).find, labels)]


def bit(n: int) -> str:
    return ("0", "1", "1.0")[n % 3]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (bit, {"boolean": True}),
        (once("", bit), {"boolean": True}),
        (once("unknown", bit), {"strays": True, "boolean": True}),
        (once("yes", lambda n: f"{n % 2}.0"), {"strays": True}),  # it was missing for the model
        (once("2", bit), {}),
        (once("0.5", bit), {}),
    ],
)
def test_a_number_of_only_0_and_1_is_boolean_in_requests(
    tmp_path: Path, cell: Cell, expected: dict[str, bool]
) -> None:
    """Protects a program that reads the same column as booleans; other numbers refuse booleans."""
    out = run(tmp_path, {"x": cell, "y": lambda n: f"{n}.5"})
    content = json.loads((out / "schema/schema.json").read_text())["features"][1]
    assert content == {"name": "x", "kind": "numeric"} | expected
    decoder = RequestDecoder(schema_of(out), number_parser.create(2))
    texts = ["true", "False", "YES", "no", "T", "1", "0.0"]
    rows = "\n".join(f"1,{text}" for text in texts).encode()
    objects = json.dumps(
        [{"row": 1, "x": value} for value in [True, False, "Yes", "no", "t", 1, 0.0]]
    ).encode()
    for body, kind in ((rows, CSV), (objects, JSON), (b"1,true", CSV), (b"[[1, true]]", JSON)):
        if expected.get("boolean"):
            batch = decoder.decode(body, kind)
            assert (batch.missing, batch.unknown) == (0, 0)
            assert batch.rows[:, 1].tolist() == [1, 0, 1, 0, 1, 1, 0][: len(batch.rows)]
        elif not expected:
            with pytest.raises(RequestError, match=r"boolean|'true' is not a number"):
                decoder.decode(body, kind)
