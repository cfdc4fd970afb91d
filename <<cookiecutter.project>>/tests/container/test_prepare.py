"""Tables become a schema and splits, or a refusal that names the file, the column and the row."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.data import identifiers, value_counts
from container.data.schema import Schema
from container.data.split import SplitSettings
from container.prepare import Settings, prepare
from container.runtime.environment import read
from container.runtime.errors import UserError

SETTINGS = Settings("y")
ROWS = range(120)


def run(root: Path, files: dict[str, str], task: str = "auto", target: str = "y", seed: int = 0) -> Path:
    for name, content in files.items():
        path = root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")
    prepare(Settings(target, task, SplitSettings(seed)), root / "in", root / "out")
    return root / "out"


def table(header: str, row: Callable[[int], str], rows: range = ROWS) -> str:
    return "\n".join([header, *(row(number) for number in rows)]) + "\n"


def rows_of(out: Path, name: str) -> list[list[str]]:
    with (out / name / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def schema_of(out: Path) -> Schema:
    return Schema.read(out / "schema/schema.json")


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "report/report.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("label", "task", "expected", "classes"),
    [
        (lambda n: "abc"[n % 3], "auto", "multiclass", ("a", "b", "c")),
        (lambda n: str(n % 2 == 0), "auto", "binary", ("False", "True")),
        (lambda n: ["True", "true", "FALSE"][n % 3], "auto", "binary", ("FALSE", "True")),
        (lambda n: str(n % 2), "auto", "binary", ("0", "1")),
        (lambda n: f"{n % 12}.0", "auto", "multiclass", tuple(map(str, range(12)))),
        (lambda n: str(n % 20), "auto", "multiclass", tuple(map(str, range(20)))),
        (lambda n: str(n % 21), "auto", "regression", None),
        (lambda n: str(n % 21), "classification", "multiclass", tuple(map(str, range(21)))),
        (lambda n: str(n % 3), "regression", "regression", None),
        (lambda n: f"{n % 2}.5", "auto", "regression", None),
        (lambda n: f"{10**22 * (n % 2 + 1)}", "auto", "regression", None),
    ],
)
def test_the_task_follows_from_the_target(
    tmp_path: Path, label: Callable[[int], str], task: str, expected: str, classes: tuple[str, ...] | None
) -> None:
    """Protects the rule: text, booleans and 2 to 20 whole numbers are classes, unless the settings say."""
    target = schema_of(run(tmp_path, {"a.csv": table("x,y", lambda n: f"{n},{label(n)}")}, task)).target
    assert (target.task, target.classes) == (expected, classes)


REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "target near": (
        {"a.csv": table("x,Y1", lambda n: f"{n},{n}")},
        "auto",
        "a.csv: no column is named 'y'. Did you mean 'Y1'? The columns are: x, Y1",
    ),
    "target unknown": (
        {"a.csv": table("x,label", lambda n: f"{n},{n}")},
        "auto",
        "a.csv: no column is named 'y'. The columns are: x, label",
    ),
    "no rows": ({"a.csv": "x,y\n"}, "auto", "a.csv: there are no rows below the header"),
    "blank rows": ({"a.csv": "x,y\n\n\n"}, "auto", "a.csv: there are no rows below the header"),
    "few rows": (
        {"a.csv": table("x,y", lambda n: f"{n},{n}", range(9))},
        "auto",
        "a.csv: 9 rows have a target, and at least 10 are needed",
    ),
    "one class": (
        {"a.csv": table("x,y", lambda n: f"{n},a")},
        "auto",
        "a.csv: row 1: 'y' is 'a' in every row",
    ),
    "one class in two spellings": (
        {"a.csv": table("x,y", lambda n: f"{n},{['1', '1.0'][n % 2]}")},
        "auto",
        "a.csv: 'y' has one class only",
    ),
    "target missing": (
        {"a.csv": table("x,y", lambda n: f"{n},{'NA' if n % 10 == 4 else n}")},
        "auto",
        "a.csv: row 5: 'y' is missing, as in 12 of 120 rows: more than 5% of the rows have no target",
    ),
    "text among numbers": (
        {"a.csv": table("x,y", lambda n: f"{n},{'oops' if n % 10 == 7 else n / 8}")},
        "auto",
        "a.csv: 'y' is neither numbers nor classes (90% of its cells are numbers, fewer than 95%; the first",
    ),
    "text in a regression": (
        {"a.csv": table("x,y", lambda n: f"{n},{'ab'[n % 2]}")},
        "regression",
        "a.csv: row 1: 'y' is 'a', which is not a number, and TASK is regression",
    ),
    "too many classes": (
        {"a.csv": table("x,y", lambda n: f"{n},id{n}")},
        "auto",
        "a.csv: 'y' has 120 classes, and at most 100 are supported",
    ),
    "infinite feature": (
        {"a.csv": table("x,y", lambda n: f"{'inf' if n == 3 else n},{n}")},
        "auto",
        "a.csv: row 4: 'x' is 'inf', and numbers must be finite",
    ),
    "infinite target": (
        {"a.csv": table("x,y", lambda n: f"{n},{'1e999' if n == 3 else n}")},
        "auto",
        "a.csv: row 4: 'y' is '1e999', and numbers must be finite",
    ),
    "nothing to learn from": (
        {"a.csv": table("name,y", lambda n: f"n{n},{n}")},
        "auto",
        "a.csv: no column besides the target can be used. 'name': it is text that differs",
    ),
    "other header": (
        {"a.csv": table("x,y", lambda n: f"{n},{n}"), "b.csv": table("z,y", lambda n: f"{n},{n}")},
        "auto",
        "b.csv: its columns differ from those of a.csv in 'x'",
    ),
    "bad row in the second file": (
        {"a.csv": table("x,y", lambda n: f"{n},{n}"), "b/b.csv": "x,y\n1,2\n3\n"},
        "auto",
        "b/b.csv: row 2 (line 3) has 1 cells",
    ),
    "infinite in the second file": (
        {"a.csv": table("x,y", lambda n: f"{n},{n}"), "b.csv": "y,x\n1,2\n2,inf\n"},
        "auto",
        "b.csv: row 2: 'x' is 'inf'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_refused(tmp_path: Path, case: str) -> None:
    """Protects the user's time: the file, the column, the first row at fault and the rule."""
    files, task, message = REFUSED[case]
    with pytest.raises(UserError) as refused:
        run(tmp_path, files, task)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TARGET is not set"),
        ({"TARGET": "y", "TASK": "ranking"}, "TASK is 'ranking'"),
        ({"TARGET": "y", "SEED": "x"}, "SEED is 'x'"),
        ({"TARGET": "y", "TEST_FRACTION": "1"}, "TEST_FRACTION is '1'"),
        ({"TARGET": "y", "TEST_FRACTION": "nan"}, "TEST_FRACTION is 'nan'"),
        ({"TARGET": "y", "TEST_FRACTION": "0.5", "VALIDATION_FRACTION": "0.5"}, "VALIDATION_FRACTION and"),
    ],
)
def test_settings_are_refused_by_name(environment: dict[str, str], message: str) -> None:
    """Protects against a job that runs with settings nobody meant."""
    with pytest.raises(UserError, match=message):
        read(Settings, environment)


