"""The dialect of a file is found, reported and read, or the file is named for what it is."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from container.data import table_files, tables
from container.data.reading import ReadingSettings
from container.prepare import Settings, prepare
from container.runtime.errors import UserError
from tests.container import dialect_files


def read(
    folder: Path, content: bytes, name: str = "a.csv", delimiter: str = "auto"
) -> tuple[tables.Table, list[tuple[str, ...]]]:
    (folder / name).write_bytes(content)
    table = tables.inspect(folder / name, folder, delimiter)
    return table, tables.scan(table).collect().rows()


@pytest.mark.parametrize("part", range(4))
def test_generated_files_are_read_as_python_reads_them(tmp_path: Path, part: int) -> None:
    """Protects every dialect; `make test-dialects` of the template takes 20,000 of these files."""
    for number in range(part, 200, 4):
        file = dialect_files.make(number)
        table, rows = read(tmp_path, file.content, file.name)
        assert table.dialect, file
        found = [row for row in [table.columns, *rows] if any(row)]
        assert found == dialect_files.python_rows(file, table.dialect), file
        assert found == dialect_files.stripped(file.rows), file


PLAIN = {"delimiter": "comma", "quoted": True, "line_end": "LF", "encoding": "utf-8"}
AIR = (
    "Date;Time;CO;AH;;,,,,\r\n10/03/2004;18.00.00;2,6;0,7578;;,,\r\n11/03/2004;19.00.00;1;0,7;;,,,\r\n"
    "12/03/2004;19.00.00;;0,7;;,,,\r\n"
)
READ: dict[str, tuple[bytes, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
    "C1": (b'a,y\r\r\n1,"b"\r\r\n', {"line_end": "CRCRLF"}, ("a", "y"), ("1", "b")),
    "C2": (b'"a";"y"\n"1";"2"\n', {"delimiter": "semicolon"}, ("a", "y"), ("1", "2")),
    "C2 tabs": (b'a\ty\n"1\t2"\t3\n', {"delimiter": "tab"}, ("a", "y"), ("1\t2", "3")),
    "named as Parquet begins": (b"PAR1,PAR2\n1,2\n", {}, ("PAR1", "PAR2"), ("1", "2")),
    "named as ORC begins": (b"ORCID,y\n1,2\n", {}, ("ORCID", "y"), ("1", "2")),
    "C2 pipes": (b"a|y\n1|2\n", {"delimiter": "pipe"}, ("a", "y"), ("1", "2")),
    "C3": (
        AIR.encode(),
        {
            "delimiter": "semicolon",
            "line_end": "CRLF",
            "trailing_commas": "removed",
            "may_also_be": ["comma"],
        },
        ("Date", "Time", "CO", "AH", "", ""),
        ("10/03/2004", "18.00.00", "2,6", "0,7578", "", ""),
    ),
    "C4": (b"sep=,\r\na,y\r\n1,2\r\n", {"line_end": "CRLF", "skipped_lines": 1}, ("a", "y"), ("1", "2")),
    "C4 other": (
        b"sep=;\na;y\n1,5;2\n",
        {"delimiter": "semicolon", "skipped_lines": 1},
        ("a", "y"),
        ("1,5", "2"),
    ),
    "returns": (b'a,y\r"1\n2",3\r', {"line_end": "CR"}, ("a", "y"), ("1\n2", "3")),
    "Excel's text": (
        "a\ty\r\nü\t2\r\n".encode("utf-16"),
        {"delimiter": "tab", "line_end": "CRLF", "encoding": "utf-16"},
        ("a", "y"),
        ("ü", "2"),
    ),
    "big-endian": ("\ufeffa,y\n1,2\n".encode("utf-16-be"), {"encoding": "utf-16"}, ("a", "y"), ("1", "2")),
    "inches": (
        b"a;y\n5\" pipe;6'2\"\n",
        {"delimiter": "semicolon", "quoted": False},
        ("a", "y"),
        ('5" pipe', "6'2\""),
    ),
    "decimal comma": (
        b"Preis, EUR;Menge\n1,5;2\n",
        {"delimiter": "semicolon", "may_also_be": ["comma"]},
        ("Preis, EUR", "Menge"),
        ("1,5", "2"),
    ),
    "lists in a cell": (
        b"tags|x|y,value\na|b|c,5\n",
        {"may_also_be": ["pipe"]},
        ("tags|x|y", "value"),
        ("a|b|c", "5"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_dialect_is_found_and_reported(tmp_path: Path, case: str) -> None:
    """Protects the cells, and what the report says of the way in which they were read."""
    content, differs, header, row = READ[case]
    for name, stored in (("a.csv", content), ("A.CSV.gz", gzip.compress(content))):
        table, rows = read(tmp_path, stored, name)
        assert (table.columns, rows[0]) == (header, row)
        report = table.to_json()
        assert report == {
            "name": name,
            "rows": len(rows),
            "dialect": PLAIN | differs,
            "compression": "gzip" if name.endswith("gz") else "",
        }


REFUSED = {
    "gzip": (gzip.compress(b"a,b\n"), "a.csv: it is compressed by gzip, and not CSV text: name it .csv.gz"),
    "xlsx": (b"PK\x03\x04\x14\0", "a.csv: it is a zip archive, as Excel's .xlsx files are, and not CSV text"),
    "Parquet": (b"PAR1\x15\0", "a.csv: it is Parquet, and not CSV text: name it .parquet"),
    "Arrow": (b"ARROW1\0\0\xff", "a.csv: it is an Arrow, ORC or Avro file, and not CSV text: write it"),
    "ORC": (b"ORC\n\x1c\n", "a.csv: it is an Arrow, ORC or Avro file, and not CSV text: write it"),
    "compressed ORC": (b"ORC\x41\x02\0\n", "a.csv: it is an Arrow, ORC or Avro file"),
    "bzip2": (b"BZh91AY&SY", "a.csv: it is compressed, and not CSV text: compress it by gzip, as .csv.gz"),
    "page": (b"\n<!DOCTYPE html><html>", "a.csv: it is a page of HTML or XML, and not CSV text:"),
    "UTF-16 alone": (
        "a,b\n1,2\n".encode("utf-16-le"),
        "a.csv: it is UTF-16 text without the mark of its byte order, and not CSV text: save the",
    ),
    "big-endian alone": ("a,b\n1,2\n".encode("utf-16-be"), "a.csv: it is UTF-16 text without"),
    "JSON": (b'[{"a": 1, "b": 2},\n{"a": 3, "b": 4}]', "a.csv: it is JSON, and not CSV text: write"),
    "JSON of rows": (b"[[1, 2],\n[3, 4]]", "a.csv: it is JSON, and not CSV text"),
    "JSON lines": (b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', "a.csv: it is JSON, and not CSV text"),
    "PDF": (b"%PDF-1.4\nx\n", "a.csv: it is a PDF document, and not CSV text: save its table as CSV"),
    "Git LFS": (
        b"version https://git-lfs/spec/v1\noid sha256:ab\nsize 12\n",
        "a.csv: it is a pointer of Git LFS, and not CSV text: run git lfs pull",
    ),
    "quoted lines": (
        b'a;b\n"1,5;2"\n',
        "a.csv: row 1 (line 2) has 1 cells, and the header has 2: remove the quotation marks",
    ),
    "title": (
        b"# written in 2024\n\nx,y\n1,2\n",
        "a.csv: row 2 (line 3) has 2 cells, and the header has 1 ('# written in 2024'): remove what is above",
    ),
    "half a character": (b"\xff\xfea\0,", "a.csv: it is damaged UTF-16 text: save the file as UTF-8"),
    "A7 footer": (
        b'a,b\n1,2\n"Rows: 1"\n',
        "a.csv: row 2 (line 3) has 1 cells, and the header has 2",
    ),
    "A7 header": (b"a,b\n1,2\na,b\n3,4\n", "a.csv: row 2 (line 3) is the header again: remove it"),
    "A7 header in quotes": (b'a,b\n1,2\n"a","b"\n', "a.csv: row 2 (line 3) is the header again"),
    "A7 header without quotes": (b'"a","b"\n"1",2\na,b\n', "a.csv: row 2 (line 3) is the header again"),
    "A7 header with blanks": (b"a;b\n1;2\n a ; b\r\n", "a.csv: row 2 (line 3) is the header again"),
    "A7 header in capitals": (b"age,b\n1,2\nAge,B\n3,4\n", "a.csv: row 2 (line 3) is the header again"),
    "A7 joined files": (
        b"\xef\xbb\xbfa,b\n1,2\n\xef\xbb\xbfa,b\n3,4\n",
        "a.csv: row 2 (line 3) is the header again",
    ),
    "A7 joined files in quotes": (
        b'\xef\xbb\xbf"a","b"\n1,2\n\xef\xbb\xbf"a","b"\n3,4\n',
        "a.csv: line 3 begins with the mark that begins a file (BOM), so it may be the header again",
    ),
    "mixed ends": (b"a,b\n1,2\r3,4\n", "a.csv: row 1 (line 2) has a carriage return inside"),
    "two ends": (b"a,b\r1,2\r3,4\r\n", "a.csv: the header (line 1) has a carriage return inside"),
    "short row of semicolons": (b"a;b\n1;2\n3\n", "a.csv: row 2 (line 3) has 1 cells, and the header"),
    "unknown sep": (b"sep=^\na^b\n", "a.csv: line 1 states the delimiter '^': use comma, semicolon,"),
    "wrong sep": (b"sep=;\na,b\n", "a.csv: the cells are separated by comma, and not by semicolon: correct"),
    "quotes of both kinds": (b'a,b\n"1",5"\n', "a.csv: line 2 has a quote inside a cell"),
    "quote after a blank": (b'a,b\n1, "2, 3"\n', "a.csv: line 2 has a quote inside a cell"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_another_kind_of_file_is_named(tmp_path: Path, case: str) -> None:
    """Protects the user's time: what the file is, where, and the way out."""
    content, message = REFUSED[case]
    with pytest.raises(UserError) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(message)


