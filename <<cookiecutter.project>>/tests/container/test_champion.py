"""Production's model is measured on the new model's test rows, or the reason why it can't be is reported."""

import errno
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from container import learned_rows, model_artifact, models
from container.data import encode, metrics
from container.data.encode import TabularDataset
from container.data.schema import Feature, Schema, Target
from container.data.split_keys import SplitKeys
from container.data.values import NumberFormat, Reading
from container.evaluation import champion, golden
from container.runtime.errors import UserError

SIZE, COLOUR = Feature("size", "numeric"), Feature("colour", "categorical", ("blue", "red"))
DAY = Feature("day", "date", format="iso8601")
SCHEMA = Schema(Target("y", "regression"), (SIZE, COLOUR, DAY))


def table(schema: Schema, count: int = 60, seed: int = 5) -> TabularDataset:
    """Return rows of a schema as `prepare` writes them, all columns in the schema's order."""
    random = np.random.default_rng(seed)
    cells = {
        "size": [str(value) for value in random.normal(size=count)],
        "colour": [("blue", "red", "")[value] for value in random.integers(0, 3, count)],
        "day": [f"2024-01-{value:02}" for value in random.integers(1, 29, count)],
        "more": [str(value) for value in range(count)],
    }
    labels = [
        str(float(size) + 2 * (colour == "red"))
        for size, colour in zip(cells["size"], cells["colour"], strict=True)
    ]
    columns = {str(number): cells[one.name] for number, one in enumerate(schema.features, 1)}
    text = pl.DataFrame({"0": labels, **columns})
    return TabularDataset(text, encode.encode(text, schema, "test.csv"), np.array(labels, dtype=np.float64))


def made(
    schema: Schema, path: Path, name: str = "linear_model", learned: TabularDataset | None = None
) -> Path:
    """Train a model on rows of a schema, and pack it as SageMaker does; `name` is that in model.json.

    `learned` are the rows of its record.
    """
    module, rows = models.module("linear_model"), table(schema, seed=6)
    model = module.create(schema, module.Hyperparameters(), 0)
    model.fit(rows.features, rows.target, None)
    path.mkdir()
    model.save(path)
    schema.write(path / model_artifact.SCHEMA)
    learned_rows.write(path, (learned or rows,))
    (path / model_artifact.MODEL).write_text(json.dumps({"version": 1, "model": name}))
    return packed(path)


def packed(path: Path) -> Path:
    archive = path.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as opened:
        for file in path.iterdir():
            opened.add(file, file.name)
    return archive


@pytest.mark.parametrize(
    "features", [(SIZE, COLOUR, DAY), (DAY, SIZE, COLOUR), (SIZE, COLOUR), (Feature("more", "numeric"), SIZE)]
)
def test_a_champion_is_measured_on_the_same_rows(tmp_path: Path, features: tuple[Feature, ...]) -> None:
    """Columns are selected by name; columns that only the new model has are ignored."""
    own = Schema(SCHEMA.target, features)
    archive = made(own, tmp_path / "champion")
    wanted = Schema(SCHEMA.target, (*SCHEMA.features, Feature("more", "numeric")))
    compared = champion.measure(archive, wanted, table(wanted))
    found = compared.report
    loaded = model_artifact.load(tmp_path / "champion")
    rows = table(own)
    scores = metrics.scores(rows.target, loaded.predict(rows.features), own.target)
    assert found == {"metrics": scores, "rows": 60, "left_out": 0}
    assert compared.predicted is not None
    assert compared.predicted.tolist() == loaded.predict(rows.features).tolist()
    assert found["metrics"]["rmse"] < 2


def test_a_champion_with_a_former_name_is_measured(tmp_path: Path) -> None:
    """Protects the comparison of the first training after an update that renamed the model."""
    archive = made(SCHEMA, tmp_path / "champion", "linear_regression")
    assert champion.measure(archive, SCHEMA, table(SCHEMA)).report["metrics"]["rmse"] < 2
    assert model_artifact.load(tmp_path / "champion").name == "linear_model"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (replace(SCHEMA, features=(COLOUR, DAY)), "it asks for the column 'size', which the new model does"),
        (replace(SCHEMA, features=(*SCHEMA.features[1:], Feature("size", "categorical", ("a",)))), "'size'"),
        (
            replace(SCHEMA, features=(SIZE, COLOUR, replace(DAY, format="dd.mm.yyyy"))),
            "its column 'day' is a date like iso8601, and the new model's is a date like dd.mm.yyyy",
        ),
        (
            replace(SCHEMA, target=Target("y", "binary", ("no", "yes"))),
            "it predicts 'y', a number, and the new model 'y', one of no, yes",
        ),
        (replace(SCHEMA, target=Target("z", "regression")), "it predicts 'y', a number, and the new model"),
    ],
)
def test_what_cannot_be_compared_is_reported(tmp_path: Path, given: Schema, fault: str) -> None:
    """A sentence names the column or the target that differs."""
    archive = made(SCHEMA, tmp_path / "champion")
    found = champion.measure(archive, given, table(SCHEMA)).report
    assert fault in found["fault"]