def test_columns_are_told_apart(tmp_path: Path) -> None:
    """Protects each column's kind, and the list of those left out with its reasons."""
    header = ",number,gaps,flag,day,city,name,one,none,code,y"

    def row(n: int) -> str:
        city = f"c{n % 150}" if n % 3 else "Rome"
        day = f"2024-02-{n % 28 + 1:02} 10:00"
        return f"{n},{n / 7},{'?' if n % 5 else n},{n % 2 == 0},{day},{city},n{n},1,NA,{n:05},{n / 3}"

    out = run(tmp_path, {"a.csv": table(header, row, range(600))})
    kinds = {feature.name: feature.kind for feature in schema_of(out).features}
    assert kinds == {
        "number": "numeric",
        "gaps": "numeric",
        "flag": "categorical",
        "day": "date",
        "city": "categorical",
    }
    assert {left["column"]: left["reason"] for left in report_of(out)["left_out"]} == {
        "": "it has no name",
        "name": "it is text that differs in every row",
        "one": "it has one value",
        "none": "every value is missing",
        "code": identifiers.NUMBERING,
    }
    city = next(feature for feature in schema_of(out).features if feature.name == "city")
    assert city.other
    assert len(city.categories or ()) == 99
    assert "Rome" in (city.categories or ())


def test_a_few_texts_in_a_column_of_numbers_are_missing_and_told(tmp_path: Path) -> None:
    """Protects a numeric column from one bad cell, and the user from not hearing of it."""
    out = run(
        tmp_path, {"a.csv": table("x,z,y", lambda n: f"{'bad' if n == 9 else n / 4},{n},{n / 3}", range(300))}
    )
    assert report_of(out)["taken_as_missing"] == [
        {
            "column": "x",
            "cells": 1,
            "first": "a.csv: row 10",
            "text": "bad",
            "why": "does not fit the column's kind",
        }
    ]
    assert schema_of(out).features[0].kind == "numeric"


def test_rows_without_a_target_are_dropped_and_counted(tmp_path: Path) -> None:
    """Protects the counts that the report gives."""
    out = run(tmp_path, {"a.csv": table("x,y", lambda n: f"{n},{'' if n in {3, 50} else n}") + "\n"})
    report = report_of(out)
    assert report["dropped"] == {"blank": 1, "without_target": 2}
    assert report["rows"] == {"read": 121, "kept": 118}
    assert sum(report["splits"].values()) == 118


