"""A file is taken as it is meant, or refused by file and line."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.data import csv_blocks, table_files, tables, values
from container.payload.requests import csv_rows
from container.runtime.errors import UserError

alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
cell_texts = st.text(alphabet, max_size=8) | st.sampled_from(
    ['a "quoted" word', "one, two", "two\nlines", '"']
)


@st.composite
def files(draw: st.DrawFn) -> tuple[list[list[str]], bytes]:
    """Draw rows, and the same as a CSV writer writes them."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(cell_texts, min_size=width, max_size=width), min_size=1))
    written = io.StringIO()
    writer = csv.writer(
        written,
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )
    writer.writerows([[f"c{place}" for place in range(width)], *rows])
    return rows, draw(st.sampled_from([b"", csv_blocks.BOM])) + written.getvalue().encode()


@given(files(), st.sampled_from([7, 64, 4_194_304]))
def test_what_a_csv_writer_wrote_is_read(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[list[list[str]], bytes], block: int
) -> None:
    """Protects quoted commas, quotes and breaks, both line ends, the mark of Windows, and block edges."""
    rows, content = file
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK", block)
        table = tables.inspect(path, path.parent)
    assert table.columns == tuple(f"c{place}" for place in range(len(rows[0])))
    assert table.rows == len(rows)
    read = tables.scan(table).collect().rows()
    assert read == [tuple(cell.strip(values.BLANKS) for cell in row) for row in rows]


REFUSED = {
    "short row": (b"a,b\n1,2\n3\n", "a.csv: row 2 (line 3) has 1 cells, and the header has 2"),
    "long row": (b"a,b\n1,2\n\n3,4,5\n", "a.csv: row 3 (line 4) has 3 cells, and the header has 2"),
    "short row after quoted break": (
        b'a,b\n"x\ny",2\n3\n',
        "a.csv: row 2 (line 4) has 1 cells, and the header has 2",
    ),
    "empty file": (b"", "a.csv: the file is empty, and must begin with a header line"),
    "blank header": (b"\n1,2\n", "a.csv: line 1 is blank, and must be the header"),
    "names twice": (b"a,b,a\n1,2,3\n", "a.csv: two columns are named 'a'"),
    "NUL": (b"a,b\n1,2\n1,\0\n", "a.csv: line 3 holds a NUL byte"),
    "Latin-1": (b"a,b\n1,2\n\xe4,2\n", "a.csv: line 3 is not UTF-8 (byte 0xe4): save the file as UTF-8"),
    "quote left open": (
        b'a,b\n1,"2\n3,4\n',
        "a.csv: line 2 has a quote inside a cell, or one that is never closed",
    ),
    "text after a quote": (b'a,b\n1,"2"x\n', "a.csv: line 2 has a quote inside a cell"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_no_table_is_refused_by_line(tmp_path: Path, case: str) -> None:
    """Protects the user's time: file, line, rule and way out."""
    content, message = REFUSED[case]
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError) as refused:
        tables.inspect(tmp_path / "a.csv", tmp_path)
    assert str(refused.value).startswith(message)


def test_the_line_is_right_far_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the line number across blocks."""
    lines = ["a,b", *(["1,2"] * 50_000), "3", *(["1,2"] * 50_000)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    monkeypatch.setattr(csv_blocks, "BLOCK", 4096)
    with pytest.raises(UserError, match=r"row 50001 \(line 50002\)"):
        tables.inspect(tmp_path / "a.csv", tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    """Protects against data under another name."""
    (tmp_path / "a.txt").write_text("a,b\n1,2\n")
    with pytest.raises(
        UserError, match=r"no \.csv, \.csv\.gz or \.parquet file in .* \(a\.txt: its name does not end in"
    ):
        table_files.find(tmp_path, table_files.CSV, table_files.PARQUET)


def test_a_cell_of_any_length_is_read_by_the_job_and_by_the_endpoint(tmp_path: Path) -> None:
    """Protects columns of long texts: Python's csv alone would refuse what a model was trained on."""
    rows = [["n" * 140_000, "b"], ["x" * 200_000, "1"], ["y, " * 70_000, "2"]]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    path = tmp_path / "a.csv"
    path.write_text(written.getvalue(), encoding="utf-8")
    table = tables.inspect(path, tmp_path)
    read = tables.scan(table).collect().rows()
    asked = csv_rows(path.read_bytes())
    assert [list(table.columns), *map(list, read)] == [[cell.strip() for cell in row] for row in asked]
    assert asked == rows
