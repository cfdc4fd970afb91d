"""Inputs and outputs of jobs: between S3 and directories, as SageMaker moves them."""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from localcloud.core import ministack
from localcloud.core.model_archive import ArchiveError, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

CHUNK = 4 * 1024 * 1024
PROBE = 64 * 1024
GZIP = 31
# A block that keeps this share of its size is stored: compressing it costs ten times as much.
INCOMPRESSIBLE = 0.95
THREADS = 2
MAX_STORED = 65_535
# An object's address by the bucket's own name, or below S3's.
ADDRESS = re.compile(
    r"https://(?:(?P<bucket>[a-z0-9.-]+)\.)?s3(?:[.-][a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?/(?P<path>.+)"
)
# Magic number, deflate, no flags, no time, fastest, unknown system (RFC 1952).
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


class Object(NamedTuple):
    """An object of a job's input: its path in the job's directory, and its address."""

    name: str
    uri: str


class DataError(Exception):
    """Data can't be moved; the text becomes the job's failure reason."""


def parse_uri(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an s3:// address.

    Raises:
        DataError: it is not such an address.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise DataError(f"{uri} is not an s3:// address")
    return bucket, key


def parse_url(url: str) -> tuple[str, str]:
    """Return the bucket and the key of an object's https:// address.

    Raises:
        DataError: it is not such an address.
    """
    match = ADDRESS.fullmatch(url)
    bucket, _, key = "/".join(part for part in match.groups() if part).partition("/") if match else ("",) * 3
    if not key:
        raise DataError(f"{url} is not the address of an object in S3")
    return bucket, key


def keys_under(uri: str) -> list[str]:
    """Return the keys that begin with the address's key, in order, without folder markers."""
    bucket, prefix = parse_uri(uri)
    keys = ministack.object_keys(bucket) or {}
    return sorted(key for key in keys if key.startswith(prefix) and not key.endswith("/"))


def fetch(uri: str) -> bytes:
    """Return the content of the object at the address.

    Raises:
        DataError: it does not exist.
    """
    bucket, key = parse_uri(uri)
    content = ministack.get_object(bucket, key)
    if content is None:
        raise DataError(f"NoSuchKey (404): The specified key does not exist: {uri}")
    return content


def objects_of_prefix(uri: str) -> list[Object]:
    """Return every object under a prefix, by its path below the prefix.

    Raises:
        DataError: the prefix has no objects.
    """
    bucket, prefix = parse_uri(uri)
    keys = keys_under(uri)
    if not keys:
        raise DataError(no_objects(uri))
    return [Object(below(prefix, key), f"s3://{bucket}/{key}") for key in keys]


def objects_of_manifest(uri: str) -> list[Object]:
    """Return the objects that a manifest names (`[{"prefix": "s3://…/"}, "a.csv", …]`).

    Raises:
        DataError: the object is not a manifest.
    """
    prefix, names = _read_manifest(uri)
    return [Object(name, prefix + name) for name in names]


def download(objects: Iterable[Object], into: Path) -> None:
    """Write objects into a directory, by their names."""
    for each in objects:
        write(into, each.name, fetch(each.uri))


def _read_manifest(uri: str) -> tuple[str, list[str]]:
    """Return the prefix and the names that a manifest file holds."""
    try:
        first, *names = json.loads(fetch(uri))
        prefix = first["prefix"] + ""
        names = [name + "" for name in names]
    except (ValueError, KeyError, TypeError):
        raise DataError(f'{uri} is not a manifest: [{{"prefix": "s3://bucket/path/"}}, "file", …]') from None
    return prefix, names


def no_objects(uri: str) -> str:
    """Return SageMaker's words for an input without objects."""
    return (
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
        "exists in the selected region, that objects exist under that S3 prefix, and that the role has "
        "permissions on it."
    )


def below(prefix: str, key: str) -> str:
    """Return a key's path below a prefix, which may end within a name or be the key itself."""
    rest = key[len(prefix) :]
    if rest and (prefix.endswith("/") or not prefix):
        return rest
    if rest.startswith("/"):
        return rest[1:]
    return key[prefix.rfind("/") + 1 :]


def write(into: Path, name: str, content: bytes) -> None:
    """Write a file below a directory, never outside it.

    Raises:
        DataError: the name leads outside.
    """
    target = (into / name).resolve()
    if not target.is_relative_to(into.resolve()):
        raise DataError(f"{name} would be written outside the job's directory")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def upload(uri: str, content: bytes, kms_key: str | None = None) -> None:
    """Store an object whole; it appears with its last byte."""
    bucket, key = parse_uri(uri)
    headers = {"content-type": "application/octet-stream"}
    if kms_key:
        headers["x-amz-server-side-encryption"] = "aws:kms"
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = kms_key
    ministack.put_object(bucket, key, content, headers)


def upload_directory(directory: Path, uri: str, kms_key: str | None = None) -> None:
    """Store every file below a directory under an address, by its path."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and not path.is_symlink():
            name = path.relative_to(directory).as_posix()
            upload(f"{uri.rstrip('/')}/{name}", path.read_bytes(), kms_key)


def archive(*directories: Path) -> bytes:
    """Return directories as one gzipped tar: in chunks, each a gzip member, compressed in parallel.

    Of files with one name in several directories, the last is in it.
    """
    files = {path.relative_to(each).as_posix(): path for each in directories for path in _contents(each)}
    with ThreadPoolExecutor(THREADS) as pool:
        sink = _Members(pool)
        with tarfile.open(fileobj=sink, mode="w", copybufsize=CHUNK) as tar:  # type: ignore[call-overload]
            for name, path in files.items():
                tar.add(path, arcname=name, recursive=False)
        return sink.finish()


def _contents(directory: Path) -> list[Path]:
    """Return all paths below a directory, a directory before its content."""
    return sorted(directory.rglob("*"))


class _Members:
    """A file that turns the bytes that are written into gzip members, in order."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        """Compress in `pool`."""
        self._pool = pool
        self._buffer = bytearray()
        self._written = 0
        self._parts: list[bytes] = []
        self._pending: deque[Future[bytes]] = deque()

    def write(self, block: bytes) -> int:
        """Add a block; blocks that are not compressed yet are bounded."""
        self._buffer += block
        self._written += len(block)
        if len(self._buffer) >= CHUNK:
            self._compress()
        return len(block)

    def tell(self) -> int:
        """Return how much was written."""
        return self._written

    def finish(self) -> bytes:
        """Return all members."""
        self._compress()
        self._parts += [pending.result() for pending in self._pending]
        return b"".join(self._parts)

    def _compress(self) -> None:
        if not self._buffer:
            return
        self._pending.append(self._pool.submit(_gzip_member, self._buffer))
        self._buffer = bytearray()
        while len(self._pending) > 2 * THREADS:
            self._parts.append(self._pending.popleft().result())


def _gzip_member(block: bytearray) -> bytes:
    """Return a block as a gzip member, stored when it doesn't shrink."""
    sample = block[:PROBE]
    if len(zlib.compress(sample, 1)) >= INCOMPRESSIBLE * len(sample):
        return _stored(block)
    packer = zlib.compressobj(1, zlib.DEFLATED, GZIP)
    return packer.compress(block) + packer.flush()


def _stored(block: bytearray) -> bytes:
    """Return a block as a gzip member of stored blocks (RFC 1951, 3.2.4), faster than zlib makes one."""
    view = memoryview(block)
    parts: list[bytes | memoryview] = [GZIP_HEAD]
    for start in range(0, len(block), MAX_STORED):
        piece = view[start : start + MAX_STORED]
        last = start + len(piece) == len(block)
        parts += [struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece]
    parts.append(struct.pack("<II", zlib.crc32(block), len(block)))
    return b"".join(parts)


def extract(content: bytes, into: Path) -> None:
    """Unpack a model archive safely: no absolute paths, no links that lead out, no devices.

    Raises:
        DataError: the archive is damaged, or has such a member.
    """
    try:
        unpack(io.BytesIO(content), into)
    except ArchiveError as error:
        raise DataError(f"the model archive can't be unpacked: {error}") from None
