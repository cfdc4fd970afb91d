"""A table in Parquet gives what it gives in CSV, or a refusal that names the file and the column."""

import base64
import datetime as dt
import json
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from container.data import encode, parquet_files, split, tables
from container.data.reading import ReadingSettings
from container.data.schema import Feature, Schema, Target
from container.data.values import Labels
from container.monitor import reading
from container.prepare import Settings, prepare
from container.runtime.errors import UserError

ROWS = 60
VALUES: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "whole": (st.integers(-(2**63), 2**63 - 1), pl.Int64),
    "small": (st.integers(-3, 3), pl.Int8),
    "unsigned": (st.integers(0, 2**64 - 1), pl.UInt64),
    "float": (st.floats(allow_infinity=False), pl.Float64),
    "single": (st.floats(allow_infinity=False, width=32), pl.Float32),
    "exact": (st.decimals(-999, 999, places=3), pl.Decimal(10, 3)),
    "flag": (st.booleans(), pl.Boolean),
    "text": (st.sampled_from(["red", "a,b", ' "x"\n', "007", "NA", "", "größe"]), pl.String),
    "code": (st.sampled_from(["red", "blue"]), pl.Categorical),
    "day": (st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), pl.Date),
    "moment": (st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)), pl.Datetime("us")),  # noqa: DTZ001 - a table has times without a zone
    "milli": (st.integers(0, 2**40), pl.Datetime("ms")),
    "nano": (st.integers(-(2**51), 2**51).map(lambda micros: 1000 * micros), pl.Datetime("ns")),
    "zoned": (st.integers(0, 2**50), pl.Datetime("us", "Europe/Rome")),
    "nothing": (st.none(), pl.Null),
}


@st.composite
def frames(draw: st.DrawFn) -> pl.DataFrame:
    """Draw a table of the types that a model can use, with missing values in each column but the target."""
    chosen = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True))
    columns = {"steady": pl.Series(range(ROWS)), "y": pl.Series(range(ROWS)) / 7}
    for name in chosen:
        values, kind = VALUES[name]
        drawn = draw(st.lists(values | st.none(), min_size=ROWS, max_size=ROWS))
        columns[name] = pl.Series(drawn, dtype=kind)
    return pl.DataFrame(columns)


def run(
    folder: Path, *files: tuple[str, pl.DataFrame], target: str = "y", kinds: dict[str, str] | None = None
) -> Path:
    for name, frame in files:
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path) if name.endswith("parquet") else frame.write_csv(path)
    settings = Settings(target, reading=ReadingSettings(kinds or {}))
    prepare(settings, folder / "in", folder / "out")
    return folder / "out"


def outcome(out: Path) -> tuple[Schema, list[bytes]]:
    """Return the schema, and each split's rows as a model sees them."""
    schema = Schema.read(out / "schema/schema.json")
    parts = [encode.read(out / name, schema) for name in split.NAMES]
    return schema, [np.column_stack([part.target, part.features]).tobytes() for part in parts]


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report/report.json").read_text())  # type: ignore[no-any-return]


ONE_MOMENT = pl.DataFrame(
    {
        "steady": range(ROWS),
        "y": [n / 7 for n in range(ROWS)],
        "milli": pl.Series([0] + [None] * (ROWS - 1), dtype=pl.Datetime("ms")),
    }
)


@settings(max_examples=25, deadline=None)
@given(frames())
@example(ONE_MOMENT)
def test_a_table_gives_the_same_in_csv_and_in_parquet(
    tmp_path_factory: pytest.TempPathFactory, frame: pl.DataFrame
) -> None:
    """Protects schema and splits from the kind of file that a table comes in."""
    folder = tmp_path_factory.mktemp("kinds")
    written = run(folder / "csv", ("a.csv", frame))
    assert outcome(run(folder / "parquet", ("a.parquet", frame))) == outcome(written)


# Of each type a value that some program spells in several ways.
ONE_VALUE: dict[str, Any] = {
    "whole": 2**62 + 1,
    "small": 1,
    "unsigned": 2**63,
    "float": 1.0,
    "single": 0.5,
    "exact": Decimal("1.500"),
    "flag": True,
    "text": ' "x"\n',
    "code": "red",
    "day": dt.date(1970, 1, 1),
    "moment": dt.datetime(1970, 1, 1, 12),  # noqa: DTZ001 - a table has times without a zone
    "milli": 0,
    "nano": 1_500_000_000,
    "zoned": 0,
}