HALVES = [f"{'pn'[at % 2]},{at},{at / 7}" for at in range(40)]  # rows of two classes
FOOTERS = (
    "Rows: 3,,",
    '"Rows: 3",,',
    "Total,,150.2",
    "Total: 40 rows,,",
    "Grand total:,3,",
    "(3 rows affected),,",
    "Source: a bank,,",
)


@pytest.mark.parametrize("footer", FOOTERS)
def test_a_padded_footer_is_no_class(tmp_path: Path, footer: str) -> None:
    """A7: with the target first it is refused, and with the target last it is dropped and named."""
    with pytest.raises(UserError, match=r"^a\.csv: the last line \(.*\) looks like a footer"):
        prepared(tmp_path, {"a.csv": "\n".join(["y,a,b", *HALVES, footer, ",,", ""]).encode()})
    if footer.endswith(","):
        report = prepared(tmp_path, {"a.csv": "\n".join(["a,b,y", *HALVES, footer]).encode()})
        assert report["first_without_target"] == "a.csv: row 41: " + footer.replace('"', "")
        assert report["dropped"] == {"blank": 0, "without_target": 1}


def test_a_footer_may_have_a_word_of_the_project_for_missing(tmp_path: Path) -> None:
    """Protects from a total that is learned as a row."""
    with pytest.raises(UserError, match=r"the last line \(Total,n/v,300\) looks like a footer"):
        prepared(
            tmp_path,
            {"a.csv": "\n".join(["x,a,y", *HALVES, "Total,n/v,300"]).encode()},
            missing_words=("n/v",),
        )


