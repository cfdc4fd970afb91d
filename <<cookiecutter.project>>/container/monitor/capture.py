"""Captured requests: files of JSON lines, plain or gzip. What can't be read is counted, and never fatal.

SageMaker documents the format as data capture (a line holds `captureData` with the request and the response,
and `eventMetadata`). Such a record may be the value of `sagemakerMergeJson`, the name of the merged format.
"""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import orjson

from container.monitor.window import Window

_SUFFIXES = (".jsonl", ".gz")
# The beginnings of the names of hidden files and folders, of markers such as _SUCCESS, and of _temporary.
_HIDDEN = (".", "_", "~$")
MERGED = "sagemakerMergeJson"
_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 65_536  # read at a time
_BLOCK_BYTES = 8_388_608  # parsed and profiled together
_SHARD_BYTES = 33_554_432  # of a plain file that one process reads
_MAX_LINE_BYTES = 67_108_864  # SageMaker captures bodies of some megabytes at most
# The beginnings of the inference ids of the canary's golden requests, and of those of the synthetic schedule.
SYNTHETIC_PREFIXES = ("golden-", "synthetic-")

Side = dict[str, Any]
# The id that ground truth refers to, both sides of the request, and the record.
Event = tuple[str, dict[str, Side], dict[str, Any]]


@dataclass
class Counts:
    """Count the lines that were read, and what was left out by its reason."""

    files: int = 0
    other_files: int = 0  # files of another kind, which are not read
    hidden_files: int = 0  # files of captured requests that are hidden, or in a hidden folder
    lines: int = 0
    unparsable: int = 0  # lines that are not a captured request
    corrupt: int = 0  # compressed files that end too early or are not gzip throughout
    synthetic: int = 0  # golden and synthetic requests
    out_of_window: int = 0  # requests of another time than the window
    missing_body: int = 0  # requests whose body was not captured
    unreadable: int = 0  # requests whose body is not a table, such as an image
    too_few_columns: int = 0  # rows by position with too few values
    labelled: int = 0  # requests with ground truth, whether or not it can be used
    unlabelled: int = 0  # requests without ground truth
    mismatched: int = 0  # requests whose ground truth can't be read or does not fit their predictions
    unreadable_truth: int = 0  # lines of ground truth that can't be read
    relabelled: int = 0  # ids of ground truth with two different labels
    unmatched: int = 0  # ids of ground truth that no captured request has

    def __iadd__(self, other: "Counts") -> Self:
        """Add the counts of another part."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)
        return self


@dataclass(frozen=True)
class Shard:
    """Hold a part of a file: the lines that begin at byte `start` or later, and before byte `end` if set."""

    path: Path
    start: int = 0
    end: int | None = None


def find(source: Path, counts: Counts | None = None) -> list[Path]:
    """Return the files of captured requests in a directory, at any depth, sorted by path; count all files.

    Hidden files, and those in hidden folders such as .ipynb_checkpoints, are left out.
    """
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    seen = [path for path in paths if not _is_hidden(path.relative_to(source))]
    found = [path for path in seen if path.suffix in _SUFFIXES]
    if counts:
        counts.files += len(found)
        counts.other_files += len(seen) - len(found)
        counts.hidden_files += sum(path.suffix in _SUFFIXES for path in paths) - len(found)
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.parts)


def shards(paths: Iterable[Path]) -> list[Shard]:
    """Cut files into shards that can be read apart; a compressed file is one shard."""
    return [shard for path in paths for shard in _cut(path)]


def blocks(shard: Shard, counts: Counts) -> Iterator[list[bytes]]:
    """Read a shard in blocks of about 8 MiB, each a list of chunks of whole lines."""
    if not _is_gzip(shard.path):
        with shard.path.open("rb") as file:
            yield from _blocks(file, shard)
        return
    with _Compressed(shard.path) as compressed:
        yield from _blocks(io.BufferedReader(compressed, _CHUNK_BYTES), shard)
        counts.corrupt += compressed.is_corrupt


def parse_lines(chunk: bytes) -> list[Any]:
    """Return the JSON values of a chunk's lines, None for a line that is not JSON, nothing for a blank one.

    The lines are parsed as one array, which takes less time than parsing each.
    """
    text = chunk.strip()
    try:
        values: list[Any] = orjson.loads(b"[%b]" % text.replace(b"\n", b","))
    except orjson.JSONDecodeError:
        values = []
    # A line such as `1,2` makes the array longer than the chunk.
    if len(values) == text.count(b"\n") + 1:
        return values
    return [_parse(line) for line in text.split(b"\n") if line and not line.isspace()]


def events(chunks: Iterable[bytes], window: Window, counts: Counts) -> Iterator[Event]:
    """Return what callers sent within a window."""
    always = window == Window()
    for chunk in chunks:
        values = parse_lines(chunk)
        counts.lines += len(values)
        for line in values:
            try:
                event = line.get(MERGED, line)
                captured, metadata = event["captureData"], event["eventMetadata"]
                inference = metadata.get("inferenceId")
                if inference and inference.startswith(SYNTHETIC_PREFIXES):
                    counts.synthetic += 1
                elif not (always or window.contains(metadata["inferenceTime"])):
                    counts.out_of_window += 1
                elif captured.__class__ is dict:
                    yield inference or metadata["eventId"], captured, event
                else:
                    counts.unparsable += 1
            except (KeyError, TypeError, AttributeError):
                counts.unparsable += 1


def _parse(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _cut(path: Path) -> Iterator[Shard]:
    size = path.stat().st_size
    if size <= _SHARD_BYTES or _is_gzip(path):
        yield Shard(path)
        return
    for start in range(0, size, _SHARD_BYTES):
        yield Shard(path, start, min(start + _SHARD_BYTES, size))


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


class _Compressed(io.RawIOBase):
    """Read a gzip file up to the first byte that can't be decompressed, and keep whether there was one."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.is_corrupt = False
        self._file = gzip.open(path)  # noqa: SIM115 - closed with this

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = b"" if self.is_corrupt else self._file.read1(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.is_corrupt, content = True, b""
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def _blocks(file: IO[bytes], shard: Shard) -> Iterator[list[bytes]]:
    if shard.start:
        # The line that contains the byte before the start belongs to the shard before, even if it ends there.
        file.seek(shard.start - 1)
        _rest_of_line(file)
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_bytes_to_read(file, shard)):
        if not chunk.endswith(b"\n"):
            chunk += _rest_of_line(file)
        chunks.append(chunk)
        size += len(chunk)
        if size >= _BLOCK_BYTES:
            yield chunks
            chunks, size = [], 0
    yield chunks


def _bytes_to_read(file: IO[bytes], shard: Shard) -> int:
    return _CHUNK_BYTES if shard.end is None else max(0, min(_CHUNK_BYTES, shard.end - file.tell()))


def _rest_of_line(file: IO[bytes]) -> bytes:
    """Read to the end of a line. If it is too long, return its break alone, so that it can't be parsed."""
    rest = file.readline(_MAX_LINE_BYTES)
    if rest.endswith(b"\n") or len(rest) < _MAX_LINE_BYTES:
        return rest
    while (more := file.readline(_MAX_LINE_BYTES)) and not more.endswith(b"\n"):
        pass
    return b"\n"
