"""Equal rows, the rows of a group and rows of one time are on one side of the split, and are counted."""

import random
import zlib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from container.data import assignment, split_keys
from container.data.reading import ReadingSettings
from container.data.split import NAMES, TRAIN, SplitSettings
from container.prepare import Settings, prepare
from container.runtime.errors import UserError
from tests.container.test_prepare import report_of, rows_of

ROWS = 400


def run(root: Path, row: Callable[[int], str], header: str = "g,x,y", **settings: Any) -> dict[str, Any]:
    """Prepare a table, and return its report."""
    rows, reading = settings.pop("rows", range(ROWS)), ReadingSettings(**settings.pop("reading", {}))
    (root / "in").mkdir(parents=True)
    (root / "in/a.csv").write_text("\n".join([header, *map(row, rows)]))
    prepare(Settings("y", split=SplitSettings(**settings), reading=reading), root / "in", root / "out")
    return report_of(root / "out")


def sides(root: Path, column: int = 1) -> dict[str, list[str]]:
    """Return the values of a column of the prepared tables, by split; the target is column 0."""
    return {name: [row[column] for row in rows_of(root / "out", name)[1:]] for name in NAMES}


def apart(found: dict[str, list[str]]) -> bool:
    """Return whether no value is in two splits."""
    values = [set(values) for values in found.values()]
    return sum(map(len, values)) == len(set.union(*values))


def test_equal_rows_are_on_one_side_and_counted(tmp_path: Path) -> None:
    """Protects the score of a table in which rows stand two to four times, in several spellings and ids."""
    draw = random.Random(1)
    lines = [f"{draw.random():.6f},{draw.choice('ab')}" for _ in range(200)]
    copies = [line for line in lines for _ in range(draw.randint(2, 4))]
    draw.shuffle(copies)
    report = run(
        tmp_path,
        lambda n: f"k{n},{n},{copies[n]}0".replace("0,", ",", 1) if n % 2 else f"k{n},{n},{copies[n]}0",
        "text,Id,x,y",
        rows=range(len(copies)),
    )
    assert report["duplicates"] == len(copies) - 200
    assert apart(sides(tmp_path))
    assert [left["column"] for left in report["left_out"]] == ["text", "Id"]
    assert report["splits"]["test"] == pytest.approx(len(copies) * 0.2, abs=6)


