"""Prediction of a file: requests, answers, and the scores that a person compares."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import tarfile
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl
import pytest
from container import learned_rows
from container.data import encode
from container.data.schema import Feature, Schema, Target
from container.data.values import NumberFormat
from container.payload.errors import RequestError
from container.payload.requests import RequestDecoder
from delivery.cloud import DeliveryError
from delivery.commands import infer as commands
from delivery.commands.project import Opener
from delivery.inference import model_server, predictions, result, rows, scores, source
from delivery.inference.methods import Method
from hypothesis import given
from hypothesis import strategies as st
from local import code, prediction, sample
from local.code import ProjectCode
from local.project import Project, read_project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import typer
    from container.data.dataset import Dataset

NUMBER, PAIR = Target("label", "regression"), Target("label", "binary", ("a", "b"))
CSV = 'a,label,b\n1,2.5,"x, y"\n3,,z\n'


def test_the_target_column_is_not_sent_to_the_model() -> None:
    """A model that gets the label would look perfect."""
    table = rows.read_table(CSV, "label")
    assert table.columns == ("a", "b")
    assert table.labels == ("2.5", "")
    assert table.body(0, 2) == 'a,b\r\n1,"x, y"\r\n3,z\r\n'


def test_plain_numbers_are_sent_in_the_format_of_the_data() -> None:
    """Protects a model of data with decimal commas from the project's own requests and rows of drift."""
    table = rows.read_table("a,b,y\n1.5,1.5,2.25\n", "y")
    euro = NumberFormat(",", ".")
    table = replace(table, formats={"a": euro, "y": euro})
    assert table.body(0, 1) == 'a,b\r\n"1,5",1.5\r\n'
    assert table.packed("y") == b'a,b,y\r\n"1,5",1.5,"2,25"\r\n'


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\nb"])
def test_a_line_break_within_a_cell_is_quoted(text: str) -> None:
    """Protects golden requests and others: without quotes a cell would be two rows."""
    assert next(csv.reader(io.StringIO(encode.line((text, "c")), newline=""))) == [text, "c"]
    table = rows.Table(("a",), ((text,),), None)
    assert list(csv.reader(io.StringIO(table.body(0, 1), newline=""))) == [["a"], [text]]


def test_file_without_labels_is_predicted_whole() -> None:
    table = rows.read_table(CSV, "absent")
    assert table.columns == ("a", "label", "b")
    assert table.labels is None


def test_file_without_rows_is_refused() -> None:
    with pytest.raises(DeliveryError, match="no rows"):
        rows.read_table("a,b\n", "b")


def test_blank_lines_are_not_rows() -> None:
    """Files that were edited by hand often end in a blank line."""
    assert rows.read_table("a,label\n1,2\n\n3,4\n\n", "label").labels == ("2", "4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,label\n1,2\n3\n", "Row 2 has 1 cells, and the header has 2"),
        ("a,label\n1,2,3\n", "Row 1 has 3 cells, and the header has 2"),
        ('a,label\n"1"x,2\n', "not CSV: "),
    ],
)
def test_a_malformed_table_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(DeliveryError, match=words):
        rows.read_table(text, "label")


def test_a_cell_may_have_the_containers_maximum_length() -> None:
    """Python's own limit is 128 KiB; a cell above the limit is refused in a sentence."""
    text = f"a,label\n{'x' * 140_000},2\n"
    assert len(rows.read_table(text, "label").rows[0][0]) == 140_000
    assert csv.field_size_limit(100_000) == rows.LONGEST_CELL
    try:
        with pytest.raises(DeliveryError, match="not CSV: field larger"):
            rows.read_table(text, "label")
    finally:
        csv.field_size_limit(rows.LONGEST_CELL)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "cut at its end", "another checksum", "no archive"])
def test_a_model_that_is_damaged_is_refused(tmp_path: Path, damage: str) -> None:
    """An interrupted download is reported in a sentence."""
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.bin")
        member.size = 60_000
        archive.addfile(member, io.BytesIO(b"ab" * 30_000))
    content = path.read_bytes()
    half = len(content) // 2
    damaged = {
        "cut": content[:half],
        "overwritten": content[:half] + b"\xff" * half,
        "cut at its end": content[:-8],
        "another checksum": content[:-8] + bytes(4) + content[-4:],
        "no archive": b"price\n1\n",
    }
    path.write_bytes(damaged[damage])
    with (
        pytest.raises(DeliveryError, match=r"model\.tar\.gz: the model archive can't be unpacked: .+\.\Z"),
        model_server.serving(tmp_path, tmp_path / ".local", path),
    ):
        pass