def test_columns_of_one_value_and_gaps_are_the_same_in_csv_and_in_parquet(tmp_path: Path) -> None:
    """Protects the label of the one value, which has more or fewer zeros in another kind of file."""
    columns = {
        name: pl.Series([value, None, value] * (ROWS // 3), dtype=VALUES[name][1])
        for name, value in ONE_VALUE.items()
    }
    frame = pl.DataFrame({**columns, "steady": range(ROWS), "y": [n / 7 for n in range(ROWS)]})
    schema, parts = outcome(run(tmp_path / "parquet", ("a.parquet", frame)))
    assert (schema, parts) == outcome(run(tmp_path / "csv", ("a.csv", frame)))
    labels = {feature.name: feature.categories for feature in schema.features}
    assert labels["milli"] == ("1970-01-01",)
    assert labels["moment"] == ("1970-01-01T12:00:00",)
    assert labels["nano"] == ("1970-01-01T00:00:01.5",)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_that_are_labels_are_the_same_in_csv_and_in_parquet(tmp_path: Path, unit: Any) -> None:
    """Protects categories that a person sets and classes that are times, in the order of their moments."""
    moments = [dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1, 12, 0, 0, 500_000)] * (ROWS // 2)  # noqa: DTZ001 - as above
    times = pl.Series(moments, dtype=pl.Datetime(unit))
    frame = pl.DataFrame({"x": [n * n / 7 for n in range(ROWS)], "c": times, "y": times})
    found = [
        outcome(run(tmp_path / kind, (f"a.{kind}", frame), kinds={"c": "categorical"}))
        for kind in ("csv", "parquet")
    ]
    assert found[0] == found[1]
    expected = ("1970-01-01", "1970-01-01T12:00:00.5")
    assert (found[0][0].target.classes, found[0][0].features[1].categories) == (expected, expected)


@pytest.mark.parametrize("zone", [None, "Europe/Rome", "+05:30"])
def test_nanoseconds_of_parquet_are_cut_to_microseconds(zone: str | None) -> None:
    """Protects trained models: their labels of such times have the texts that earlier versions read."""
    made = None if zone == "+05:30" else zone  # polars makes no column of a fixed offset
    times = pl.Series([1, 1_500_000_001, 999]).cast(pl.Datetime("ns", made)).to_frame()
    texts = times.select(parquet_files.text(0, "time", pl.Datetime("ns", zone))).to_series()
    assert [text[19:].split("+")[0] for text in texts] == ["", ".500", ""]


def test_a_time_is_found_by_each_spelling_and_first_by_its_own() -> None:
    """Protects trained models: the texts of their schemas keep their codes, and other spellings have them."""
    spellings = ("1970-01-01T00:00:00.000", "1970-01-01T00:00:00", "1970-01-01 00:00:00", "1970-01-01")
    for text in spellings:
        assert [Labels((text,)).find(other) for other in spellings] == [0] * len(spellings)
    assert [Labels(spellings).find(text) for text in spellings] == [0, 1, 2, 3]
    assert Labels(("1970-01-01T00:00:00.001",)).find("1970-01-01") is None
    feature = Feature("time", "categorical", spellings[-1:])
    schema = reading.of_baseline(Schema(Target("y", "regression"), (feature,)))
    counted = reading.readers(schema)["time"].texts(pl.Series(spellings))
    assert list(counted) == [spellings[-1]] * len(spellings)


def test_several_files_of_both_kinds_are_one_table(tmp_path: Path) -> None:
    """Protects data that comes in parts: in any order of columns and of both kinds it is the whole."""
    frame = pl.DataFrame({"x": range(90), "c": ["a", "b", None] * 30, "y": [n / 7 for n in range(90)]})
    whole = run(tmp_path / "whole", ("a.csv", frame))
    parts = run(
        tmp_path / "parts",
        ("a.parquet", frame[:30]),
        ("b/b.csv", frame[30:60].select("y", "c", "x")),
        ("c.parquet", frame[60:].select("c", "y", "x")),
    )
    assert outcome(parts) == outcome(whole)
    assert [file["name"] for file in report(parts)["files"]] == ["a.parquet", "b/b.csv", "c.parquet"]


def test_typed_dates_are_those_of_a_csv_in_another_format(tmp_path: Path) -> None:
    """Protects training, splits and requests from dates that are typed in one file and texts in another."""
    days = [dt.date(2022, 1, 1) + dt.timedelta(days=3 * n) for n in range(ROWS)]
    typed = pl.DataFrame({"day": days, "y": [n / 7 for n in range(ROWS)]})
    texts = typed.with_columns(pl.col("day").dt.strftime("%-m/%-d/%Y"))
    whole, features = outcome(run(tmp_path / "whole", ("a.csv", texts)))
    assert whole.features[0].format == "mm/dd/yyyy"
    parts = run(tmp_path / "parts", ("a.csv", texts[:30]), ("b.parquet", typed[30:]))
    assert outcome(parts) == (whole, features)
    assert not report(parts)["taken_as_missing"]
    assert outcome(run(tmp_path / "typed", ("a.parquet", typed)))[1] == features


def test_no_digit_is_lost(tmp_path: Path) -> None:
    """Protects values that a float can't hold: they are as long in the prepared files."""
    long = 2**62 + 1
    frame = pl.DataFrame(
        {
            "x": [long + n * n for n in range(ROWS)],
            "z": [0.1] * 30 + [0.3] * 30,
            "y": [n / 7 for n in range(ROWS)],
        },
        schema_overrides={"z": pl.Float32},
    )
    out = run(tmp_path, ("a.parquet", frame))
    lines = [
        line.split(",") for name in split.NAMES for line in (out / name / f"{name}.csv").read_text().split()
    ]
    assert {line[1] for line in lines} == {"x", *(str(long + n * n) for n in range(ROWS))}
    assert {line[2] for line in lines} == {"z", "0.1", "0.3"}


def test_what_no_cell_can_hold_is_left_out_with_the_reason(tmp_path: Path) -> None:
    """Protects the user from a column that is silently gone, and a model from one that means nothing."""
    frame = pl.DataFrame(
        {
            "list": [[n] for n in range(ROWS)],
            "struct": [{"a": n} for n in range(ROWS)],
            "binary": [b"x%d" % n for n in range(ROWS)],
            "took": [dt.timedelta(seconds=n) for n in range(ROWS)],
            "clock": [dt.time(n % 24) for n in range(ROWS)],
            "__index_level_0__": range(ROWS),
            "x": range(ROWS),
            "y": [n / 7 for n in range(ROWS)],
        }
    )
    out = run(tmp_path, ("a.parquet", frame))
    assert [feature.name for feature in Schema.read(out / "schema/schema.json").features] == ["x"]
    assert {left["column"]: left["reason"] for left in report(out)["left_out"]} == {
        "list": "its type is list, and a cell must hold one value",
        "struct": "its type is struct, and a cell must hold one value",
        "binary": "its type is binary, which no model can use",
        "took": "its type is duration, which no model can use",
        "clock": "its type is time, which no model can use",
        "__index_level_0__": "it holds the labels that pandas gave the rows",
    }


def good(**columns: Any) -> pl.DataFrame:
    made: dict[str, Any] = {"x": range(ROWS), "y": [n / 7 for n in range(ROWS)], **columns}
    return pl.DataFrame(made)


REFUSED: dict[str, tuple[dict[str, pl.DataFrame], str]] = {
    "other columns": (
        {"a.parquet": good(), "b.csv": good(z=0)},
        "b.csv: its columns differ from those of a.parquet in 'z': all files must have the same columns",
    ),
    "other types": (
        {"a.parquet": good(), "b.csv": good(), "c.parquet": good(x=[f"{n}" for n in range(ROWS)])},
        "c.parquet: 'x' holds text, and in a.parquet numbers: a column must be of one type in all files",
    ),
    "nested target": (
        {"a.parquet": good(y=[[n] for n in range(ROWS)])},
        "a.parquet: 'y' can't be the target: its type is list, and a cell must hold one value",
    ),
    "NUL": ({"a.parquet": good(x=["a\0", "b"] * 30)}, "a.parquet: the column 'x' holds a NUL character"),
    "infinite": (
        {"a.parquet": good(x=[float("inf")] + [1.5] * (ROWS - 1))},
        "a.parquet: row 1: 'x' is 'inf', and numbers must be finite",
    ),
    "names twice": ({"a.parquet": good(**{" x": 1})}, "a.parquet: two columns are named 'x'"),
    "header again": (
        {"a.parquet": good(x=["X"] + ["a", "b", "c"] * 19 + ["a", "b"], y=["y "] + ["p"] * 30 + ["q"] * 29)},
        "a.parquet: row 1 is the header again: remove it",
    ),
    "no rows": ({"a.parquet": good()[:0]}, "a.parquet: there are no rows"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(tmp_path: Path, case: str) -> None:
    """Protects the user's time: the file, the column and the rule."""
    files, message = REFUSED[case]
    with pytest.raises(UserError) as refused:
        run(tmp_path, *files.items())
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"x,y\n1,2\n",
        lambda content: content[:-20],
        lambda content: content[:4] + bytes(len(content) // 4) + content[4 + len(content) // 4 :],
    ],
    ids=["empty", "CSV", "cut off", "overwritten"],
)
def test_a_damaged_file_is_named(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    """Protects against a traceback in place of the file's name."""
    path = tmp_path / "a.parquet"
    good(c=["a", "b"] * 30).write_parquet(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=r"^a\.parquet: it can't be read as Parquet"):
        tables.inspect(path, tmp_path)


@pytest.mark.parametrize(
    ("spellings", "meaning"),
    [
        (["1", "1.0", "1e0", "+1", "001"], "1"),
        (["0.5", ".5", "5e-1", "0.50"], "0.5"),
        (["", "NA", "null", "NaN", "?"], ""),
        (["2024-01-31", "2024-01-31 00:00:00", "2024-01-31T00:00:00.000"], "2024-01-31"),
        (["2024-01-31 12:00:00.5+01:00", "2024-01-31T12:00:00.500000+0100"], "2024-01-31T12:00:00.5+0100"),
        (["9007199254740993"], "9007199254740993"),
        (["red"], "red"),
    ],
)
def test_what_cells_mean_has_one_spelling(spellings: list[str], meaning: str) -> None:
    """Protects the splits when another program writes the same table."""
    cells = pl.DataFrame({"cell": spellings})
    assert set(cells.select(tables.canonicalize(pl.col("cell"))).to_series()) == {meaning}


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4"])
def test_every_common_codec_is_read(tmp_path: Path, codec: Any) -> None:
    """Protects files of Spark, pandas, DuckDB and BigQuery, whose defaults differ."""
    path = tmp_path / "a.parquet"
    good(c=["a", "b"] * 30).write_parquet(path, compression=codec)
    assert tables.scan(tables.inspect(path, tmp_path)).collect().height == ROWS


# Arrow's timestamps with a fixed offset, and with a zone that is not known, which polars can't write.
OFFSET = (
    "c-lo#!AiqG5S_%Z6!9XsVHXz3!32b~HliNHgR`Y-siiegq{mQ7RM5t>8t@zZC_l~FO^gqAXLvL3&9FPeG~vJ%S26b}VVo%da"
    "OvzgaD6C_b{TL_#^)f|X8E*w&A3ZM=n7{W9^8NLs~8M?Pb#S*P}CeUkW}VG`r6k~XQap)NO*P3WaJumDtJ-H*C3VH!!(^fUe"
    "@;F$2l=L%aQPaHO7b)>Ktzna~#+bYK=HC$pCR=iT_9#nrq%<bE6~uo$;~0x^c$g*mmlw6=AE_{l=f>EZR9WWmmhk%Y9)oeVJ"
    "5$N)SPjmG2*`ZFgA|-K;FvRq(kgH_z+0;Pj%`?<G>1XI?k}Gx~vF9m`XB"
)
UNKNOWN = (
    "c-lo#!AiqG5S_%Z6!9XsVHXz3!32b~rlNx4!P!!2ZN(ZW(qkwg^-!CpwfPA@%1?7P3Gu<s4sYhY8FptF_c?IIRmdGm7-tFqY"
    "&u64Je`Y+V+P!j;VlTZTdvY|!fhgaTUdMlZ2EJmLNIV0siX=(QM1oLQkfI!YF7uHu_9|A;o~Kffo<HW-~=64gH+-K<M{34p|"
    "%&l)|J6chJ<&lF+nU*XZVbm;h-v^)`+hr86b`;;{PTLO_(>?+~`O@GCq~BZk%yAsXBGpim=t|sPU&ci*`;;RjZ9mh}ZXrY4o"
    "yM)_WlcFHef?ce?K`^SqlB#isNQX|em<e0kS*y{Olh$~^PJ0+`Vc`~fJ^Q>p"
)


@pytest.mark.parametrize(
    ("packed", "text"), [(OFFSET, "2023-11-15T03:43:20+0530"), (UNKNOWN, "2023-11-14T22:13:20+0000")]
)
def test_a_time_of_any_zone_is_read(tmp_path: Path, packed: str, text: str) -> None:
    """Polars panics at such a zone; the moment is the same in UTC."""
    path = tmp_path / "a.parquet"
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    table = tables.inspect(path, tmp_path)
    assert tables.scan(table).collect().rows() == [(text,), ("",)]
    assert table.kind_of("t") == "dates"


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_named_zone_is_read(tmp_path: Path, unit: Any) -> None:
    """Protects the offset at each moment, in every unit."""
    moments = pl.Series([dt.datetime(2024, 1, 1), dt.datetime(2024, 7, 1)], dtype=pl.Datetime(unit))  # noqa: DTZ001 - the zone follows
    pl.DataFrame({"t": moments.dt.replace_time_zone("Europe/Rome")}).write_parquet(tmp_path / "a.parquet")
    read = tables.scan(tables.inspect(tmp_path / "a.parquet", tmp_path)).collect()
    assert read.rows() == [("2024-01-01T00:00:00+0100",), ("2024-07-01T00:00:00+0200",)]


def test_another_file_that_is_named_parquet_is_named(tmp_path: Path) -> None:
    """Protects the user's time: what the file is."""
    (tmp_path / "a.parquet").write_bytes(b"ARROW1\0\0")
    with pytest.raises(
        UserError, match=r"can't be read as Parquet \(it is an Arrow, ORC or Avro file\): write"
    ):
        tables.inspect(tmp_path / "a.parquet", tmp_path)