@pytest.mark.parametrize("label", [lambda n: f"{n / 7}", lambda n: "ab"[n % 2], lambda n: "ab"[n // 9 % 2]])
def test_the_rows_of_a_group_are_on_one_side(tmp_path: Path, label: Callable[[int], str]) -> None:
    """Protects the score from customers whose other rows were learned from, with several classes or one."""
    report = run(tmp_path, lambda n: f"{n // 9}.0,{n // 9 + n % 9 / 100},{label(n)}", group="g")
    values = {name: [cell.split(".")[0] for cell in cells] for name, cells in sides(tmp_path).items()}
    assert apart(values)
    counts = {name: len(set(cells)) for name, cells in values.items()}
    assert report["groups"] == {"column": "g", **counts, "rows_without": 0}
    assert report["splits"]["test"] == pytest.approx(ROWS * 0.2, abs=9)
    assert report["features"] == {"x": "numeric"}
    assert report["left_out"][0]["reason"].startswith("it is the group of the split")


def test_rows_without_a_group_are_groups_of_their_own(tmp_path: Path) -> None:
    """Protects a table in which few rows have a customer."""
    report = run(tmp_path, lambda n: f"{n // 9 if n % 10 else ''},{n / 7},{n / 3}", group="g")
    assert sum(report["groups"][name] for name in NAMES) == 45 + ROWS // 10
    assert report["groups"]["rows_without"] == ROWS // 10


@pytest.mark.parametrize("label", [lambda n: "ab"[n * 7 % 5 % 2], lambda n: str(n / 3)])
def test_three_groups_are_enough(tmp_path: Path, label: Callable[[int], str]) -> None:
    """Protects the study of three clinics: each split has one."""
    report = run(tmp_path, lambda n: f"{'pqr'[n % 3]},{n / 7},{label(n)}", group="g")
    assert [report["groups"][name] for name in NAMES] == [1, 1, 1]


def test_groups_of_many_digits_differ(tmp_path: Path) -> None:
    """Protects cards of 20 digits: as numbers they would be one group."""
    numbers = (89490200001234500000 + at for at in range(100))
    codes = [str(number) for number in numbers]
    report = run(tmp_path, lambda n: f"{codes[n // 4]},{n / 7},{n / 3}", group="g")
    assert sum(report["groups"][name] for name in NAMES) == 100
    assert report["guesses"] == []
    report = run(tmp_path / "feature", lambda n: f"{codes[n // 4]},{n / 7},{n / 3}")
    (guess,) = report["guesses"]
    assert guess["column"] == "g"
    assert "has more digits than a number keeps, as codes have" in guess["guess"]


def test_a_groups_split_depends_on_its_value_only(tmp_path: Path) -> None:
    """Protects the comparison with a former model when the customers' rows change or increase."""
    found = []
    for name, count in (("before", 300), ("after", 400)):
        (tmp_path / name).mkdir()
        run(tmp_path / name, lambda n: f"{n % 40},{n % 40 + n / 1000},{n / 3}", group="g", rows=range(count))
        cells = sides(tmp_path / name)
        found.append({part: {cell.split(".")[0] for cell in values} for part, values in cells.items()})
    assert not found[0]["train"] & found[1]["test"]


@pytest.mark.parametrize(
    ("moment", "first"),
    [
        (lambda n: f"2024-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}", "2024-"),
        (lambda n: str(2000 - n), ""),
        (lambda n: str(n / 8), ""),
    ],
)
@pytest.mark.parametrize("task", [lambda n: "ab"[n % 2], lambda n: str(n % 50 / 7)])
def test_the_newest_rows_test(
    tmp_path: Path, moment: Callable[[int], str], first: str, task: Callable[[int], str]
) -> None:
    """Protects an estimate for tomorrow, from dates or numbers, in any order of the rows."""
    report = run(tmp_path, lambda n: f"{moment(n * 5 % 336)},{n % 9},{task(n)}", time="g", rows=range(336))
    found = sides(tmp_path)
    key: Callable[[str], Any] = str if first else float
    keys = {name: [key(cell) for cell in cells] for name, cells in found.items()}
    assert max(keys["train"]) < min(keys["validation"]) <= max(keys["validation"]) < min(keys["test"])
    assert report["splits"]["test"] == pytest.approx(336 * 0.2, abs=1)
    assert report["time"]["column"] == "g"
    assert str(report["time"]["first_test"]).startswith(str(min(keys["test"])).removesuffix(".0"))


@pytest.mark.parametrize(
    ("count", "fractions"), [(1003, (0.2, 0.7)), (1007, (0.2, 0.7)), (303, (0.3, 0.6)), (95, (0.1, 0.8))]
)
def test_every_fraction_that_the_settings_allow_divides_times_that_differ(
    tmp_path: Path, count: int, fractions: tuple[float, float]
) -> None:
    """Protects a large test split from a refusal for a third of a row: a tenth of 1,003 rows is 100."""
    validation, test = fractions
    report = run(
        tmp_path,
        lambda n: f"{n},{n / 7},{n / 3}",
        rows=range(count),
        time="g",
        validation=validation,
        test=test,
    )
    assert report["splits"]["train"] == pytest.approx(count / 10, abs=1)


def test_equal_moments_are_on_one_side_and_rows_without_one_are_counted(tmp_path: Path) -> None:
    """Protects from rows of the day that is tested, and from rows that may be newer."""
    report = run(tmp_path, lambda n: f"{'' if n % 25 == 3 else n // 30},{n / 7},{n % 50}", time="g")
    assert apart(sides(tmp_path))
    assert report["dropped"] == {"blank": 0, "without_target": 0, "without_time": 16}
    assert report["rows"] == {"read": ROWS, "kept": ROWS - 16}


def test_a_time_that_is_no_feature_is_reported_with_its_guess(tmp_path: Path) -> None:
    """Protects from a report of equal rows that are together, and from an order of months that nobody saw."""
    reading = {"kinds": {"g": "excluded"}}
    report = run(
        tmp_path,
        lambda n: f"{n % 12 + 1}/{n % 11 + 1}/2024,{n % 40 / 7},{n % 40}",
        time="g",
        reading=reading,
    )
    assert report["time"]["guess"].startswith("every day could be a month")
    assert not apart(sides(tmp_path))
    assert report["equal_rows"] == "equal rows of one time are in one split"


@pytest.mark.parametrize("day", [lambda n: f"{n % 28 + 1}.{n // 28 % 12 + 1}.2024", lambda n: n / 8])
def test_up_to_a_tenth_of_the_times_may_be_other_texts(tmp_path: Path, day: Callable[[int], object]) -> None:
    """Protects a column whose last orders have no date yet: its rows are left out, as those without one."""
    report = run(tmp_path, lambda n: f"{'tbd' if n % 10 == 3 else day(n)},{n / 7},{n % 50}", time="g")
    assert report["dropped"]["without_time"] == ROWS / 10
    assert apart(sides(tmp_path, 2))


@pytest.mark.parametrize(
    ("settings", "row", "message"),
    [
        (
            {"group": "h"},
            lambda n: f"{n},{n / 7},{n}",
            "group of [data] in project.toml: no column is named 'h'",
        ),
        ({"time": "y"}, lambda n: f"{n},{n / 7},{n}", "'y' is the target, so it can't be the time"),
        ({"group": "g"}, lambda n: f"{n % 2},{n / 7},{n}", "'g' has 2 different values"),
        (
            {"group": "g"},
            lambda n: f"{n // 5 if n % 5 else '-'},{n / 7},{n}",
            "'g' is missing in 80 of 400 rows, and the group of the split may be missing in 10%",
        ),
        (
            {"group": "g"},
            lambda n: f"{n % 3},{n / 7},{'abc'[n % 3]}",
            (
                "'g' has 3 different values, and 3 of them must train, or a class of 'y' would have no "
                "training row: 'a' is in 1 of them. Validation and test need one each: add rows"
            ),
        ),
        ({"time": "g"}, lambda n: f"{n % 2},{n / 7},{n}", "'g' has 2 different values"),
        (
            {"time": "g"},
            lambda n: f"{2024 if n % 10 else 2000 + n // 10},{n / 7},{n}",
            (
                "the time 'g' leaves 24 rows to train on, since many rows have one time, and a quarter "
                "of the 260 that the fractions ask for must train"
            ),
        ),
        (
            {"time": "g"},
            lambda n: f"{'abc'[n % 3]},{n / 7},{n}",
            "'g' is the time of the split, but holds neither",
        ),
        ({"time": "g"}, lambda n: f"{n if n % 3 else ''},{n / 7},{n}", "'g' is missing in 134 of 400 rows"),
        (
            {"time": "g"},
            lambda n: f"{'tbd' if n % 8 == 1 else f'2024-01-{n % 28 + 1:02}'},{n / 7},{n}",
            "but 87.5% of its cells are dates, fewer than 90%; the first other text is 'tbd', a.csv: row 2: ",
        ),
        (
            {"time": "g", "reading": {"kinds": {"g": "date"}}},
            lambda n: f"{'tbd' if n % 8 == 1 else f'2024-01-{n % 28 + 1:02}'},{n / 7},{n}",
            "'g' is missing in 50 of 400 rows (the first other text is 'tbd', a.csv: row 2), and the time",
        ),
        (
            {"time": "g"},
            lambda n: f"{2000 + n % 20}-{n % 12 + 1:02},{n / 7},{n}",
            "'g' is the time of the split, but holds '2000-01' (a.csv: row 1), which is not a day: write",
        ),
        (
            {"time": "g"},
            lambda n: f"{2000 + n % 20}Q{n % 4 + 1},{n / 7},{n}",
            "holds '2000Q1' (a.csv: row 1)",
        ),
        (
            {"time": "g"},
            lambda n: f"{('Mar', 'Jun')[n % 2]} {2000 + n % 20},{n / 7},{n}",
            "holds 'Mar 2000' (a.csv: row 1)",
        ),
        ({"time": "g"}, lambda n: f"2024,{n / 7},{n}", "but it has one value: write dates or numbers"),
        (
            {"time": "g"},
            lambda n: f"{n},{n / 7},{'ab'[n > 390]}",
            "'y' is 'b' in 9 rows, and time = 'g' leaves",
        ),
        ({}, lambda n: f"{n % 2},{n % 2},{'ab'[n % 2]}", "2 of 400 rows are distinct"),
    ],
)
def test_what_cannot_be_split_is_refused_by_its_cause(
    tmp_path: Path, settings: dict[str, Any], row: Callable[[int], str], message: str
) -> None:
    """Protects the user's time: the setting, the column and the cause, not the symptom."""
    with pytest.raises(UserError) as refused:
        run(tmp_path, row, **settings)
    assert message in str(refused.value)


def test_group_and_time_exclude_each_other() -> None:
    """Protects from a split that keeps one of two promises."""
    with pytest.raises(UserError, match="GROUP is 'a' and TIME is 'b'"):
        SplitSettings(group="a", time="b")


def test_counts_of_few_kinds_of_rows_are_observations(tmp_path: Path) -> None:
    """Protects a table of counts: bound together, its rows would test a model on what it never saw."""
    draw = random.Random(3)
    kinds = [(sex, rank) for sex in "mf" for rank in "123"] * 150
    alive = [draw.random() < 0.2 + 0.6 * (sex == "f") for sex, _ in kinds]
    report = run(
        tmp_path,
        lambda n: f"{kinds[n][0]},{kinds[n][1]},{'yes' if alive[n] else 'no'}",
        "sex,rank,y",
        rows=range(len(kinds)),
    )
    assert report["equal_rows"].startswith("equal rows are in several splits: 150 rows on average")
    test = rows_of(tmp_path / "out", "test")[1:]
    assert (len(test), len({tuple(row[1:]) for row in test})) == (180, 6)


@pytest.mark.parametrize("settings", [{}, {"group": "g"}])
def test_the_only_rows_of_a_class_train(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Protects a retraining from a refusal that depends on the seed: others' rows have the same features."""
    for seed in range(6):
        run(tmp_path / f"{seed}", lambda n: f"{n // 4},{n // 4 / 7},{'ab'[n == 36]}", seed=seed, **settings)
        assert "b" in sides(tmp_path / f"{seed}", 0)["train"]
        assert apart(sides(tmp_path / f"{seed}"))


@pytest.mark.parametrize("rare", [lambda n: n % 5 == 0, lambda n: n % 5 < 2])
def test_other_groups_test_where_one_has_the_only_rows_of_a_class(
    tmp_path: Path, rare: Callable[[int], bool]
) -> None:
    """Protects a table of five clinics from a refusal: a class is in one or two, the others can test."""
    for seed in range(3):
        report = run(
            tmp_path / f"{seed}",
            lambda n: f"g{n % 5},{n / 7},{'rare' if rare(n) and n % 4 == 0 else 'pq'[n % 3 % 2]}",
            group="g",
            seed=seed,
        )
        assert sorted(report["groups"][name] for name in NAMES) == [1, 1, 3]
        assert "rare" in sides(tmp_path / f"{seed}", 0)["train"]


def test_a_split_by_groups_is_refused_only_where_there_is_none() -> None:
    """Protects small tables: all splits of up to six groups with three classes are tried."""
    random = np.random.default_rng(3)
    for seed in range(150):
        count = int(random.integers(3, 7))
        keys = np.repeat(np.arange(count, dtype=np.uint32), random.integers(3, 30, count))
        has = random.random((count, 3)) < random.choice([0.3, 0.5])
        has[~has.any(axis=1), 0] = True
        classes = np.array([random.choice(np.flatnonzero(has[key])) for key in keys], dtype=np.uint8)
        splits, _ = assignment.assign_blocks(classes, keys, SplitSettings(group="g", seed=seed))
        held = [set(classes[keys == key].tolist()) for key in range(count)]
        possible = any(
            set.union(*(held[key] for key in trained)) == set(classes.tolist())
            for trained in combinations(range(count), count - 2)
        )
        assert (len(set(splits.tolist())) == len(NAMES)) is possible, seed
        assert set(classes[splits == TRAIN].tolist()) == set(classes.tolist())


def test_rows_that_differ_in_the_target_only_are_in_one_split(tmp_path: Path) -> None:
    """Protects the test from rows whose features the model has learned with another answer."""
    report = run(tmp_path, lambda n: f"{n // 2 % 5},{n // 2 / 7},{n % 2}")
    assert report["equal_rows"] == "equal rows are in one split"
    assert report["duplicates"] == 0
    assert apart(sides(tmp_path, column=2))


SPELLED: dict[str, tuple[Callable[[int], str], ...]] = {
    "booleans": (lambda n: "True" if n % 2 else "False", lambda n: "ny"[n % 2], lambda n: "01"[n % 2]),
    "percentages": (lambda n: f"{n}%", lambda n: f"{n} %", str),
    "dollars": (lambda n: f"${n * 7 + 0.5:,.2f}", lambda n: f"{n * 7 + 0.5}", lambda n: f"{n * 7 + 0.5:.2f}"),
    "euros": (
        lambda n: f"{n + 1}.001,50 €",
        lambda n: f"{(n + 1) * 1000 + 1},5",
        lambda n: f"{n + 1}001,50",
    ),
    "dates": (
        lambda n: f"{n % 12 + 1}/{n // 12 % 28 + 1}/2024",
        lambda n: f"{n % 12 + 1:02}/{n // 12 % 28 + 1:02}/2024",
        lambda n: f"{n % 12 + 1}/{n // 12 % 28 + 1}/2024 00:00",
    ),
    "moments": (
        lambda n: f"2024-01-{n % 28 + 1:02}",
        lambda n: f"2024-01-{n % 28 + 1:02}T00:00:00Z",
        lambda n: f"2024-01-{n % 28 + 1:02} 01:00:00+01:00",
    ),
    "strays": (
        lambda n: "a lot" if n % 40 == 3 else str(n),
        lambda n: "much" if n % 40 == 3 else f"{n}.0",
        lambda n: "" if n % 40 == 3 else f"{n}e0",
    ),
    "words": (lambda n: "-99" if n % 40 == 3 else str(n), lambda n: "" if n % 40 == 3 else str(n)),
    "labels": (lambda n: f"0{n % 9}" if n % 10 else "x", lambda n: f"{n % 9}.0" if n % 10 else "x"),
}


@pytest.mark.parametrize("kind", SPELLED)
def test_copies_in_another_spelling_are_equal_rows(tmp_path: Path, kind: str) -> None:
    """Protects the test from copies that another program wrote: the model sees the same of them."""
    spelled = SPELLED[kind]
    report = run(
        tmp_path,
        lambda n: f'"{spelled[n % 3](n // 3)}",{n // 3 / 7},{"ab"[n // 3 % 2]}',
        rows=[n for n in range(600) if n % 3 < len(spelled)],
        reading={"missing_words": ("-99",)},
    )
    assert list(report["features"]) == ["g", "x"]
    assert apart(sides(tmp_path, column=2))
    assert report["duplicates"] == 200 * (len(spelled) - 1)


@pytest.mark.parametrize("kind", ["percentages", "dates", "moments", "dollars"])
def test_a_group_is_one_in_every_spelling(tmp_path: Path, kind: str) -> None:
    """Protects the score from a customer or a day that is written in two ways."""
    spelled = SPELLED[kind]
    report = run(
        tmp_path,
        lambda n: f'"{spelled[n % 3](n // 9)}",{n // 9 + n % 9 / 100},{n / 3}',
        group="g",
        rows=range(252),
    )
    assert sum(report["groups"][name] for name in NAMES) == 252 // 9
    assert apart({name: [cell.split(".")[0] for cell in cells] for name, cells in sides(tmp_path).items()})


def test_the_key_of_a_row_is_the_same_in_every_version(tmp_path: Path) -> None:
    """Protects the comparison with a former model: its test rows stay test rows."""
    run(tmp_path, lambda n: f'2024-01-{n % 28 + 1:02},{n / 7},"${n:,}",{n % 3 > 0},{n % 5}', "d,x,m,b,y")
    assert zlib.crc32("".join(sides(tmp_path, column=2)["test"]).encode()) == 970755270


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize("kinds", [{}, {"g": "excluded"}])
def test_copies_of_one_time_have_one_key(tmp_path: Path, copies: int, kinds: dict[str, str]) -> None:
    """Protects intervals from copies that are drawn apart: four of each row halved the width.

    Rows of several times are not copies, also where the time is not a feature.
    """
    reading = {"kinds": kinds}

    def row(n: int) -> str:
        day = n // copies
        return f"2024-{day // 28 + 1:02}-{day % 28 + 1:02},{day % 7 / 7},{day % 70 / 9}"

    run(tmp_path, row, rows=range(280 * copies), time="g", reading=reading)
    keys = [split_keys.read(tmp_path / "out" / name / split_keys.FILE) for name in NAMES]
    _, counts = np.unique(np.concatenate([each.rows for each in keys if each]), return_counts=True)
    assert counts.tolist() == [copies] * 280


def test_observations_of_one_time_have_keys_of_their_own(tmp_path: Path) -> None:
    """Protects a table of counts by year: bound together its test rows would be a handful."""
    run(tmp_path, lambda n: f"{2000 + n % 5},{n % 2},{'ab'[n % 3 % 2]}", time="g")
    test = split_keys.read(tmp_path / "out/test" / split_keys.FILE)
    assert test
    assert len(np.unique(test.rows)) == len(test.rows) == ROWS // 5
