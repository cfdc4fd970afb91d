"""The files of a folder: which are tables and which are left out, and the columns that folders name."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from container.data import values
from container.runtime.errors import UserError

CSV, PARQUET = ".csv", ".parquet"
COMPRESSED = ".csv.gz"
_HIDDEN = re.compile(r"\.(?!hoodie$)|~\$|__MACOSX")  # an upload has .hoodie, which shows a lake
_SYSTEM = frozenset({"thumbs.db", "desktop.ini"})
# Files that Spark, Hive, Redshift and SageMaker leave beside tables.
_MARKERS = re.compile(
    r"_SUCCESS|_metadata|_common_metadata|_(?:started|committed)_[0-9]+|manifest(?:\.json)?|.+-manifest"
)
_MARKER_FOLDERS = ("_temporary", "_spark_metadata")
_LAKES = re.compile(r"_delta_log|\.hoodie|.+\.metadata\.json")  # of Delta Lake, Hudi and Iceberg
_DOCUMENTS = (".md", ".rst", ".pdf", ".py", ".ipynb", ".crc")
_HIVE_MISSING = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class SkippedFile:
    """Hold the name of a file that is not read, and why; `counts` when it may hold data."""

    name: str
    reason: str
    counts: bool = False


def suffix(name: str) -> str:
    """Return the kind of a table by its file's name, .csv or .parquet, or nothing."""
    lower = name.lower()
    if lower.endswith((CSV, COMPRESSED)):
        return CSV
    return PARQUET if lower.endswith(PARQUET) else ""


def is_hidden(name: str) -> bool:
    """Return whether a path is that of a hidden file, or of one that a system or an editor keeps."""
    parts = PurePosixPath(name).parts
    return any(map(_HIDDEN.match, parts)) or parts[-1].lower() in _SYSTEM


def find(directory: Path, *suffixes: str) -> list[Path]:
    """Return the files of a directory with one of the suffixes, as `present` does.

    Raises:
        UserError: there is none.
    """
    paths = present(directory, *suffixes)
    if not paths:
        names = f"{CSV}, {COMPRESSED} or {PARQUET}" if PARQUET in suffixes else CSV
        left = skipped(directory)
        found = f" ({left[0].name}: {left[0].reason})" if left else ""
        raise UserError(
            f"no {names} file in {directory}{found}: the data must be such files, with a name for each column"
        )
    return paths


def present(directory: Path, *suffixes: str) -> list[Path]:
    """Return the tables of a directory of these kinds, at any depth, sorted by path; not those left out."""
    named = [path for path in _files(directory) if suffix(path.name) in suffixes]
    return [path for path in named if not _reason(path.relative_to(directory).as_posix(), path)[0]]


def skipped(directory: Path) -> list[SkippedFile]:
    """Return the files of a directory that are not read as tables, sorted by path."""
    names = [(path.relative_to(directory).as_posix(), path) for path in _files(directory)]
    left = [(name, *_reason(name, path)) for name, path in names]
    return [SkippedFile(name, reason, counts) for name, reason, counts in left if reason]


def check_skipped(left: list[SkippedFile], read: int, most: float) -> None:
    """Refuse a directory of which more than a share of the files that may hold data is not read.

    Raises:
        UserError: it is more; the text names the setting.
    """
    counted = [each for each in left if each.counts]
    if len(counted) > most * (len(counted) + read):
        raise UserError(
            f"{counted[0].name}: {counted[0].reason}, and {len(counted)} of {len(counted) + read} files are "
            f"not read: more than max_skipped ({most:.0%}) in [data] of project.toml; move them, or raise it"
        )


def columns_of_folders(name: str) -> tuple[tuple[str, str], ...]:
    """Return the columns that Hive's folders name (year=2020/month=01/a.csv), with their values as text."""
    pairs = [part.partition("=") for part in PurePosixPath(name).parts[:-1]]
    decoded = [(unquote(key).strip(values.BLANKS), unquote(value)) for key, mark, value in pairs if mark]
    return tuple(
        (key, "" if value == _HIVE_MISSING else value.strip(values.BLANKS)) for key, value in decoded if key
    )


def check_folders(names: Iterable[str]) -> None:
    """Refuse files of which some are in Hive's folders, and others are not in folders of the same columns.

    Raises:
        UserError: the text names one file of each kind.
    """
    first: tuple[str, set[str]] | None = None
    for name in names:
        named = [key for key, _ in columns_of_folders(name)]
        keys = set(named)
        if len(keys) < len(named):
            raise UserError(f"{name}: two of its folders name one column: rename one of them without '='")
        first = first or (name, keys)
        if keys != first[1]:
            differing = min(keys ^ first[1])
            inside, outside = (name, first[0]) if differing in keys else (first[0], name)
            raise UserError(
                f"{inside} is in a folder '{differing}=…', and {outside} is not: all files must be in such "
                "folders, whose names are a column, or none; rename the folder without '='"
            )


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _reason(name: str, path: Path) -> tuple[str, bool]:
    """Return why a file is not read, or nothing, and whether it may hold data."""
    *_, last = parts = PurePosixPath(name).parts
    if lake := next((part for part in parts if _LAKES.fullmatch(part)), ""):
        raise UserError(
            f"{name}: '{lake}' shows a Delta Lake, Hudi or Iceberg table, whose files hold deleted rows too: "
            "write its present rows as Parquet or CSV"
        )
    if is_hidden(name):
        return "it is hidden, or in a hidden folder", False
    if _MARKERS.fullmatch(last) or any(part in _MARKER_FOLDERS for part in parts):
        return "it is a marker of the program that wrote the tables", False
    if kind := suffix(name):
        return ("", False) if path.stat().st_size else ("it is empty", kind == PARQUET)
    if last.lower().endswith(_DOCUMENTS) or PurePosixPath(last).stem.upper() in {"README", "LICENSE"}:
        return "it is a document or a program", False
    return f"its name does not end in {CSV}, {COMPRESSED} or {PARQUET}", True
