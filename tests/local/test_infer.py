"""Predicting a file: what is sent, what comes back, and the scores that a person compares with."""

from __future__ import annotations

import csv
import io
import json
import math
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local import endpoint, prediction
from local.project import LocalError, Project

if TYPE_CHECKING:
    from pathlib import Path

CSV = 'a,label,b\n1,2.5,"x, y"\n3,,z\n'


def test_target_column_never_reaches_the_model() -> None:
    """A model that is sent its own label would look perfect."""
    table = prediction.read_table(CSV, "label")
    assert table.columns == ("a", "b")
    assert table.labels == ("2.5", "")
    assert table.body(0, 2) == 'a,b\n1,"x, y"\n3,z\n'


def test_file_without_labels_is_predicted_whole() -> None:
    table = prediction.read_table(CSV, "absent")
    assert table.columns == ("a", "label", "b")
    assert table.labels is None


def test_file_without_rows_is_refused() -> None:
    with pytest.raises(LocalError, match="no rows"):
        prediction.read_table("a,b\n", "b")


def test_blank_lines_are_no_rows() -> None:
    """Files that are edited by hand end in one."""
    assert prediction.read_table("a,label\n1,2\n\n3,4\n\n", "label").labels == ("2", "4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,label\n1,2\n3\n", "Row 2 has 1 cells, and the header has 2"),
        ("a,label\n1,2,3\n", "Row 1 has 3 cells, and the header has 2"),
        ('a,label\n"1"x,2\n', "not CSV: "),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(LocalError, match=words):
        prediction.read_table(text, "label")


def test_a_cell_is_taken_up_to_the_containers_limit() -> None:
    """Python's own limit is 128 KiB, and a longer one is refused in a sentence."""
    text = f"a,label\n{'x' * 140_000},2\n"
    assert len(prediction.read_table(text, "label").rows[0][0]) == 140_000
    assert csv.field_size_limit(100_000) == prediction.LONGEST_CELL
    try:
        with pytest.raises(LocalError, match="not CSV: field larger"):
            prediction.read_table(text, "label")
    finally:
        csv.field_size_limit(prediction.LONGEST_CELL)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "cut at its end", "another checksum", "no archive"])
def test_a_model_that_is_damaged_is_refused(tmp_path: Path, damage: str) -> None:
    """A download that broke off ends in a sentence."""
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
        pytest.raises(LocalError, match=r"model\.tar\.gz: the model archive can't be unpacked: .+\.\Z"),
        endpoint.serving(Project(tmp_path, "p", "eu-central-1", "y", "raw/"), path),
    ):
        pass


@given(rows=st.integers(1, 40), size=st.integers(1, 50))
def test_every_row_is_asked_for_once_and_in_order(rows: int, size: int) -> None:
    table = prediction.Table(("a",), tuple((str(row),) for row in range(rows)), None)

    def echo(body: str) -> list[prediction.Answer]:
        return [float(line) for line in body.splitlines()[1:]]

    assert prediction.predict(table, echo, size) == [float(row) for row in range(rows)]


def test_lost_predictions_are_noticed() -> None:
    table = prediction.Table(("a",), (("1",), ("2",)), None)
    with pytest.raises(LocalError, match="2 rows were sent and 1 predictions"):
        prediction.predict(table, lambda _: [0.0])


def test_answers_keep_every_bit() -> None:
    exact = [0.1 + 0.2, 1e-308, math.pi]
    assert prediction.read_answers(json.dumps({"predictions": exact}).encode()) == exact


def test_class_answers_are_their_labels() -> None:
    body = json.dumps({"predictions": [{"label": "M", "probabilities": {"M": 0.6, "F": 0.4}}]})
    assert prediction.read_answers(body.encode()) == ["M"]


def test_regression_scores_are_those_of_their_definitions() -> None:
    scores = prediction.score(("1", "2", "", "6"), [2.0, 2.0, 9.0, 5.0])
    assert scores["rows"] == 3
    assert scores["mse"] == pytest.approx(2 / 3)
    assert scores["mae"] == pytest.approx(2 / 3)
    assert scores["r2"] == pytest.approx(1 - 2 / 14)


def test_class_scores_count_hits() -> None:
    assert prediction.score(("a", "b", ""), ["a", "a", "b"]) == {"rows": 2, "accuracy": 0.5}


@pytest.mark.parametrize("missing", ["", " ", "?", "NA", "N/A", "NaN", "null"])
def test_rows_without_a_label_are_not_scored(missing: str) -> None:
    """What training drops as missing, a person's file may hold too."""
    assert prediction.score(("1", missing), [1.0, 9.0])["rows"] == 1
    assert prediction.score(("a", missing), ["a", "b"]) == {"rows": 1, "accuracy": 1.0}


def test_text_beside_predicted_numbers_is_refused() -> None:
    with pytest.raises(LocalError, match="Row 2 has the label 'many', and the model predicts numbers"):
        prediction.score(("1", "many"), [1.0, 2.0])


def test_classes_are_known_in_every_spelling_that_training_takes() -> None:
    """The container writes true for True and 1 for 1.0; their accuracy is not nought for that."""
    truths = prediction.score(("True", "FALSE", "true"), ["true", "false", "false"])
    assert truths["accuracy"] == pytest.approx(2 / 3)
    assert prediction.score(("1.0", "2", " 3"), ["1", "2", "3"])["accuracy"] == 1.0
