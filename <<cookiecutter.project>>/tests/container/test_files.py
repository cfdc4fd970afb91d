"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from container.runtime.files import write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """Protects readers that list the directory; a missing directory is made."""
    path = tmp_path / "new" / "a.json"
    for text in ("first", "zweite Fassung: größer"):
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a reader from half a file when the disk is full or the job is stopped."""
    path = tmp_path / "a.json"
    write_atomically(path, "whole")

    def fail(file: Path, text: str, encoding: str) -> int:
        file.write_bytes(text.encode(encoding)[:1])
        raise OSError

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError):  # noqa: PT011 - it is the error that was raised above
        write_atomically(path, "another")
    assert path.read_bytes() == b"whole"