@pytest.mark.parametrize("broken", ["missing", "cut", "older", "another"])
def test_a_champion_that_cannot_be_loaded_stops_no_challenger(tmp_path: Path, broken: str) -> None:
    """Whatever other code has written, the fault is one line."""
    archive = made(SCHEMA, tmp_path / "champion")
    if broken == "missing":
        archive.unlink()
    elif broken == "cut":
        archive.write_bytes(archive.read_bytes()[:200])
    else:
        content = {"version": 0, "model": "linear_model"} if broken == "older" else {"version": 1}
        (tmp_path / "champion" / model_artifact.MODEL).write_text(json.dumps(content))
        archive = packed(tmp_path / "champion")
    found = champion.measure(archive, SCHEMA, table(SCHEMA)).report
    assert found.keys() == {"fault"}
    assert 0 < len(found["fault"]) <= champion.MAX_FAULT
    assert "\n" not in found["fault"]


def test_a_model_that_breaks_is_reported(tmp_path: Path) -> None:
    """An unexpected exception is a fault of the champion, with its name."""
    made(SCHEMA, tmp_path / "champion")
    (tmp_path / "champion" / "model.skops").write_bytes(b"no model")
    found = champion.measure(packed(tmp_path / "champion"), SCHEMA, table(SCHEMA)).report
    assert found.keys() == {"fault"}


def test_a_full_disk_is_not_a_fault_of_the_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new model would win without a comparison."""

    def extract(_: Path, into: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(into))

    archive = made(SCHEMA, tmp_path / "champion")
    monkeypatch.setattr(model_artifact, "extract", extract)
    with pytest.raises(OSError, match="No space left on device"):
        champion.measure(archive, SCHEMA, table(SCHEMA))


def part(rows: TabularDataset, chosen: slice) -> TabularDataset:
    return TabularDataset(rows.text[chosen], rows.features[chosen], rows.target[chosen])


def test_test_rows_that_the_champion_learned_from_are_left_out(tmp_path: Path) -> None:
    """Protects the comparison after a change of the split: both models are measured on the other rows."""
    rows = table(SCHEMA, 200)
    archive = made(SCHEMA, tmp_path / "champion", learned=part(rows, slice(0, 150)))
    compared = champion.measure(archive, SCHEMA, rows)
    assert compared.rows is not None
    assert compared.rows.tolist() == [False] * 150 + [True] * 50
    loaded, kept = model_artifact.load(tmp_path / "champion"), part(rows, slice(150, 200))
    scores = metrics.scores(kept.target, loaded.predict(kept.features), SCHEMA.target)
    assert compared.report == {"metrics": scores, "rows": 50, "left_out": 150}
    predicted = loaded.predict(rows.features)
    requests = golden.requests(loaded, rows, predicted, compared.rows)["requests"]
    assert [each["answer"] for each in requests] == predicted[150:].tolist()
    assert len(golden.requests(loaded, rows, predicted)["requests"]) == 100


def test_too_few_rows_that_are_left_make_no_comparison(tmp_path: Path) -> None:
    """A small test split of which no row is known is compared, as ever."""
    rows = table(SCHEMA, 200)
    archive = made(SCHEMA, tmp_path / "champion", learned=part(rows, slice(0, 151)))
    assert champion.measure(archive, SCHEMA, rows).report == {
        "fault": "no comparison was possible: it has learned from 151 of 200 test rows, as after a change of "
        "the split, and 49 are left of at least 50"
    }
    assert champion.measure(archive, SCHEMA, table(SCHEMA, 20, seed=9)).report["rows"] == 20


@pytest.mark.parametrize(("kind", "shift", "said"), [(1, 150, "50 of 200"), (1, 100, ""), (2, 150, "")])
def test_models_that_learned_few_rows_in_common_are_named(
    tmp_path: Path, kind: int, shift: int, said: str
) -> None:
    """Protects from a champion that learned the test rows, in numbers of other decimals."""
    archive = made(SCHEMA, tmp_path / "champion", learned=keyed(1, 0, 200))
    (tmp_path / "own").mkdir()
    learned_rows.write(tmp_path / "own", (keyed(kind, shift, 300),))
    rows = replace(table(SCHEMA), keys=SplitKeys(1, np.arange(900, 960, dtype=np.uint64)))
    found = champion.measure(archive, SCHEMA, rows, tmp_path / "own").report
    assert (found["left_out"], found.get("in_common", "")) == (0, said)


def test_only_the_smallest_keys_of_long_records_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from a warning where ten times the rows hold all rows of the champion."""
    monkeypatch.setattr(learned_rows, "MAX_CHECKSUMS", 100)
    for name, first, step in (("own", 0, 1), ("champion", 0, 10)):
        (tmp_path / name).mkdir()
        learned_rows.write(tmp_path / name, (keyed(1, first, 1000, step),))
    assert learned_rows.in_common(tmp_path / "own", tmp_path / "champion") == (10, 10)