@given(count=st.integers(1, 40), size=st.integers(1, 50))
def test_every_row_is_predicted_once_and_in_order(count: int, size: int) -> None:
    table = rows.Table(("a",), tuple((str(row),) for row in range(count)), None)

    def echo(body: str) -> bytes:
        return json.dumps({"predictions": [float(line) for line in body.splitlines()[1:]]}).encode()

    found = predictions.predict(table, echo, size)
    assert found.answers == [float(row) for row in range(count)]
    assert found.latency["requests"] == len(found.seconds) == math.ceil(count / size)


def test_missing_predictions_are_reported() -> None:
    table = rows.Table(("a",), (("1",), ("2",)), None)
    with pytest.raises(DeliveryError, match="2 rows were sent and 1 predictions"):
        predictions.predict(table, lambda _: b'{"predictions": [0.0]}')


def test_answers_keep_every_bit() -> None:
    exact = [0.1 + 0.2, 1e-308, math.pi]
    table = rows.Table(("a",), (("1",),) * len(exact), None)
    assert predictions.predict(table, lambda _: json.dumps({"predictions": exact}).encode()).answers == exact


def test_the_answer_of_a_classifier_is_the_label() -> None:
    value = {"label": "M", "probabilities": {"M": 0.6, "F": 0.4}}
    found = predictions.Predictions([value], [0.0])
    assert found.answers == ["M"]
    target = Target("sex", "binary", ("F", "M"))
    assert scores.differences(("M", "F", ""), [value] * 3, target) == [0.4, 0.6, None]


