"""An archive is unpacked inside its directory or not at all."""

import io
import random
import tarfile
from pathlib import Path

import pytest

from container import model_artifact
from container.data.schema import Feature, Schema, Target
from container.runtime.errors import UserError

SCHEMA = Schema(Target("y", "regression"), (Feature("x", "numeric"),))


def archive(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    member.size = len(content)
    with tarfile.open(path, "w:gz") as opened:
        opened.addfile(member, io.BytesIO(content))
    return path


def test_a_file_is_unpacked(tmp_path: Path) -> None:
    """Protects the ordinary case."""
    model_artifact.extract(
        archive(tmp_path / "model.tar.gz", tarfile.TarInfo("a.txt"), b"1"), tmp_path / "out"
    )
    assert (tmp_path / "out/a.txt").read_bytes() == b"1"


def test_a_python_without_filters_unpacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects projects on Debian 12, whose Python 3.11.2 takes no `filter`."""

    def extractall(_: tarfile.TarFile, __: Path) -> None:
        raise AssertionError("without a filter, this would extract anything anywhere")

    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    monkeypatch.setattr(tarfile.TarFile, "extractall", extractall)
    model_artifact.extract(
        archive(tmp_path / "model.tar.gz", tarfile.TarInfo("a.txt"), b"1"), tmp_path / "out"
    )
    assert (tmp_path / "out/a.txt").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt"])
def test_a_member_outside_is_refused(tmp_path: Path, name: str) -> None:
    """Protects the files beside the model directory."""
    crafted = archive(tmp_path / "model.tar.gz", tarfile.TarInfo(name), b"1")
    with pytest.raises(UserError, match="cannot be unpacked"):
        model_artifact.extract(crafted, tmp_path / "out")
    assert not (tmp_path / "outside.txt").exists()


def test_a_link_outside_is_refused(tmp_path: Path) -> None:
    """Protects files that a link could reach."""
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(UserError, match="cannot be unpacked"):
        model_artifact.extract(archive(tmp_path / "model.tar.gz", link), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00 cut"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """Protects the user from a traceback when an upload was cut."""
    (tmp_path / "model.tar.gz").write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        model_artifact.extract(tmp_path / "model.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("place", [100, 30_000, -4])
def test_a_damaged_archive_is_refused(tmp_path: Path, place: int) -> None:
    """Protects from a model that is another one by a few bits: only gzip's checksum sees them."""
    path = archive(tmp_path / "model.tar.gz", tarfile.TarInfo("a.bin"), random.Random(1).randbytes(60_000))
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be unpacked"):
        model_artifact.extract(path, tmp_path / "out")


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    """Protects the user: the message names the member and the place."""
    with pytest.raises(UserError, match=r"model\.tar\.gz is missing"):
        model_artifact.extract(tmp_path / "model.tar.gz", tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is damaged"),
        ("{", "is damaged"),
        ('{"version": 9, "model": "random_forest"}', "has version 9"),
        ('{"version": 1, "model": "nothing"}', "model 'nothing' does not exist"),
        ('{"version": 1, "model": "_estimator"}', "model '_estimator' does not exist"),
    ],
)
def test_a_model_description_that_is_wrong_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """Protects against importing whatever a file names."""
    SCHEMA.write(tmp_path / "schema.json")
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(UserError, match=message):
        model_artifact.load(tmp_path)