def keyed(kind: int, first: int, count: int, step: int = 1) -> TabularDataset:
    """Return rows with keys that begin at a number."""
    keys = SplitKeys(kind, np.arange(first, first + count * step, step, dtype=np.uint64))
    return replace(table(SCHEMA, count), keys=keys)


def test_a_champion_without_a_record_of_its_rows_makes_no_comparison(tmp_path: Path) -> None:
    """An older release wrote none: its training rows may be test rows now."""
    made(SCHEMA, tmp_path / "champion")
    record = tmp_path / "champion" / learned_rows.FILE
    record.unlink()
    fault = champion.measure(packed(tmp_path / "champion"), SCHEMA, table(SCHEMA)).report["fault"]
    assert fault.startswith("no comparison was possible: its artifact has no learned_rows.npy")
    np.save(record, np.array([{}], dtype=object), allow_pickle=True)
    fault = champion.measure(packed(tmp_path / "champion"), SCHEMA, table(SCHEMA)).report["fault"]
    assert fault.startswith("no comparison was possible: its learned_rows.npy is damaged")


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (
            NumberFormat(",", "."),
            None,
            "it reads the column 'size' as numbers with the decimal mark '.', and",
        ),
        (
            NumberFormat(","),
            NumberFormat(".", ","),
            "as numbers with the decimal mark '.', groups separated by",
        ),
        (NumberFormat(".", ",", "$"), NumberFormat(".", ",", "€"), "and the sign '€', and the new model as"),
        (NumberFormat(sign="%"), None, "'.', and the new model"),
        (None, NumberFormat(sign="%"), "and the sign '%', and the new model"),
        (None, NumberFormat(sign="Mio."), "and the sign 'Mio.', and the new model"),
        (NumberFormat(sign="kg"), None, ""),
        (NumberFormat(".", ","), None, ""),
        (None, NumberFormat(".", ",", "$"), ""),
    ],
)
def test_a_champion_that_reads_numbers_otherwise_is_not_compared(
    tmp_path: Path, ours: NumberFormat | None, theirs: NumberFormat | None, fault: str
) -> None:
    """Protects the comparison from 1,074 that is 1.074 or 1074, and from 123% that may be 1.23."""
    champions, new = (
        replace(SCHEMA, features=(replace(SIZE, number_format=style), COLOUR, DAY))
        for style in (theirs, ours)
    )
    found = champion.measure(made(champions, tmp_path / "champion"), new, table(new)).report
    assert found["fault"].startswith("no comparison was possible: ") if fault else "fault" not in found
    assert fault in found.get("fault", "")
    champions, new = (
        replace(SCHEMA, target=replace(SCHEMA.target, number_format=style)) for style in (theirs, ours)
    )
    found = champion.measure(made(champions, tmp_path / "second"), new, table(new)).report
    assert ("fault" in found) == bool(fault)
    for style in (ours, theirs):
        assert not style or style.sign in found.get("fault", style.sign)


