"""Captured requests are read whatever the files contain: nothing fails a job, and the rest is counted."""

import gzip
import json
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.monitor import capture
from container.monitor.capture import Counts, Shard, blocks, events, find, shards
from container.monitor.window import Window
from tests.container.monitor.captured import lines, record


def ids(content: bytes, window: Window | None = None) -> tuple[list[str], Counts]:
    counts = Counts()
    found = events([content], window or Window(), counts)
    return [identifier for identifier, _, _ in found], counts


def read(path: Path, parts: list[Shard] | None = None) -> list[bytes]:
    counts = Counts()
    found = [chunk for shard in parts or [Shard(path)] for block in blocks(shard, counts) for chunk in block]
    return [line for chunk in found for line in chunk.split(b"\n") if line]


def test_golden_and_synthetic_requests_are_left_out_and_counted() -> None:
    """The canary sends the same rows again and again."""
    sent = [None, "golden-0001", "synthetic-golden-0001", "mine"]
    named = ({"inference": name} if name else {} for name in sent)
    found, counts = ids(lines([record("1,2", event=f"e{n}", **each) for n, each in enumerate(named)]))
    assert found == ["e0", "mine"]
    assert (counts.lines, counts.synthetic) == (4, 2)


@pytest.mark.parametrize(
    ("time", "inside"),
    [
        ("2026-01-31T14:00:00Z", True),
        ("2026-01-31T14:00:00.500Z", True),
        ("2026-01-31T14:59:59.999Z", True),
        ("2026-01-31T15:00:00Z", False),
        ("2026-01-31T13:59:59Z", False),
    ],
)
def test_requests_of_another_time_are_left_out(time: str, inside: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Model Monitor may give files of more than the window."""
    window = Window("2026-01-31T14:00:00", "2026-01-31T15:00:00")
    found, counts = ids(lines([record("1", time=time)]), window)
    assert (len(found), counts.out_of_window) == (int(inside), int(not inside))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"captureData":{},"eventMetadata":null}',
        b'{"captureData":[],"eventMetadata":{"eventId":"e","inferenceTime":"2"}}',
        b'{"captureData":{},"eventMetadata":{"inferenceId":7}}',
        b'{"captureData":{},"eventMetadata":{}}',
        b"\xff\xfe",
        lines([record("1,2")])[:-20],
    ],
)
def test_broken_lines_are_counted_and_the_others_read(line: bytes) -> None:
    """A file may end in the middle of a line."""
    found, counts = ids(lines([record("1")]) + line + b"\n\n \n" + lines([record("2")]))
    assert (len(found), counts.lines, counts.unparsable) == (2, 3, 1)


WHOLE = lines([record("1,2")]).strip()


@given(
    st.lists(
        st.binary() | st.text().map(str.encode) | st.sampled_from([WHOLE, b"{", b"}", b"", b" "]), max_size=20
    )
)
def test_no_bytes_end_a_job(content: list[bytes]) -> None:
    """Each line is a request, or it is counted; lines beside a broken one are read."""
    counts = Counts()
    chunks = [b"\n".join(content[start : start + 5]) for start in range(0, len(content), 5)]
    found = list(events(chunks, Window(), counts))
    each = [line for chunk in chunks for line in chunk.split(b"\n") if line.strip()]
    assert len(found) + counts.unparsable == counts.lines == len(each)
    assert len(found) == each.count(WHOLE)


def test_lines_that_are_json_only_together_are_broken() -> None:
    """A chunk is parsed at once, but each line is a record of its own."""
    half = WHOLE.index(b',"eventMetadata')
    found, counts = ids(b"\n".join([WHOLE, WHOLE[:half], WHOLE[half + 1 :]]))
    assert (len(found), counts.lines, counts.unparsable) == (1, 3, 2)


def test_files_are_found_at_any_depth_and_read_by_what_they_hold(tmp_path: Path) -> None:
    """SageMaker writes …/endpoint/variant/yyyy/mm/dd/hh/; gzip is recognized by its first bytes."""
    content = lines([record(str(n)) for n in range(3)])
    folder = tmp_path / "endpoint" / "AllTraffic" / "2026" / "01" / "31" / "14"
    folder.mkdir(parents=True)
    (folder / "05-06-007-a.jsonl").write_bytes(content)
    (folder / "05-06-008-b.jsonl.gz").write_bytes(gzip.compress(content))
    (folder / "05-06-009-c.jsonl").write_bytes(gzip.compress(content))
    (folder / "notes.txt").write_bytes(b"no capture")
    found = find(tmp_path)
    assert [path.name[-12:] for path in found] == ["-007-a.jsonl", "8-b.jsonl.gz", "-009-c.jsonl"]
    assert all(read(path) == content.splitlines() for path in found)


def test_hidden_folders_are_left_out_and_counted(tmp_path: Path) -> None:
    """Protects from counting requests twice that a notebook or an unfinished job has copied."""
    hidden = (
        ".ipynb_checkpoints/a-checkpoint.jsonl",
        "2026/_temporary/0/b.jsonl.gz",
        ".a.jsonl",
        "~$a.jsonl",
    )
    for name in ("2026/a.jsonl", "_SUCCESS", ".git/notes.txt", *hidden):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    counts = Counts()
    assert find(tmp_path, counts) == [tmp_path / "2026" / "a.jsonl"]
    assert (counts.files, counts.other_files, counts.hidden_files) == (1, 0, 4)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_gzip_that_was_cut_off_is_read_as_far_as_it_goes(kept: float, tmp_path: Path) -> None:
    """An upload may be incomplete: the requests before its end count, and the file is reported."""
    chance = random.Random(7)
    whole = lines([record(str(chance.random()), event=f"e{n}") for n in range(3000)])
    packed = gzip.compress(whole)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: int(len(packed) * kept)])
    decompressed = zlib.decompressobj(wbits=31).decompress(path.read_bytes())
    counts = Counts()
    chunks = [chunk for block in blocks(Shard(path), counts) for chunk in block]
    assert b"".join(chunks) == decompressed
    found = list(events(chunks, Window(), counts))
    assert len(found) == decompressed.count(b"\n") > 500
    assert (counts.corrupt, counts.unparsable) == (1, int(not decompressed.endswith(b"\n")))


def test_gzip_that_was_overwritten_is_counted(tmp_path: Path) -> None:
    """What comes before the corrupt bytes is read, and the file is reported."""
    chance = random.Random(7)
    packed = gzip.compress(lines([record(str(chance.random()), event=f"e{n}") for n in range(5000)]))
    for name, corrupt in {
        "middle": packed[:-20_000] + b"\xff" * 50 + packed[-19_950:],
        "checksum": packed[:-8] + bytes(4) + packed[-4:],
    }.items():
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(corrupt)
        counts = Counts()
        chunks = [chunk for block in blocks(Shard(path), counts) for chunk in block]
        assert counts.corrupt == 1
        assert len(list(events(chunks, Window(), counts))) >= (5000 if name == "checksum" else 1000)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small files as large ones are cut."""
    for name, size in (
        ("_SHARD_BYTES", 50),
        ("_BLOCK_BYTES", 40),
        ("_CHUNK_BYTES", 16),
        ("_MAX_LINE_BYTES", 64),
    ):
        monkeypatch.setattr(capture, name, size)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("length", [1, 7, 15, 16, 17, 49, 50, 51])
def test_parts_of_a_file_hold_each_line_once(length: int, tmp_path: Path) -> None:
    """A cut may be in a line or at its end."""
    path = tmp_path / "a.jsonl"
    whole = [f"{n:0{length}}".encode()[-length:] for n in range(40)]
    path.write_bytes(b"\n".join(whole))
    parts = shards([path])
    assert len(parts) > 1 or path.stat().st_size <= 50
    assert read(path, parts) == whole


@pytest.mark.usefixtures("small")
def test_line_that_is_too_long_is_one_broken_line(tmp_path: Path) -> None:
    """A line without an end must not fill the memory; the lines after it are read."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * 500 + b"\n" + b"y" * 9)
    found = read(path)
    assert found[1:] == [b"y" * 9]
    assert len(found[0]) <= 16


def test_counts_add_up() -> None:
    """Several processes and instances count."""
    total = Counts(lines=3, unparsable=1)
    total += Counts(lines=4, too_few_columns=2)
    assert total == Counts(lines=7, unparsable=1, too_few_columns=2)
    assert json.dumps(total.__dict__)