def test_regression_scores_follow_their_definitions() -> None:
    labels, answers = ("1", "2", "", "6"), [2.0, 2.0, 9.0, 5.0]
    found = scores.score(labels, answers, NUMBER)
    assert found["rows"] == 3
    assert found["mse"] == pytest.approx(2 / 3)
    assert found["mae"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(1 - 2 / 14)
    assert scores.differences(labels, answers, NUMBER) == [1.0, 0.0, None, -1.0]
    assert scores.worst_rows([1.0, 0.0, None, -3.0], 2) == [3, 0]


def test_class_scores_count_hits() -> None:
    assert scores.score(("a", "b", ""), ["a", "a", "b"], PAIR) == {
        "rows": 2,
        "rows without a label": 1,
        "accuracy": 0.5,
    }


@pytest.mark.parametrize("missing", ["", " ", "?", "NA", "N/A", "NaN", "null"])
def test_rows_without_a_label_are_counted(missing: str) -> None:
    """A file may have rows that a training drops because their label is missing."""
    assert (
        scores.score(("1", missing), [1.0, 9.0], NUMBER).items()
        >= {"rows": 1, "rows without a label": 1}.items()
    )
    counted = {"rows": 1, "rows without a label": 1, "accuracy": 1.0}
    assert scores.score(("a", missing), ["a", "b"], PAIR) == counted


def test_labels_that_the_training_would_refuse_are_counted_and_named() -> None:
    """Protects the score: an unreadable label is neither a hit nor a miss."""
    target = Target("y", "regression")
    found = scores.score(("1", "many"), [1.0, 2.0], target)
    assert (found["rows"], found["unreadable labels"], found["rmse"]) == (1, 1, 0.0)
    assert scores.unreadable_label(("1", "many"), target) == "row 2: 'many' is not a number, and y is numeric"
    assert scores.score(("x",), ["a"], Target("y", "binary", ("a", "b"))) == {
        "rows": 0,
        "unreadable labels": 1,
    }
    assert scores.unreadable_label(("1", ""), target) == ""


def test_labels_are_compared_in_every_spelling_of_the_training() -> None:
    truths = Target("y", "binary", ("false", "true"))
    assert scores.score(("True", "FALSE", "true"), ["true", "false", "false"], truths)[
        "accuracy"
    ] == pytest.approx(2 / 3)


SCHEMA = Schema(
    Target("y", "regression"),
    (Feature("x", "numeric"), Feature("kind", "categorical", ("a", "b")), Feature("year", "numeric")),
)


def test_a_file_is_read_as_prepare_reads_it(tmp_path: Path) -> None:
    """Protects labels under a header with blanks, and rows without a value."""
    path, schema = tmp_path / "new.csv", Schema(Target("Species", "binary", ("a", "b")), ())
    path.write_text("Id, Species\n1, a\n,\n2,b\n")
    table = prediction.read_file(path, schema)
    assert (table.columns, table.rows, table.labels) == (("Id",), (("1",), ("2",)), ("a", "b"))
    assert table.remarks[0].startswith("Blank rows of the file are left out: 2 (1 in all).")
    path.write_text("Id,Species\n")
    with pytest.raises(DeliveryError, match="no rows"):
        prediction.read_file(path, schema)
    with pytest.raises(DeliveryError, match="can't be read"):
        prediction.read_file(tmp_path / "none.csv", schema)


def test_numbers_of_parquet_are_not_read_by_the_number_formats_of_text(tmp_path: Path) -> None:
    """Protects 1.125 from being 1125 for a model that learned from a file with points between thousands."""
    style = NumberFormat(",", ".")
    schema = Schema(Target("y", "regression", None, style), (Feature("x", "numeric", number_format=style),))
    pl.DataFrame({"x": [1.125, None], "y": [2.25, 3.5]}).write_parquet(tmp_path / "new.parquet")
    table = prediction.read_file(tmp_path / "new.parquet", schema)
    assert RequestDecoder(schema).decode(table.body(0, 2).encode(), "text/csv").rows[0].tolist() == [1.125]
    assert scores.score(table.labels or (), [2.25, 3.5], schema.target)["mae"] == 0


def test_plain_numbers_are_scored_by_a_target_with_another_format(tmp_path: Path) -> None:
    """Protects the scores of JSON lines, and of the test split, from 1.125 that is taken for 1125."""
    style = NumberFormat(",", ".")
    schema = Schema(Target("y", "regression", None, style), (Feature("x", "numeric", number_format=style),))
    split = ProjectCode(read_project_of(tmp_path)).read_split(b"x,y\n1.125,2.125\n", schema)
    (tmp_path / "new.jsonl").write_text('{"x": 1.125, "y": 2.125}\n')
    for table in (split, prediction.read_file(tmp_path / "new.jsonl", schema)):
        sent = RequestDecoder(schema).decode(table.body(0, 1).encode(), "text/csv").rows
        assert sent.tolist() == [[1.125]]
        found = result.Result("", "", table, schema.target, {"direct": predictions.Predictions([2.5], [0.1])})
        assert (found.metrics["mae"], found.differences) == (0.375, [0.375])


def test_a_footer_is_not_predicted(tmp_path: Path) -> None:
    """`prepare` drops a footer without a target, and refuses another: neither is a row of `infer`."""
    lines = "x,kind,y\n1,a,5\n2,b,6\n"
    table = prediction.read_file(written(tmp_path / "a.csv", f'{lines}"Rows: 2",,\n\n'), SCHEMA)
    assert (table.labels, table.rows) == (("5", "6"), (("1", "a"), ("2", "b")))
    assert table.remarks[-1] == "The last line (Rows: 2,,) is left out: it is a footer."
    for text in (f"{lines}Total,,11\n", "x,kind\n1,a\nTotal,\n"):  # with a target, and in a file without one
        with pytest.raises(DeliveryError, match="looks like a footer, not like a row: remove it"):
            prediction.read_file(written(tmp_path / "b.csv", text), SCHEMA)
    for last in ("Total: 2 rows", "Total 2 rows", "Record count: 2", "2 rows in total", "(2 rows)"):
        table = prediction.read_file(written(tmp_path / "a.csv", f"{lines}{last},,\n"), SCHEMA)
        assert (len(table.rows), table.remarks) == (
            2,
            (f"The last line ({last},,) is left out: it is a footer.",),
        )
    with pytest.raises(
        DeliveryError, match=r"row 3 \(line 4\) has 1 cells, .* 3: where it is a footer, remove"
    ):
        prediction.read_file(written(tmp_path / "a.csv", f"{lines}(2 rows)\n\n"), SCHEMA)
    table = prediction.read_file(written(tmp_path / "c.csv", "x,kind\n1,Total\n2,Total\n"), SCHEMA)
    assert (len(table.rows), table.remarks) == (2, ())


def test_a_column_of_a_type_that_no_model_reads_is_named(tmp_path: Path) -> None:
    """Protects from predictions without a column of the model that say no more than "missing values"."""
    path = tmp_path / "new.parquet"
    pl.DataFrame({"x": [[1.0]], "kind": ["a"], "year": [2020], "more": [[1]]}).write_parquet(path)
    (warning,) = prediction.read_file(path, SCHEMA).warnings
    assert warning.startswith(
        "The column 'x' can't be read: its type is list, and a cell must hold one value. "
        "Its cells are missing values in every row"
    )
    assert warning.endswith("write it as numbers, booleans, text or dates.")
    pl.DataFrame({"x": [[1.0]]}).write_parquet(path)
    with pytest.raises(DeliveryError, match=r"has no rows .* The column 'x' can't be read: its type is list"):
        prediction.read_file(path, SCHEMA)
    pl.DataFrame({"x": [1.0], "y": [b"1"]}).write_parquet(path)
    with pytest.raises(DeliveryError, match=r"^new\.parquet: 'y' can't be the target: its type is binary"):
        prediction.read_file(path, SCHEMA)


def test_a_file_has_the_name_that_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects messages from paths with `..` in their middle, and columns from folders left again."""
    folder = tmp_path / "year=1"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = Path("../new.csv")
    written(path, "x,kind\n")
    with pytest.raises(DeliveryError, match=r"^\.\./new\.csv has no rows to predict"):
        prediction.read_file(path, SCHEMA)
    assert prediction.read_file(written(path, "x,kind\n1,a\n"), SCHEMA).columns == ("x", "kind")
    for content, words in ((b"[]", "row 1 has 0 cells"), (b'{"x": "\xe4"}', "byte 7 is not UTF-8: save")):
        Path("../new.jsonl").write_bytes(content)
        with pytest.raises(DeliveryError, match=rf"^new\.jsonl: {words}"):
            prediction.read_file(Path("../new.jsonl"), SCHEMA)


def test_a_key_that_a_line_has_twice_is_named(tmp_path: Path) -> None:
    """Protects a person from the prediction of one of two values; the server refuses such a body too."""
    path = written(tmp_path / "new.jsonl", '{"x": 1}\n{"kind": "a", "x": 1, "x": 2}\n')
    with pytest.raises(DeliveryError, match=r"^new\.jsonl: line 2 has the key 'x' twice: write it once"):
        prediction.read_file(path, SCHEMA)


def test_labels_of_a_regression_are_numbers_as_the_predictions_are() -> None:
    """Protects a program from texts, and from 1.125 that is 1125; classes stay as written."""
    table = rows.Table(("x",), (("1",),) * 3, ("1.125", "", "many"), {})
    target = Target("y", "regression", None, NumberFormat(",", "."))
    found = result.Result("", "", table, target, {"direct": predictions.Predictions([1126.0] * 3, [0.1])})
    printed = json.loads(json.dumps(found.to_json()))
    assert printed["label"] == [1125.0, None, None]
    assert printed["worst"] == [{"row": 1, "label": 1125.0, "prediction": 1126.0, "difference": 1.0}]
    values = [{"label": "b", "probabilities": {"a": 0.25, "b": 0.75}}]
    classes = {"direct": predictions.Predictions(values, [0.1])}
    by_class = result.Result("", "", rows.Table(("x",), (("1",),), ("a",)), PAIR, classes)
    assert by_class.to_json()["label"] == ("a",)


def read_project_of(folder: Path) -> Project:
    """Return a project of tables."""
    return Project(folder, "p", "eu-central-1", "y", "raw/")


def test_folders_name_the_columns_that_the_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects from predictions without a column that `prepare` reads from Hive's folders."""
    folder = tmp_path / "run=7" / "year=2019" / "more" / "year=2021" / "month=01"
    folder.mkdir(parents=True)
    (folder / "p.csv").write_text("x,kind,y\n1,a,5\n,,\n2,b,6\n")
    monkeypatch.chdir(folder)
    for path in (folder / "p.csv", Path("p.csv")):
        table = prediction.read_file(path, SCHEMA)
        assert (table.columns, table.labels) == (("x", "kind", "year"), ("5", "6"))
        assert table.rows == (("1", "a", "2021"), ("2", "b", "2021"))


def test_the_delimiter_of_the_project_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("a,b;c\n1,2;3\n")
    schema = Schema(Target("y", "regression"), (Feature("b;c", "categorical", ("2;3",)),))
    assert prediction.read_file(path, schema, "comma").columns == ("a", "b;c")
    with pytest.raises(
        DeliveryError, match=r"delimiter in \[data\] of project\.toml is 'colon', and must be"
    ):
        prediction.read_file(path, schema, "colon")


def test_the_project_knows_its_delimiter(tmp_path: Path) -> None:
    content = '[project]\nname = "p"\nregion = "r"\n[data]\ntarget = "y"\nprefix = "raw/"\n'
    (tmp_path / "project.toml").write_text(content)
    assert read_project(tmp_path).delimiter == "auto"
    (tmp_path / "project.toml").write_text(content + 'delimiter = "comma"\n')
    assert read_project(tmp_path).delimiter == "comma"


def test_infer_says_that_its_rows_have_a_header() -> None:
    """Protects from taking the names of other columns for a row, of which the first is not a number."""
    assert rows.Table.content_type_of_files == "text/csv; header=present"


def answer(schema: Schema, body: str, kind: str) -> bytes:
    """Answer as a model that predicts its first feature."""
    assert kind == "text/csv; header=present"
    try:
        found = RequestDecoder(schema).decode(body.encode(), "text/csv", "present").rows
        return json.dumps({"predictions": found[:, 0].tolist()}).encode()
    except RequestError as error:
        raise DeliveryError(error.message) from None


@pytest.fixture
def infer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Schema], None]:
    """Return a function that infers a file's text with a model that predicts its first feature."""
    (tmp_path / "project.toml").write_text(
        '[project]\nname = "p"\nregion = "r"\n[data]\ntarget = "y"\nprefix = "raw/"\n'
    )
    monkeypatch.chdir(tmp_path)

    def infer(text: str, schema: Schema) -> None:
        @contextmanager
        def reach(_: Method, kind: str) -> Iterator[predictions.Ask]:
            yield lambda body: answer(schema, body, kind)

        monkeypatch.setattr(ProjectCode, "read_schema", lambda *_: schema)
        project = read_project(tmp_path)
        opened = source.Source(
            ProjectCode(project), "a model", tmp_path, schema, lambda: b"", reach, Method.direct
        )
        monkeypatch.setattr(commands, "open_source", lambda *_: nullcontext(opened))
        (tmp_path / "new.csv").write_text(text)
        context = cast("typer.Context", SimpleNamespace(obj=Opener(lambda: project, ProjectCode)))
        commands.infer(context, tmp_path / "new.csv", model_artifact="model.tar.gz")

    return infer