def reads(words: tuple[str, ...] = (), version: int = 2, *features: Feature) -> Schema:
    """Return a schema with words for missing."""
    reading = Reading(version, words)
    return Schema(
        replace(SCHEMA.target, reading=reading),
        tuple(replace(feature, reading=reading) for feature in features or (SIZE, COLOUR, DAY)),
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (
            reads(("red",)),
            reads(),
            "it reads the column 'colour' as having the value 'red', which is missing",
        ),
        (reads(("-999", "not asked")), reads(), ""),  # no size is missing
        (reads(), reads(("-999",)), ""),
        (reads(), reads(("7",)), "it reads the column 'more' as missing where it is '7', which is a value"),
        (reads(), reads((), 1), ""),
        (
            reads(),
            reads((), 1, SIZE, replace(COLOUR, other=True)),
            "it reads the column 'colour' as having the value",
        ),
    ],
)
def test_a_champion_with_other_words_for_missing_is_compared_where_no_cell_changes(
    tmp_path: Path, ours: Schema, theirs: Schema, fault: str
) -> None:
    """Protects the comparison after a change of missing_words: prepared cells have our words taken out."""
    more = Feature("more", "numeric", reading=ours.reading)
    wider = replace(theirs, features=(*theirs.features, replace(more, reading=theirs.reading)))
    ours = replace(ours, features=(*ours.features, more))
    found = champion.measure(made(wider, tmp_path / "champion"), ours, table(ours)).report
    assert ("fault" in found) == bool(fault), found
    assert fault in found.get("fault", "")


DAY_AND_MIDNIGHT = ("2020-01-01", "2020-01-01 00:00:00")


@pytest.mark.parametrize(
    ("ours", "theirs", "fault"),
    [
        (
            ("2020-01-01", "x"),
            (*DAY_AND_MIDNIGHT, "x"),
            "as having the values '2020-01-01' and '2020-01-01 0",
        ),
        (
            ("1", "x"),
            ("1", "1.0", "x"),
            "as having the values '1' and '1.0', which are one for the new model",
        ),
        ((*DAY_AND_MIDNIGHT, "x"), (*DAY_AND_MIDNIGHT, "x"), ""),
        (("y", "x"), (*DAY_AND_MIDNIGHT, "x"), ""),  # no cell is one of them
        (("1.1", "x"), ("1.1", "1.10", "x"), ""),  # the new model takes no versions for equal
        (("2020-01-01", "x"), ("2020-01-01 00:00:00", "x"), ""),
    ],
)
def test_a_champion_whose_labels_are_one_for_the_new_model_is_not_compared(
    tmp_path: Path, ours: tuple[str, ...], theirs: tuple[str, ...], fault: str
) -> None:
    """Protects the comparison with a champion of a time at which a day and its midnight were two labels."""
    wanted, champions = (
        replace(SCHEMA, features=(replace(COLOUR, categories=each), SIZE)) for each in (ours, theirs)
    )
    rows = labelled(wanted, ours)
    found = champion.measure(made(champions, tmp_path / "champion"), wanted, rows).report
    assert found.get("fault", "").startswith(
        "no comparison was possible: it reads the column 'colour'" if fault else ""
    )
    assert ("fault" in found) == bool(fault), found
    assert fault in found.get("fault", "")


def test_a_champion_whose_classes_are_one_for_the_new_model_is_not_compared() -> None:
    """Protects the names of the two classes in the reason, which may be beyond the first."""
    wanted, theirs = (
        replace(SCHEMA, target=Target.of_classes("y", (*"abcdef", *classes)))
        for classes in (DAY_AND_MIDNIGHT[:1], DAY_AND_MIDNIGHT)
    )
    with pytest.raises(
        UserError, match="column 'y' as having the values '2020-01-01' and '2020-01-01 00:00:00'"
    ):
        encode.rearranged(table(SCHEMA).text, wanted, theirs)


@pytest.mark.parametrize(
    ("word", "category", "refused"), [("2020-01-01", "2020-01-01", True), ("red", "red", False)]
)
def test_a_time_that_the_champion_reads_as_missing_makes_no_comparison(
    tmp_path: Path, word: str, category: str, *, refused: bool
) -> None:
    """Protects the comparison: the file may have another spelling, in which the champion reads a value."""
    ours, theirs = (
        reads(words, 2, replace(COLOUR, categories=(category, "x")), SIZE) for words in ((), (word,))
    )
    rows = labelled(ours, (category, "x"))
    found = champion.measure(made(theirs, tmp_path / "champion"), ours, rows).report
    reason = (
        f"it reads the column 'colour' as missing where it is '{word}', which is a value for the new model"
    )
    assert (reason in found.get("fault", "")) == refused == ("fault" in found)


def labelled(schema: Schema, colours: tuple[str, ...]) -> TabularDataset:
    """Return rows of a schema whose first feature has some labels in turn."""
    rows = table(schema)
    text = rows.text.with_columns(
        pl.Series("1", [colours[row % len(colours)] for row in range(rows.text.height)])
    )
    return replace(rows, text=text)
