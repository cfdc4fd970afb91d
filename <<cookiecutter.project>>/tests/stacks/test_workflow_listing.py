"""The training's listing of the data: which files it takes, and which are new."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stacks.asl import evaluate
from tests.stacks.workflow import EPOCH, STATES, an_object, choose


def listed(
    objects: list[dict[str, Any]], since: int = 0, page: int = 3, workload: str = "tabular"
) -> dict[str, Any]:
    """List the objects page by page, and return the collected files."""
    found = evaluate(STATES["InitializeListing"]["Assign"]["found"])
    for start in range(0, max(len(objects), 1), page):
        result = {"Contents": objects[start : start + page], "IsTruncated": start + page < len(objects)}
        found = evaluate(
            STATES["ListData"]["Assign"]["found"],
            states={"result": result if result["Contents"] else {"IsTruncated": False}},
            found=found,
            since=since,
            settings={"Data": {"Prefix": "raw/", "Workload": workload}},
        )
    return dict(found)


@pytest.mark.parametrize(
    ("objects", "files"),
    [
        ([], []),
        ([an_object("raw/", size=0), an_object("raw/2024/", size=0)], []),
        ([an_object("raw/empty.csv", size=0), an_object("raw/notes.txt")], ["empty.csv", "notes.txt"]),
        ([an_object("raw/a.csv")], ["a.csv"]),
        ([an_object("raw/2024/A b+ü.CSV"), an_object("raw/csv")], ["2024/A b+ü.CSV", "csv"]),
        ([an_object("raw/a.parquet"), an_object("raw/b.PARQUET")], ["a.parquet", "b.PARQUET"]),
        ([an_object("raw/a.parquet.crc"), an_object("raw/_SUCCESS", size=0)], ["a.parquet.crc", "_SUCCESS"]),
        ([an_object("raw/year=2020/a.csv.gz")], ["year=2020/a.csv.gz"]),
        ([an_object(f"raw/{at}.csv") for at in range(7)], [f"{at}.csv" for at in range(7)]),
    ],
)
def test_takes_every_file(objects: list[dict[str, Any]], files: list[str]) -> None:
    """The container reports what it does not read; a folder is not a file, and one file is still a list."""
    assert listed(objects)["Files"] == files


def test_takes_every_file_for_an_image_model() -> None:
    """The container names the files that it cannot read, empty ones too; a folder is not a file."""
    names = ["a.zip", "b/c.PNG", "d.webp", "e.parquet", "f.lst", "bird/g.heic", "h.txt"]
    objects = [an_object(f"raw/{name}") for name in names]
    found = listed(
        [*objects, an_object("raw/empty.png", size=0), an_object("raw/cat/", size=0)], workload="image"
    )
    assert found["Files"] == [*names, "empty.png"]
    assert found["Newest"]["Key"] == "raw/f.lst"


def test_takes_the_configured_interval_only() -> None:
    """Files changed before the execution's start minus interval_days are left out."""
    start = {"context": {"Execution": {"StartTime": "2024-01-31T12:00:00.000Z"}}}
    for days, files in ((0, ["old.csv", "new.csv"]), (30, ["new.csv"])):
        states = {**start, "input": {"Data": {"IntervalDays": days}}}
        since = evaluate(STATES["InitializeListing"]["Assign"]["since"], states=states)
        objects = [an_object("raw/old.csv"), an_object("raw/new.csv", "2024-01-01T12:00:00Z")]
        assert listed(objects, since)["Files"] == files


MOMENTS = st.sampled_from(["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z", "2024-01-01T00:00:01.500Z"])
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=6).map(
    lambda name: f"raw/{name}.csv"
)


@settings(max_examples=50, deadline=None)
@given(objects=st.lists(st.builds(an_object, KEYS, MOMENTS), max_size=7))
def test_the_watermark_is_the_newest_file_of_the_manifest(objects: list[dict[str, Any]]) -> None:
    """Over any pages and with any notation of time, the greatest (LastModified, Key) is found."""
    found = listed(objects)
    assert found["Files"] == [entry["Key"].removeprefix("raw/") for entry in objects]
    newest = max((place(entry) for entry in objects), default=place(EPOCH))
    assert place(found["Newest"]) == newest


def place(entry: dict[str, Any]) -> tuple[float, str]:
    return float(re.sub(r".*:(\d\d)(\.\d+)?Z", r"\1\2", entry["LastModified"])) if entry[
        "Key"
    ] else -1, entry["Key"]


@pytest.mark.parametrize(
    ("newest", "watermark", "is_newer"),
    [
        (("2024-01-01T00:00:00Z", "raw/a.csv"), ("1970-01-01T00:00:00Z", ""), True),
        (("2024-01-01T00:00:00Z", "raw/a.csv"), ("2024-01-01T00:00:00.000Z", "raw/a.csv"), False),
        (("2024-01-01T00:00:00Z", "raw/b.csv"), ("2024-01-01T00:00:00Z", "raw/a.csv"), True),
        (("2023-12-31T23:59:59Z", "raw/z.csv"), ("2024-01-01T00:00:00Z", "raw/a.csv"), False),
        (("2024-01-01T00:00:00.500Z", "raw/a.csv"), ("2024-01-01T00:00:00Z", "raw/z.csv"), True),
    ],
)
def test_only_later_files_are_new(
    newest: tuple[str, str], watermark: tuple[str, str], *, is_newer: bool
) -> None:
    """Of two files of one second, the one with the greater key is newer; the same file is not new."""
    names = ("LastModified", "Key")
    found = {"Newest": dict(zip(names, newest, strict=True))}
    production = {"Watermark": dict(zip(names, watermark, strict=True))}
    condition = STATES["HasNewData"]["Choices"][0]["Condition"]
    assert evaluate(condition, found=found, production=production) is is_newer


@pytest.mark.parametrize(
    ("names", "next_state", "error"),
    [
        (["x" * 40] * 4000, "WriteManifest", None),
        (["x" * 50] * 4000, "NotifyFailure", "TooManyFiles"),
        (["日" * 50] * 1100, "NotifyFailure", "TooManyFiles"),
        ([], "NotifyFailure", "NoData"),
    ],
)
def test_a_list_that_exceeds_a_states_limit_is_refused(
    names: list[str], next_state: str, error: str | None
) -> None:
    """A state over 256 KiB would fail without a Catch; an empty list is refused too."""
    given_names = {"found": {"Files": names}, "since": 0, "settings": {"Data": {"Prefix": "raw/"}}}
    chosen, output = choose("IsListingComplete", {"More": False}, **given_names)
    assert (chosen, (output or {}).get("Error")) == (next_state, error)
    if error is None:
        assert len(json.dumps(names, ensure_ascii=False).encode()) < 256 * 1024


def test_a_page_fits_a_state() -> None:
    """The longest keys with their attributes stay below 256 KiB."""
    arguments = evaluate(
        STATES["ListData"]["Arguments"],
        settings={"Data": {"Prefix": "raw/"}},
        page={"ContinuationToken": "t"},
    )
    attributes = {
        **an_object("k" * 1024, "2024-01-01T00:00:00Z", 5 * 2**40),
        "ETag": '"d41d8cd98f00b204e9800998ecf8427e-10000"',
        "ChecksumAlgorithm": ["CRC64NVME"],
        "ChecksumType": "FULL_OBJECT",
        "StorageClass": "INTELLIGENT_TIERING",
    }
    assert arguments["ContinuationToken"] == "t"
    assert len(json.dumps([attributes] * arguments["MaxKeys"])) < 250_000