FULL = ("Total,780,2.5", "average,19.5,1", "Grand total,1,111.428571", "Mean:,-1,2.785714")


@pytest.mark.parametrize("last", FULL)
@pytest.mark.parametrize("mark", [",", ";"])
def test_a_footer_without_an_empty_cell_has_a_sum_or_a_mean(tmp_path: Path, last: str, mark: str) -> None:
    """Protects from a total that is learned as a row, in the target or in another column of numbers."""
    text = "\n".join(["x,a,y", *HALVES, last])
    if mark == ";":
        text = text.replace(",", ";").replace(".", ",")
    with pytest.raises(UserError, match=r"^a\.csv: the last line \(.*\) looks like a footer"):
        prepared(tmp_path, {"a.csv": text.encode()})


MAY_BE = (
    "Total,500,600",
    "Total,1,3",
    "average,1,2",
    "place,2,80",
    "Total,2,80\nTotal,1,4",
    "Total,2,80\nq,1,2",
)


@pytest.mark.parametrize("last", MAY_BE)
def test_a_last_row_that_is_not_a_sum_is_kept(tmp_path: Path, last: str) -> None:
    """Protects a place named Total, a flag that one row has above, and a usual whole number."""
    lines = [f"p{at % 20},{int(at == 3)},{at % 5}" for at in range(40)]
    report = prepared(tmp_path, {"a.csv": "\n".join(["x,a,y", *lines, last]).encode()})
    assert report["rows"]["read"] == 41 + last.count("\n")


