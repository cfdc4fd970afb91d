"""Inputs, outputs and archives: the path of a key, and the content of an archive."""

from __future__ import annotations

import importlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

storage = importlib.import_module("localcloud.core.object_store")


@pytest.mark.parametrize(
    ("prefix", "key", "path"),
    [
        ("raw/", "raw/a.csv", "a.csv"),
        ("raw/", "raw/x/a.csv", "x/a.csv"),
        ("raw", "raw/x/a.csv", "x/a.csv"),
        ("raw/a.csv", "raw/a.csv", "a.csv"),
        ("raw/part", "raw/part-1.csv", "part-1.csv"),
        ("", "x/a.csv", "x/a.csv"),
        ("a.csv", "a.csv", "a.csv"),
    ],
)
def test_the_path_of_a_key_is_relative_to_its_prefix(prefix: str, key: str, path: str) -> None:
    """A prefix may be a folder, the beginning of a name, or the object itself."""
    assert storage.below(prefix, key) == path


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/passwd"])
def test_no_key_is_written_outside_of_the_directory(tmp_path: Path, name: str) -> None:
    """A key with dots can't write outside of the job's folder."""
    with pytest.raises(storage.DataError, match="outside"):
        storage.write(tmp_path / "in", name, b"")


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b/c", "d.bin"]), st.binary(max_size=300_000), min_size=1))
def test_an_archive_has_the_content_of_its_directory(contents: dict[str, bytes]) -> None:
    """Chunks that were compressed apart form one archive that any tar program reads."""
    import tempfile  # noqa: PLC0415 - a fixture would be shared by the examples

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        for name, content in contents.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        storage.extract(storage.archive(source), target)
        found = {
            path.relative_to(target).as_posix(): path.read_bytes()
            for path in target.rglob("*")
            if path.is_file()
        }
    assert found == contents


def test_a_python_without_filters_unpacks_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local cloud's endpoints start on Debian 12, whose Python 3.11.2 takes no `filter`."""

    def extractall(_: tarfile.TarFile, __: Path) -> None:
        raise AssertionError("without a filter, this would extract anything anywhere")

    (tmp_path / "source").mkdir()
    (tmp_path / "source/f").write_text("1")
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    storage.extract(storage.archive(tmp_path / "source"), tmp_path / "target")
    assert (tmp_path / "target/f").read_text() == "1"


def test_an_archive_of_several_chunks_is_complete(tmp_path: Path) -> None:
    """Incompressible chunks are stored and others compressed, in one file, in order."""
    source = tmp_path / "source"
    source.mkdir()
    blocks = [bytes(range(256)) * 20_000, os.urandom(6_000_000)]
    for number, block in enumerate(blocks):
        (source / f"{number}").write_bytes(block)
    archive = storage.archive(source)
    assert 6_000_000 < len(archive) < 6_500_000
    storage.extract(archive, tmp_path / "target")
    assert [(tmp_path / "target" / f"{number}").read_bytes() for number in range(2)] == blocks


def hostile(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "archive",
    [
        hostile("../out"),
        hostile("link", tarfile.SYMTYPE, "/etc"),
        hostile("device", tarfile.CHRTYPE),
        b"no tar",
    ],
    ids=["outside", "link", "device", "no tar"],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, archive: bytes) -> None:
    """A model archive can't write outside of its directory, and can't create devices."""
    with pytest.raises(storage.DataError, match="can't be unpacked"):
        storage.extract(archive, tmp_path / "in")
    assert not (tmp_path / "out").exists()