@settings(max_examples=15, deadline=None)
@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=20, max_size=40, unique=True),
    order=st.permutations(["price", "size", "c", "y"]),
    seed=st.integers(0, 9),
)
def test_splits_hold_every_row_once_with_its_exact_numbers(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float], order: list[str], seed: int
) -> None:
    """Protects float64 values to the last bit, and the split from the order of the columns."""
    cells = [
        {"price": repr(n), "size": str(k * k), "c": "pq"[k % 2], "y": repr(n / 3)}
        for k, n in enumerate(numbers)
    ]

    def made(columns: list[str]) -> Path:
        lines = [",".join(columns), *(",".join(cell[column] for column in columns) for cell in cells)]
        return run(tmp_path_factory.mktemp("split"), {"a.csv": "\n".join(lines)}, "regression", seed=seed)

    found = {}
    for out in (made(["price", "size", "c", "y"]), made(order)):
        rows = {name: rows_of(out, name) for name in ("train", "validation", "test")}
        found[out] = {
            name: sorted(
                (float(row[0]), float(row[header.index("price")]), int(row[header.index("size")]))
                for row in body
            )
            for name, (header, *body) in rows.items()
        }
    first, second = found.values()
    assert first == second
    together = sorted(row for part in first.values() for row in part)
    assert together == sorted((n / 3, n, k * k) for k, n in enumerate(numbers))


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    """Protects reproducibility: files, schema and report."""
    lines = table("x,c,y", lambda n: f"{n / 7},{random.Random(n).choice('abc')},{n / 3}")
    outs = [run(tmp_path / name, {"a.csv": lines, "b.csv": lines}) for name in ("one", "two")]
    files = [{path.relative_to(out): path.read_bytes() for path in out.rglob("*.*")} for out in outs]
    assert files[0] == files[1]
    assert len(files[0]) == 9


def test_whole_numbers_are_written_as_such(tmp_path: Path) -> None:
    """Protects the monitor, which knows by it that a fraction is a fault; no digit of a long one is lost."""
    long = 2**62 + 1
    out = run(tmp_path, {"a.csv": table("x,y,z", lambda n: f"{n}.0,{n}.5,{long + n}")})
    written = {
        cell for name in ("train", "validation", "test") for row in rows_of(out, name)[1:] for cell in row[1:]
    }
    assert written == {str(n) for n in range(120)} | {str(long + n) for n in range(120)}


def test_the_baseline_is_the_training_split_without_its_target(tmp_path: Path) -> None:
    """Protects the monitor, which compares requests with this file."""
    out = run(
        tmp_path, {"a.csv": table("x,c,y", lambda n: f"{n % 50},{'' if n % 9 == 0 else 'ab'[n % 2]},{n / 3}")}
    )
    assert rows_of(out, "baseline") == [row[1:] for row in rows_of(out, "train")]
    assert rows_of(out, "baseline")[0] == ["x", "c"]


def test_names_and_texts_of_any_kind_pass(tmp_path: Path) -> None:
    """Protects names that look like patterns, positions or paths, and text with every mark."""
    header = '^x$,"a,b",*,0,row,größe,y'
    out = run(
        tmp_path,
        {
            "a.csv": table(
                header, lambda n: f'{n / 2},{n % 7},{n % 5},{n % 3},{n * n % 50},"""ä"", {n % 2}\nz",{n / 3}'
            )
        },
    )
    assert [feature.name for feature in schema_of(out).features] == ["^x$", "a,b", "*", "0", "row", "größe"]
    assert {row[6] for row in rows_of(out, "train")[1:]} == {'"ä", 0\nz', '"ä", 1\nz'}


def test_files_with_their_columns_in_another_order_are_one_table(tmp_path: Path) -> None:
    """Protects data that several programs wrote."""
    out = run(
        tmp_path,
        {"a.csv": table("x,y", lambda n: f"{n},{n / 3}"), "b.csv": table("y,x", lambda n: f"{n / 3},{n}")},
    )
    assert report_of(out)["rows"]["kept"] == 240
    assert all(float(row[0]) == int(row[1]) / 3 for row in rows_of(out, "train")[1:])


@pytest.mark.parametrize("text", [lambda n: f"n{n // 2}", lambda n: f"n{n * n % 251}", lambda n: f"n{n}"])
def test_many_texts_are_counted_as_few_are(
    tmp_path: Path, text: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the commonest categories of a column with more texts than are held at once, ties and all."""
    lines = table("x,c,y", lambda n: f"{n},{text(n)},{n / 3}", range(600))
    few = run(tmp_path / "few", {"a.csv": lines})
    monkeypatch.setattr(value_counts, "MAX_COUNTED", 40)
    many = run(tmp_path / "many", {"a.csv": lines})
    assert schema_of(many) == schema_of(few)
    assert report_of(many) == report_of(few)
