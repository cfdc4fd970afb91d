"""Archives are unpacked inside one directory or refused, on Pythons with and without tarfile's filters."""

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from container.runtime import archive
from container.runtime.archive import ArchiveError

ROOT = Path(__file__).resolve().parents[2]
Member = tuple[str, bytes, str]  # name, type, and the content of a file or the target of a link
FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

GOOD: dict[str, list[Member]] = {
    "files": [("./", FOLDER, ""), ("./a.txt", FILE, "1"), ("b/c.txt", FILE, "2")],
    "links": [
        ("a/b", FOLDER, ""),
        ("a/f", FILE, "1"),
        ("a/b/up", LINK, "../f"),
        ("top", LINK, "a/b"),
        ("a/hard", HARD, "a/f"),
    ],
}
REFUSED: dict[str, list[Member]] = {
    "absolute path": [("/outside", FILE, "1")],
    "climbing path": [("../outside", FILE, "1")],
    "climbing path within": [("a/../../outside", FILE, "1")],
    "absolute link": [("link", LINK, "/etc/passwd")],
    "climbing link": [("a/link", LINK, "../../outside")],
    "link through a link": [("d/e/root", LINK, "../.."), ("out", LINK, "d/e/root/..")],
    "file through a link": [("d", FOLDER, ""), ("link", LINK, "d"), ("link/f", FILE, "1")],
    "absolute hard link": [("hard", HARD, "/etc/passwd")],
    "climbing hard link": [("hard", HARD, "../outside")],
    "hard link to nothing": [("hard", HARD, "f")],
    "hard link to a link": [("f", FILE, "1"), ("link", LINK, "f"), ("hard", HARD, "link")],
    "character device": [("device", tarfile.CHRTYPE, "")],
    "block device": [("device", tarfile.BLKTYPE, "")],
    "named pipe": [("pipe", tarfile.FIFOTYPE, "")],
    "root that is a link": [(".", LINK, "a")],
    "file as a directory": [("f", FILE, "1"), ("f/g", FILE, "2")],
    "directory as a file": [("d", FOLDER, ""), ("d", FILE, "1")],
    "name of no file": [("x" * 300, FILE, "1")],
    "file over links in a circle": [("a", LINK, "b"), ("b", LINK, "a"), ("a", FILE, "1")],
}
RULES = (
    "absolute path|'..' in its path|a link in its path|may lead out|is not a file before|neither a file|"
    "Not a directory|File exists|Is a directory|name too long|Too many levels"
)


def packed(members: list[Member], mode: int = 0o644, **settings: Any) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as made:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            for key, value in settings.items():
                setattr(member, key, value)
            if kind == FILE:
                member.size = len(content)
            else:
                member.linkname = content
            made.addfile(member, io.BytesIO(content.encode()))
    return sink.getvalue()


@pytest.fixture(params=["with the filter", "without the filter"])
def unpack(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, Path], None]:
    """Unpack with Python's own tarfile, and as Python 3.11.2's does, which has no filters."""
    if request.param == "without the filter":
        extract = tarfile.TarFile.extract

        def plain(self: tarfile.TarFile, member: Any, path: Any = "", set_attrs: bool = True) -> None:  # noqa: FBT001, FBT002 - a parameter of the cases
            self.extraction_filter = lambda member, _: member
            extract(self, member, path, set_attrs)

        monkeypatch.setattr(tarfile.TarFile, "extract", plain)
        monkeypatch.setattr(tarfile.TarFile, "extractall", None)
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    return lambda content, into: archive.unpack(io.BytesIO(content), into)


@pytest.mark.parametrize("members", GOOD.values(), ids=GOOD)
def test_a_good_archive_is_unpacked(
    unpack: Callable[[bytes, Path], None], tmp_path: Path, members: list[Member]
) -> None:
    """Files, directories, and links that stay inside."""
    unpack(packed(members), tmp_path / "in")
    for name, kind, content in members:
        made = tmp_path / "in" / name
        if kind == FILE:
            assert made.read_text() == content
        else:
            assert made.is_symlink() == (kind == LINK)
            assert made.exists()
    if members is GOOD["links"]:
        assert (tmp_path / "in/top/up").read_text() == (tmp_path / "in/a/hard").read_text() == "1"