@pytest.mark.parametrize("last", ["total,1,2.5", "p,,3.5", "Total,b,", ",,p", "total,,2.5\ntotal,,2.5"])
def test_a_last_row_that_may_be_one_is_kept(tmp_path: Path, last: str) -> None:
    """Protects rows: a footer has a word of its own, once, and nothing but numbers and empty cells."""
    report = prepared(tmp_path, {"a.csv": "\n".join(["x,a,y", *HALVES, last]).encode()})
    assert report["rows"]["read"] == 41 + last.count("\n")


def test_a_row_that_equals_a_header_of_numbers_is_a_row(tmp_path: Path) -> None:
    """Pandas names columns so that have no name."""
    assert read(tmp_path, b"0,1\n0,1\n0,1\n")[1] == [("0", "1")] * 2


@pytest.mark.parametrize("header", ["a;b;y,,", '"a;b;y",,', '"a;b;y"'])
def test_lines_in_quotes_are_named(tmp_path: Path, header: str) -> None:
    """C3: Excel has saved a file again whose lines it had read as one cell."""
    padding = ",," * header.endswith(",,")
    lines = [header, *(f'"{at % 9},5;{at};{"pn"[at % 2]}"{padding}' for at in range(40))]
    with pytest.raises(
        UserError, match=r"^a\.csv: the header is one cell, 'a;b;y', since quotation marks are"
    ):
        prepared(tmp_path, {"a.csv": "\n".join(lines).encode()})


def test_another_kind_of_file_inside_gzip_is_named(tmp_path: Path) -> None:
    """Protects the user's time as without compression."""
    with pytest.raises(UserError, match=r"^a\.csv\.gz: it holds JSON, and not CSV text"):
        read(tmp_path, gzip.compress(b'{"a": 1}\n{"a": 2}\n'), "a.csv.gz")


@pytest.mark.parametrize("header", [b"[a],[b]", b"{a},b", b'"{""a"":1}",b'])
def test_a_header_in_brackets_is_no_json(tmp_path: Path, header: bytes) -> None:
    """Protects the names of columns that a database writes in brackets."""
    assert len(read(tmp_path, header + b"\n1,2\n")[0].columns) == 2


