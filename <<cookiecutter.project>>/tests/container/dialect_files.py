"""Well-formed CSV files of many dialects, made from a number."""

import csv
import gzip
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from container.data import values
from container.data.dialects import Dialect

DELIMITERS = (",", ";", "\t", "|")
LINE_ENDS = ("\n", "\n", "\r\n", "\r\n", "\r", "\r\r\n")
WORDS = ("red", "größe", "New York", "a/b", "x-1", "日本", "O'Neil", "n/a", "NULL", "?", "true", "50%", "$3")


@dataclass(frozen=True)
class GeneratedFile:
    """Hold a file's name and content, the header and the rows that were written, and how."""

    name: str
    content: bytes
    rows: list[list[str]]
    delimiter: str
    traits: tuple[str, ...]


def make(number: int) -> GeneratedFile:
    """Return the file of a number."""
    chance = Random(number)
    delimiter = chance.choice(DELIMITERS)
    quoting = chance.choice(("none", "minimal", "all", "text"))
    width = chance.choice((1, 2, 2, 3, 4, 6, 9))
    kinds = [chance.choice(("whole", "decimal", "date", "word", "text", "empty")) for _ in range(width)]
    count = chance.choice((1, 3, 12, 40))
    rows = [[_cell(chance, kind, delimiter, quoting) for kind in kinds] for _ in range(count)]
    if width == 1:  # a blank line would be a row, and any delimiter would be one
        rows = [[re.sub(r"[,;|\t]", "", cell).strip() or "0"] for (cell,) in rows]
    header = [f"{chance.choice(('x', 'Größe ', 'col_'))}{place}" for place in range(width)]
    if chance.random() < 0.1 and quoting != "none" and width > 1:
        header[0] += chance.choice((", EUR", "; a|b", ' "n"'))
    return _written(chance, [header, *rows], delimiter, quoting)


def _cell(chance: Random, kind: str, delimiter: str, quoting: str) -> str:
    if kind == "empty" and chance.random() < 0.5:
        return ""
    if kind == "text":
        return _text(chance, delimiter, quoting)
    decimal = "." if delimiter == "," and quoting == "none" else chance.choice(".,")
    return {
        "decimal": f"{chance.uniform(-1000, 1000):.3f}".replace(".", decimal),
        "date": f"20{chance.randint(10, 24)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
        "word": chance.choice(WORDS),
    }.get(kind, str(chance.randint(-5, 10**6)))


def _text(chance: Random, delimiter: str, quoting: str) -> str:
    marks = [" ", "'", *(mark for mark in DELIMITERS if mark != delimiter)]
    if quoting != "none":
        marks += ['"', "\n", delimiter, "\r\n", '""']
    elif chance.random() < 0.2:
        return f'{chance.randint(1, 20)}" pipe'
    return "".join(chance.choice((*WORDS, *marks)) for _ in range(chance.randint(1, 6))).strip('" ') or "x"


def _written(chance: Random, rows: list[list[str]], delimiter: str, quoting: str) -> GeneratedFile:
    end, traits = chance.choice(LINE_ENDS), [quoting]
    if end != "\n":
        traits.append(repr(end))
    lines = [delimiter.join(_quoted(cell, delimiter, quoting) for cell in row) for row in rows]
    if chance.random() < 0.1 and len(rows[0]) > 1:
        lines.insert(chance.randint(1, len(lines)), "")
        traits.append("blank line")
    if chance.random() < 0.08:
        lines.insert(0, f"sep={delimiter}")
        traits.append("sep=")
    text = end.join(lines) + (end if chance.random() < 0.8 else "")
    encoding = chance.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-8-sig", "utf-16"))
    if encoding != "utf-8":
        traits.append(encoding)
    content, name = text.encode(encoding), "a.csv"
    if chance.random() < 0.1:
        content, name = gzip.compress(content, 1), "a.csv.gz"
        traits.append("gzip")
    return GeneratedFile(name, content, rows, delimiter, tuple(traits))


def _quoted(cell: str, delimiter: str, quoting: str) -> str:
    special = any(mark in cell for mark in (delimiter, '"', "\n", "\r"))
    is_text = not cell.lstrip("-").replace(".", "").replace(",", "").isdigit()
    if quoting != "none" and (special or quoting == "all" or (quoting == "text" and is_text)):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def python_rows(file: GeneratedFile, dialect: Dialect) -> list[tuple[str, ...]]:
    """Return the rows as Python's csv reads the file in a dialect, stripped; blank lines are left out."""
    reported = dialect.to_json()
    content = gzip.decompress(file.content) if dialect.layout.compression else file.content
    encoding = "utf-8-sig" if reported["encoding"] == "utf-8" else reported["encoding"]
    text = io.StringIO(content.decode(encoding), newline="")
    for _ in range(reported.get("skipped_lines", 0)):
        text.readline()
    mark = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}[reported["delimiter"]]
    if reported["quoted"]:
        return stripped(csv.reader(text, delimiter=mark))
    return stripped(csv.reader(text, delimiter=mark, quoting=csv.QUOTE_NONE))


def stripped(rows: Iterable[list[str]]) -> list[tuple[str, ...]]:
    """Return the rows that are not blank, with stripped cells."""
    cells = (tuple(cell.strip(values.BLANKS) for cell in row) for row in rows)
    return [row for row in cells if any(row)]