@pytest.mark.parametrize("time", ["inf", "1e30"])
def test_a_time_that_no_file_has_is_refused(
    unpack: Callable[[bytes, Path], None], tmp_path: Path, time: str
) -> None:
    """As a damaged archive is."""
    content = packed([("f", FILE, "1")], pax_headers={"mtime": time})
    with pytest.raises(ArchiveError):
        unpack(content, tmp_path / "in")


@pytest.mark.parametrize("members", REFUSED.values(), ids=REFUSED)
def test_a_member_that_may_lead_out_is_refused(
    unpack: Callable[[bytes, Path], None], tmp_path: Path, members: list[Member]
) -> None:
    """Protects everything beside the directory."""
    (tmp_path / "outside").write_text("untouched")
    with pytest.raises((ArchiveError, tarfile.TarError), match=RULES):
        unpack(packed(members), tmp_path / "in")
    assert (tmp_path / "outside").read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "in"}
    assert (tmp_path / "outside").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("given", "kept"), [(0o4777, 0o755), (0o2666, 0o644), (0o000, 0o600), (0o011, 0o600), (0o500, 0o700)]
)
def test_special_bits_and_rights_of_others_are_taken_off(
    unpack: Callable[[bytes, Path], None], tmp_path: Path, given: int, kept: int
) -> None:
    """No set-user-id program, no file that others may write, none that its owner may not read."""
    unpack(packed([("f", FILE, "1"), ("hard", HARD, "f")], given), tmp_path / "in")
    assert [stat.S_IMODE((tmp_path / "in" / name).stat().st_mode) for name in ("f", "hard")] == [kept, kept]


def test_owners_of_an_archive_are_not_taken(unpack: Callable[[bytes, Path], None], tmp_path: Path) -> None:
    """Root would give files away to whichever user has the number or the name here."""
    unpack(packed([("d", FOLDER, ""), ("d/f", FILE, "1")], uid=12345, gid=1, gname="daemon"), tmp_path / "in")
    for made in (tmp_path / "in/d", tmp_path / "in/d/f"):
        assert (made.stat().st_uid, made.stat().st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.parametrize("cut", [9, 40, -9, -4])
def test_an_archive_that_was_cut_off_is_refused(
    unpack: Callable[[bytes, Path], None], tmp_path: Path, cut: int
) -> None:
    """Within its head, its content and gzip's checksum."""
    with pytest.raises(ArchiveError):
        unpack(packed([("f", FILE, "1" * 1000)])[:cut], tmp_path / "in")


def test_a_directory_that_is_missing_is_not_the_archives_fault(tmp_path: Path) -> None:
    """A file that can't be written stays an OSError, with its reason."""
    (tmp_path / "in").write_text("")
    with pytest.raises(FileExistsError):
        archive.unpack(io.BytesIO(packed(GOOD["files"])), tmp_path / "in")


@pytest.fixture(scope="module")
def debian_python() -> str:
    """Name a Python whose tarfile has no filters, such as Debian 12's."""
    question = "import sys, tarfile; sys.exit(sys.version_info < (3, 11) or hasattr(tarfile, 'data_filter'))"
    for name in ("/usr/bin/python3", "python3.11"):
        path = shutil.which(name)
        if path and subprocess.run([path, "-c", question], check=False).returncode == 0:
            return path
    pytest.skip("no Python 3.11.0 to 3.11.3 is here, whose tarfile has no filters")


def test_a_python_without_filters_unpacks_and_refuses_the_same(debian_python: str, tmp_path: Path) -> None:
    """In that Python's own tarfile, for which the tests above are a replica."""
    cases = GOOD | REFUSED
    for number, members in enumerate(cases.values()):
        (tmp_path / f"{number}.tar.gz").write_bytes(packed(members))
    code = """if True:
        import io, json, sys
        from pathlib import Path
        from container.runtime import archive
        said = []
        for number in range(int(sys.argv[2])):
            place = Path(sys.argv[1], f"{number}.tar.gz")
            try:
                archive.unpack(io.BytesIO(place.read_bytes()), Path(sys.argv[1], "in", str(number)))
                said.append("")
            except archive.ArchiveError as error:
                said.append(str(error))
        print(json.dumps(said))
    """
    command = [debian_python, "-c", code, str(tmp_path), str(len(cases))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    said = dict(zip(cases, json.loads(done.stdout), strict=True))
    assert [name for name, text in said.items() if not text] == list(GOOD)
    assert (tmp_path / "in/1/top/up").read_text() == "1"
    assert not (tmp_path / "outside").exists()