def test_text_that_is_named_parquet_is_named(tmp_path: Path) -> None:
    """Protects the user from the words of a library."""
    for content, what in (
        (b"a,b\n1,2\n", r"text, such as CSV\): name it \.csv"),
        (b'[{"a": 1}]', r"JSON\): "),
    ):
        with pytest.raises(UserError, match=rf"^a\.parquet: it can't be read as Parquet \(it is {what}"):
            read(tmp_path, content, "a.parquet")


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    """Protects against a library's exception, and against half a table."""
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 5000)
    for content, reason in (
        (whole[:-9], r"^a\.csv\.gz: it can't be unpacked \(Compressed file ended"),
        (whole[:-8] + b"00000000", r"^a\.csv\.gz: it can't be unpacked \(CRC check failed"),
        (b"a,b\n1,2\n", r"^a\.csv\.gz: it is named \.gz, and is not compressed by gzip: name it \.csv"),
    ):
        with pytest.raises(UserError, match=reason):
            read(tmp_path, content, "a.csv.gz")


def test_a_target_of_another_dialect_is_explained(tmp_path: Path) -> None:
    """Protects from the advice to name another target where the delimiter is the cause."""
    lines = ["a,b;y", *(f"t{at % 5},u{at % 3};v{at % 2}" for at in range(40))]
    with pytest.raises(UserError, match=r"no column is named 'y'\. The delimiter may also be semicolon: set"):
        prepared(tmp_path, {"a.csv": "\n".join(lines).encode()})


def test_a_delimiter_can_be_set(tmp_path: Path) -> None:
    """Protects a table whose header would be read as several columns."""
    content = b"a;b,c\n1;2,3\n"
    assert read(tmp_path, content)[0].columns == ("a", "b,c")
    assert read(tmp_path, content, delimiter="comma")[0].columns == ("a;b", "c")
    with pytest.raises(UserError, match="separated by comma, and not by tab: correct delimiter"):
        read(tmp_path, b"a,b\n1,2\n", delimiter="tab")


def prepared(folder: Path, files: dict[str, bytes], **reading: Any) -> dict[str, Any]:
    """Prepare files, and return the report."""
    for name, content in files.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    prepare(Settings("y", reading=ReadingSettings(**reading)), folder / "in", folder / "out")
    return json.loads((folder / "out/report/report.json").read_text())  # type: ignore[no-any-return]


def rows(mark: str = ",", count: int = 40, shift: int = 0) -> bytes:
    lines = [mark.join(("x", "y")), *(f"{at + shift * 0.37}{mark}{at % 7}" for at in range(count))]
    return "\n".join(lines).encode()


def test_files_that_are_not_tables_are_reported(tmp_path: Path) -> None:
    """A3b: copies of notebooks, and files of systems and of Spark, are not rows, and are counted."""
    names = [".ipynb_checkpoints/train-checkpoint.csv", "._train.csv", "Thumbs.db", "_SUCCESS", "_metadata"]
    names += ["README.md", "_temporary/0/part.csv", "manifest"]
    report = prepared(tmp_path, {"train.csv": rows(), "b.csv": b"", **dict.fromkeys(names, rows())})
    assert report["rows"]["read"] == 40
    assert [file["name"] for file in report["files"]] == ["train.csv"]
    skipped = {file["name"]: file["reason"] for file in report["skipped_files"]}
    assert set(skipped) == {*names, "b.csv"}
    assert skipped[names[0]] == skipped["._train.csv"] == "it is hidden, or in a hidden folder"
    assert skipped["_SUCCESS"] == "it is a marker of the program that wrote the tables"
    assert skipped["b.csv"] == "it is empty"


def test_too_many_unread_files_are_refused(tmp_path: Path) -> None:
    """Protects against data under another name."""
    files = {"train.csv": rows(), "notes.xlsx": b"PK\x03\x04"}
    with pytest.raises(
        UserError, match=r"^notes\.xlsx: its name .* 1 of 2 files are not read: more than max_skip"
    ):
        prepared(tmp_path, files)
    assert prepared(tmp_path, files, max_skipped=0.5)["skipped_files"][0]["name"] == "notes.xlsx"