def test_infer_names_the_columns_that_a_file_lacks(
    infer: Callable[[str, Schema], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects from taking predictions without a column for those of the model."""
    infer("x,kind,id,y\n1,a,7,1\n,c,8,2\n3,,9,3\n", SCHEMA)
    said = " ".join(capsys.readouterr().err.split())
    assert "missing values: 2 (x: 1, kind: 1)" in said
    assert "values that the model does not know: 1 (kind: 1)" in said
    assert "columns that the model does not use: 'id'" in said
    assert (
        "warning: The file lacks 1 of the model's 3 columns: year. They are missing values in every row"
        in said
    )
    infer("x,kind,year,y\n1,c,2020,1\n2,d,2020,1\n3,a,2020,1\n", SCHEMA)
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: most cells of kind are unknown to the model: are they written as in training?" in said
    infer("x,kind,year,Y\n1,a,2020,1\n", SCHEMA)
    said = " ".join(capsys.readouterr().err.split())
    assert "The file has no labels of 'y' (the file's 'Y' may be 'y'): nothing is scored." in said
    infer("x,kind,year,y\n1,a,2020,1\n", SCHEMA)
    assert not {"warning", "missing", "columns"}.intersection(capsys.readouterr().err.split())


def test_infer_names_the_columns_of_another_table(infer: Callable[[str, Schema], None]) -> None:
    with pytest.raises(
        DeliveryError, match=r"the header names none of the model's columns \(x, kind, year\)"
    ):
        infer("z,w\n1,2\n", SCHEMA)


def test_infer_scores_a_file_whose_header_has_blanks(
    infer: Callable[[str, Schema], None], capsys: pytest.CaptureFixture[str]
) -> None:
    schema = Schema(Target("Species", "regression"), (Feature("Id", "numeric"),))
    infer("Id, Species\n1, 1\n2,4\n", schema)
    said = capsys.readouterr()
    assert said.out == "label,prediction,difference\n1.0,1.0,0.0\n4.0,2.0,-2.0\n"
    assert {"rows", "rmse", "1.41421"}.issubset(said.err.split())


def test_what_only_an_older_endpoint_takes_is_named() -> None:
    """Protects the predictions that were shown from a traceback after them."""
    remarks = prediction.describe_cells(rows.Table(("x",), (("many",),), None), SCHEMA)
    expected = "this project would refuse what the endpoint took: row 1, column 'x': 'many' is not a number"
    assert remarks == [expected]


def test_training_rows_are_counted(tmp_path: Path) -> None:
    """Protects a person from taking the scores of learned rows for those of new ones."""
    table = prediction.read_file(
        written(tmp_path / "new.csv", "x,kind,year,y\n1,a,2020,5\n2,b,2021,6\n3,a,,\n"), SCHEMA
    )
    assert prediction.count_learned(tmp_path, table, SCHEMA) is None  # a model of an earlier release
    learned = RequestDecoder(SCHEMA).decode(table.body(1, 2).encode(), "text/csv", "present").rows
    split = SimpleNamespace(features=learned, target=np.array([6.0]), keys=None)
    learned_rows.write(tmp_path, cast("list[Dataset]", [split]))
    assert prediction.count_learned(tmp_path, table, SCHEMA) == 1
    assert prediction.count_learned(tmp_path, replace(table, labels=("5", "7", "")), SCHEMA) == 0
    assert prediction.count_learned(tmp_path, replace(table, labels=None), SCHEMA) is None


def written(path: Path, text: str) -> Path:
    """Write a file, and return its path."""
    path.write_text(text, encoding="utf-8")
    return path


def test_a_wrong_target_is_named_before_anything_starts(tmp_path: Path) -> None:
    """Protects people from waiting for `prepare` to say the same."""
    files = [written(tmp_path / "a.csv", "Price,rooms\n1,2\n")]
    code.check_target(files, tmp_path, "Price", "auto")
    with pytest.raises(DeliveryError, match=r"a\.csv has no column 'price': did you mean 'Price'\?"):
        code.check_target(files, tmp_path, "price", "auto")
    with pytest.raises(DeliveryError, match=r"has no column 'zzz': choose one of Price, rooms\."):
        code.check_target(files, tmp_path, "zzz", "auto")
    damaged = [written(tmp_path / "0.csv", "a,b\n1\n")]
    with pytest.raises(DeliveryError, match=r"0\.csv"):
        code.check_target(damaged, tmp_path, "Price", "auto")
    code.check_target([*damaged, *files], tmp_path, "Price", "auto")  # `prepare` decides about the other


def test_a_wrong_target_of_the_sample_is_reported_with_the_reason_for_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the sample is another table, which does not have the column that a person expects."""

    def refused(_: Path) -> None:
        raise OSError("no network")

    monkeypatch.setattr(sample, "_california_housing", refused)
    with pytest.raises(
        DeliveryError, match=r"no column 'MedHouseVal': .*could not be downloaded \(no network\)"
    ):
        ProjectCode(read_project_of(tmp_path)).choose_data(None, "MedHouseVal")


@pytest.mark.parametrize("name", ["new.csv", "new.csv.gz", "new.parquet"])
def test_a_table_without_rows_is_refused_before_anything_starts(tmp_path: Path, name: str) -> None:
    """Protects a person from jobs that can only fail; beside a table with rows, `prepare` reads it."""
    empty, full = tmp_path / name, written(tmp_path / "full.csv", "x,y\n1,2\n")
    if name.endswith(".parquet"):
        pl.DataFrame(schema={"x": pl.Float64, "y": pl.Float64}).write_parquet(empty)
    else:
        empty.write_bytes(gzip.compress(b"x,y\n") if name.endswith(".gz") else b"x,y\n")
    with pytest.raises(DeliveryError, match=rf"{name} has a header and no rows"):
        code.check_target([empty], tmp_path, "y", "auto")
    code.check_target([empty, full], tmp_path, "y", "auto")


def test_names_of_models_are_valid_for_good(tmp_path: Path) -> None:
    """Protects commands of other projects of SageMaker, and people from a warning or a guess."""
    known = code.ProjectCode(Project(tmp_path, "p", "eu-central-1", "y", "raw/"))
    assert known.resolve_model("linear_regression") == known.resolve_model("linear_model") == "linear_model"
    assert known.resolve_model("random_forest") == "random_forest"
    assert known.resolve_model("tensorflow") == "multilayer_perceptron"  # the template has every model
    with pytest.raises(DeliveryError, match=r"'randomforest' does not exist: .*did you mean 'random_forest'"):
        known.resolve_model("randomforest")
