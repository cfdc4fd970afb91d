"""The command suggests a baseline by Model Monitor's environment, and reports errors in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container.monitor import main
from container.runtime.errors import UsageError, UserError

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "processing" / "input" / "baseline_dataset_input"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with an environment; return both files, read, and the job's message."""

    def run(**environment: str) -> dict[str, Any]:
        monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        main()
        output = tmp_path / environment.get("output_path", "/opt/ml/processing/output").removeprefix(
            "/opt/ml/"
        )
        files = {
            name: json.loads((output / f"{name}.json").read_text()) for name in ("statistics", "constraints")
        }
        return {**files, "message": (tmp_path / "output" / "message").read_text()}

    return run


def test_files_of_a_directory_are_one_table(source: Path, run: Run) -> None:
    """Files may be at any depth, with columns in any order; blank lines are not rows."""
    (source / "deep").mkdir()
    (source / "a.csv").write_text("x,y\n1,a\n\n2,b\n")
    (source / "deep" / "b.csv").write_text("y,x\na,3\nb,\n")
    found = run()
    assert found["statistics"]["dataset"] == {"item_count": 4}
    x, y = found["statistics"]["features"]
    assert x["numerical_statistics"]["common"] == {"num_present": 3, "num_missing": 1}
    assert x["numerical_statistics"]["sum"] == 6.0
    assert y["string_statistics"]["distribution"] == {
        "categorical": {"buckets": [{"value": "a", "count": 2}, {"value": "b", "count": 2}]}
    }
    assert found["constraints"]["features"] == [
        {
            "name": "x",
            "inferred_type": "Integral",
            "completeness": 0.75,
            "num_constraints": {"is_non_negative": True},
        },
        {
            "name": "y",
            "inferred_type": "String",
            "completeness": 1.0,
            "string_constraints": {"domains": ["a", "b"]},
        },
    ]
    assert found["message"] == "Completed: a baseline of 4 rows and 2 columns was suggested.\n"


def test_paths_and_format_come_from_the_environment(tmp_path: Path, run: Run) -> None:
    """Paths below /opt/ml move with the base directory; columns without a header are numbered."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "rows.csv").write_text("1,1\n2,b\n")
    found = run(
        dataset_source=str(elsewhere),
        output_path="/opt/ml/processing/results",
        dataset_format='{"csv": {"header": false, "output_columns_position": "START"}}',
        publish_cloudwatch_metrics="Disabled",
    )
    assert [feature["name"] for feature in found["statistics"]["features"]] == ["_c0", "_c1"]
    assert [feature["inferred_type"] for feature in found["constraints"]["features"]] == [
        "Integral",
        "String",
    ]


def test_column_without_values_stays_in_both_files(source: Path, run: Run) -> None:
    """Later data may have values in it."""
    (source / "a.csv").write_text("x,y\n1,\n2,NA\n")
    found = run()
    assert found["statistics"]["features"][1] == {
        "name": "y",
        "inferred_type": "Unknown",
        "string_statistics": {
            "common": {"num_present": 0, "num_missing": 2},
            "distinct_count": 0.0,
            "completeness": 0.0,
        },
    }
    assert found["constraints"]["features"][1] == {
        "name": "y",
        "inferred_type": "Unknown",
        "completeness": 0.0,
    }


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"baseline_constraints": "/opt/ml/processing/baseline/constraints.json"}, "belong together"),
        (
            {"dataset_format": '{"sagemakerCaptureJson": {}}'},
            "captured requests are compared with a baseline",
        ),
        ({"analysis_type": "BIAS"}, "must be DATA_QUALITY or MODEL_QUALITY"),
        ({"analysis_type": "MODEL_QUALITY"}, "MODEL_QUALITY needs baseline_statistics"),
        ({"minimum_records": "few"}, "minimum_records is 'few', and must be a whole number of at least 1"),
        ({"minimum_records": " "}, "minimum_records is '', and must be a whole number of at least 1"),
        ({"analysis_type": ""}, "analysis_type is '', and must be DATA_QUALITY or MODEL_QUALITY"),
        ({"comparison_threshold": ""}, "comparison_threshold is '', and must be a number from 0 to 1"),
        ({"publish_cloudwatch_metrics": " "}, "publish_cloudwatch_metrics is ''"),
        ({"dataset_format": ""}, "dataset_format is ''"),
        ({"start_time": "yesterday"}, "start_time is 'yesterday', and must be a time such as"),
        ({"dataset_format": "csv"}, "dataset_format is .*, and must be"),
        ({"dataset_format": '{"csv": {"header": "yes"}}'}, "dataset_format is .*, and must be"),
        ({"publish_cloudwatch_metrics": "Enabled"}, "publish_cloudwatch_metrics must be"),
        ({"publish_cloudwatch_metrics": "yes"}, "must be Enabled or Disabled"),
    ],
)
def test_what_it_can_not_do_is_refused(run: Run, environment: dict[str, str], reason: str) -> None:
    """The error comes before any data is read, and names the variable."""
    with pytest.raises(UsageError, match=reason):
        run(**environment)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no .csv file"),
        ({"a.csv": "x,y\n"}, "no rows"),
        ({"a.csv": "x,y\n1,2\n3\n"}, r"a\.csv: row 2 .* has 1 cells"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,z\n1,2\n"}, "must have the same columns: one has no 'y'"),
    ],
)
def test_unusable_tables_are_refused(source: Path, run: Run, files: dict[str, str], reason: str) -> None:
    """The error names the file, the column and the row."""
    for name, text in files.items():
        (source / name).write_text(text)
    with pytest.raises(UserError, match=reason):
        run()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a.csv: it is empty"),
        (b"\n1,2\n", "a.csv: line 1 is blank, and must be a row"),
        (b"1,\xff\n", "is not UTF-8"),
        (b"1,2\n3,4,5\n", r"row 2 \(line 2\) has 3 cells"),
    ],
)
def test_unusable_rows_without_a_header_are_refused(
    source: Path, run: Run, content: bytes, reason: str
) -> None:
    """Tables without a header are checked as others are."""
    (source / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=reason):
        run(dataset_format='{"csv": {"header": false}}')
