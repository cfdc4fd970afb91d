"""Captured requests: files of JSON lines, plain or gzip. What can't be read is counted, and never fatal."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import orjson

_SUFFIXES = (".jsonl", ".gz")
_GZIP = b"\x1f\x8b"
# Bytes that are looked at together, that are read at a time, and of the longest line: SageMaker captures
# bodies of some megabytes at most.
_BLOCK = 8_388_608
_CHUNK = 65_536
_LONGEST = 67_108_864
_SHARE = 33_554_432
# The canary's golden requests, and those that the synthetic schedule sends through the API.
ARTIFICIAL = ("golden-", "synthetic-")

Side = dict[str, Any]
# The id that ground truth names, both sides of the request, and the record.
Event = tuple[str, dict[str, Side], dict[str, Any]]


@dataclass(frozen=True)
class Window:
    """Hold from when and until when requests count: `inferenceTime` as far as the second, in UTC."""

    start: str = ""
    end: str = ""

    def holds(self, time: str) -> bool:
        """Tell whether a time lies in the window, the end excluded."""
        return self.start <= time and (not self.end or time < self.end)


@dataclass
class Counts:
    """Count what was read, and what was left out and why."""

    lines: int = 0
    broken: int = 0  # lines that are no captured request
    damaged: int = 0  # compressed files that end too early or are none
    artificial: int = 0  # golden and synthetic requests
    outside: int = 0  # requests of another time than the window
    without: int = 0  # requests of which the body was not captured
    unreadable: int = 0  # requests whose body is no table, such as an image
    narrow: int = 0  # rows by position with too few values
    unlabelled: int = 0  # requests that no ground truth is known of
    mismatched: int = 0  # requests whose ground truth does not fit their predictions

    def __iadd__(self, other: "Counts") -> Self:
        """Add what another part has counted."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)
        return self


@dataclass(frozen=True)
class Share:
    """Hold a part of a file: the lines that begin from `start` on and before `end`; without an end, all."""

    path: Path
    start: int = 0
    end: int | None = None


def find(source: Path) -> list[Path]:
    """Return the files of captured requests in a directory, at any depth, sorted by path."""
    return sorted(path for path in source.rglob("*") if path.suffix in _SUFFIXES and path.is_file())


def shares(paths: Iterable[Path]) -> list[Share]:
    """Cut files in parts that can be read apart; a compressed one stays whole."""
    return [share for path in paths for share in _cut(path)]


def blocks(share: Share, counts: Counts) -> Iterator[list[bytes]]:
    """Read a part, some chunks of whole lines at a time."""
    if not _is_gzip(share.path):
        with share.path.open("rb") as file:
            yield from _blocks(file, share)
        return
    with _Compressed(share.path) as packed:
        yield from _blocks(io.BufferedReader(packed, _CHUNK), share)
        counts.damaged += packed.damaged


def values(chunk: bytes) -> list[Any]:
    """Return what each line of a chunk holds, None where it is no JSON; blank lines hold nothing.

    All of them together are one array, which costs less to read than each by itself.
    """
    text = chunk.strip()
    try:
        found: list[Any] = orjson.loads(b"[%b]" % text.replace(b"\n", b","))
    except orjson.JSONDecodeError:
        found = []
    if len(found) == text.count(b"\n") + 1:
        return found
    return [_value(line) for line in text.split(b"\n") if line and not line.isspace()]


def events(chunks: Iterable[bytes], window: Window, counts: Counts) -> Iterator[Event]:
    """Return what callers sent within a window."""
    always = window == Window()
    for chunk in chunks:
        found = values(chunk)
        counts.lines += len(found)
        for event in found:
            try:
                captured, about = event["captureData"], event["eventMetadata"]
                inference = about.get("inferenceId")
                if inference and inference.startswith(ARTIFICIAL):
                    counts.artificial += 1
                elif not (always or window.holds(about["inferenceTime"])):
                    counts.outside += 1
                elif captured.__class__ is dict:
                    yield inference or about["eventId"], captured, event
                else:
                    counts.broken += 1
            except (KeyError, TypeError, AttributeError):
                counts.broken += 1


def _value(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _cut(path: Path) -> Iterator[Share]:
    size = path.stat().st_size
    if size <= _SHARE or _is_gzip(path):
        yield Share(path)
        return
    for start in range(0, size, _SHARE):
        yield Share(path, start, min(start + _SHARE, size))


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


class _Compressed(io.RawIOBase):
    """Read a gzip file as far as it can be decompressed, and keep whether something was left."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.damaged = False
        self._file = gzip.open(path)  # noqa: SIM115 - closed with this

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = b"" if self.damaged else self._file.read1(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            self.damaged, found = True, b""
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()


def _blocks(file: IO[bytes], share: Share) -> Iterator[list[bytes]]:
    if share.start:
        file.seek(share.start - 1)
        _rest_of_line(file)
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK if share.end is None else max(0, min(_CHUNK, share.end - file.tell()))):
        if not chunk.endswith(b"\n"):
            chunk += _rest_of_line(file)
        chunks.append(chunk)
        size += len(chunk)
        if size >= _BLOCK:
            yield chunks
            chunks, size = [], 0
    yield chunks


def _rest_of_line(file: IO[bytes]) -> bytes:
    """Read to the end of a line; of one that is too long nothing, so that it is a broken one."""
    rest = file.readline(_LONGEST)
    if rest.endswith(b"\n") or len(rest) < _LONGEST:
        return rest
    while (more := file.readline(_LONGEST)) and not more.endswith(b"\n"):
        pass
    return b"\n"