@pytest.mark.parametrize(
    "name", ["_delta_log/0.json", ".hoodie/hoodie.properties", "metadata/v1.metadata.json"]
)
def test_a_lake_is_refused(tmp_path: Path, name: str) -> None:
    """Its files hold rows that were deleted; an upload has the file that shows it."""
    with pytest.raises(
        UserError, match=r"shows a Delta Lake, Hudi or Iceberg table, whose files hold deleted"
    ):
        prepared(tmp_path, {f"{number}.csv": rows() for number in range(20)} | {name: b"{}"})
    assert not table_files.is_hidden(name)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_columns_of_hive_folders_are_read(tmp_path: Path, kind: str) -> None:
    """B4: a folder's name is a cell of each of its rows."""
    frame = pl.DataFrame({"x": [at * 0.37 for at in range(40)], "y": [at % 7 for at in range(40)]})
    for folder in ("year=2020/at=a%20b", "year=2021/at=__HIVE_DEFAULT_PARTITION__"):
        path = tmp_path / "in" / folder / f"part.{kind}"
        path.parent.mkdir(parents=True)
        frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    tables_found = [
        tables.inspect(path, tmp_path / "in") for path in sorted((tmp_path / "in").rglob("part.*"))
    ]
    assert [table.columns for table in tables_found] == [("x", "y", "year", "at")] * 2
    lazy = [tables.scan(table, ("at", "year")) for table in tables_found]
    assert [each.collect().unique().rows() for each in lazy] == [[("a b", "2020")], [("", "2021")]]
    assert [each.select("1").collect().height for each in lazy] == [40, 40]
    assert [each.select(pl.len()).collect().item() for each in lazy] == [40, 40]
    report = prepared(tmp_path, {})
    assert report["features"]["year"] == "numeric"
    assert report["files"][0]["columns_of_folders"] == {"year": "2020", "at": "a b"}


def test_a_column_of_a_folder_that_the_file_has_too_is_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Polars and others write such files; a folder may have another value, so the report names it."""
    report = prepared(tmp_path, {"x=7/at=1/a.csv": rows(), "x=7/at=2/b.csv": rows()})
    assert (list(report["features"]), report["left_out"][0]["column"]) == (["at"], "x")
    why = "the file has a column 'x', whose cells are read"
    assert [file["folders_not_read"] for file in report["files"]] == [{"x=7": why}] * 2
    assert report["files"][1]["columns_of_folders"] == {"at": "2"}
    assert capsys.readouterr().out.count(f"folder_not_read name=x=7 reason='{why}'\n") == 1


def test_hive_folders_of_some_files_are_refused(tmp_path: Path) -> None:
    """Protects against a column that is lost in silence."""
    with pytest.raises(UserError, match=r"^year=2020/a\.csv is in a folder 'year=…', and b\.csv is not: all"):
        prepared(tmp_path, {"year=2020/a.csv": rows(), "b.csv": rows()})


def test_hive_folders_that_name_a_column_twice_are_refused(tmp_path: Path) -> None:
    """Protects from a report of another value than the one that was read."""
    with pytest.raises(UserError, match=r"^at=1/at=2/a\.csv: two of its folders name one column: rename"):
        prepared(tmp_path, {"at=1/at=2/a.csv": rows(), "at=2/at=3/a.csv": rows()})


def test_files_of_several_dialects_are_one_table(tmp_path: Path) -> None:
    """A dialect is that of a file, and a set delimiter holds for all."""
    files = {f"{number}.csv": rows(mark, shift=number) for number, mark in enumerate(",;\t|")}
    report = prepared(tmp_path, files)
    found = [file["dialect"]["delimiter"] for file in report["files"]]
    assert (report["rows"]["read"], found) == (160, ["comma", "semicolon", "tab", "pipe"])
    with pytest.raises(UserError, match="separated by semicolon, and not by comma"):
        prepared(tmp_path, {}, delimiter="comma")
