"""S3's objects on disk: ministack's writes and reads of one key, one after the other.

Requests, jobs, state machines and the keeper write and read objects in threads of their own. The files of a
key are those of the record that S3 answers with, whichever thread comes last.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from localcloud.core.patches import Patch, patch, uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localcloud.core.service import Json

    Call = Callable[..., Any]

MODULE = "ministack.services.s3"
VERSION = "1.5.33"
TRIES = 100
# Each begins with a bucket and a key. A copy reads another object before it stores anything.
WRITERS = (
    "_complete_multipart_upload",
    "_copy_object",
    "_delete_object",
    "_delete_object_annotation",
    "_delete_object_tagging",
    "_put_object",
    "_put_object_acl",
    "_put_object_annotation",
    "_put_object_tagging",
)
READERS = ("_get_object", "_get_object_data", "_copy_object", "_upload_part_copy")
_S3 = uses(MODULE, "_buckets", "_persist_version_state")


class _Locks:
    """A lock for each key of a bucket, which exists while a thread uses it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()

    def __call__(self, bucket: str, key: str) -> Any:
        with self._guard:
            return self._locks.setdefault((bucket, key), threading.RLock())


class _SupersededError(Exception):
    """The content of a record was replaced on disk by that of another record."""


# One writer of a key at a time; in it, and in readers, one access to the key's files at a time. Nobody takes
# the lock of a second writer, or any lock within that of files, so that no two wait for each other.
_writing, _files = _Locks(), _Locks()
# The record whose content the file of a key has; none for objects of the cloud before this one.
_on_disk: dict[tuple[str, str], Json] = {}
# The keys whose files could not be written, and the key whose files a thread writes.
_unwritten: set[tuple[str, str]] = set()
_own = threading.local()


def install() -> None:
    """Apply every patch of this module."""
    _on_disk.clear()
    _unwritten.clear()
    for each in (
        _atomic_write,
        _persist_object,
        _delete_persisted_object,
        _persist_delete_marker,
        _read_body,
    ):
        each.apply()
    for each in _BY_NAME.values():
        each.apply()


def _current(bucket: str, key: str) -> Json | None:
    """Return the record that S3 answers with, or None without one."""
    record: Json | None = (_S3["_buckets"].get(bucket) or {"objects": {}})["objects"].get(key)
    return record


@contextmanager
def _noted(bucket: str, key: str) -> Iterator[None]:
    """Note whether the body, in this thread, can write the files of a key."""
    _own.key = bucket, key
    _unwritten.discard(_own.key)
    try:
        yield
    finally:
        _own.key = None


@patch(
    MODULE,
    "_atomic_write",
    version=VERSION,
    behaviour="who calls it writes a warning where it fails, and continues",
    reason="an object, a deletion or tags would be answered as a success, and be gone in the next cloud",
)
def _atomic_write(original: Call, path: str, data: Any, **named: Any) -> None:
    try:
        original(path, data, **named)
    except OSError:
        if key := getattr(_own, "key", None):
            _unwritten.add(key)
        raise


@patch(
    MODULE,
    "_persist_object",
    version=VERSION,
    behaviour="two threads that write an object use one temporary file, and the slower one wins",
    reason="a file would be lost, or hold another content than S3 answers with",
)
def _persist_object(original: Call, bucket: str, key: str, record: Json) -> None:
    with _files(bucket, key):
        if _current(bucket, key) is not record:  # replaced or deleted meanwhile, by who sees to the files
            return
        with _noted(bucket, key):
            original(bucket, key, record)
        if record["body"] is None:
            _on_disk[bucket, key] = record
        else:
            _unwritten.add((bucket, key))


@patch(
    MODULE,
    "_delete_persisted_object",
    version=VERSION,
    behaviour="a deletion removes the files of an object that was written meanwhile",
    reason="the object would be there without its content",
)
def _delete_persisted_object(original: Call, bucket: str, key: str) -> None:
    with _files(bucket, key):
        if _current(bucket, key) is None:
            original(bucket, key)
            _on_disk.pop((bucket, key), None)
            _unwritten.discard((bucket, key))


@patch(
    MODULE,
    "_persist_delete_marker",
    version=VERSION,
    behaviour="it uses the temporary file of another thread that writes the key",
    reason="as for the object",
)
def _persist_delete_marker(original: Call, bucket: str, key: str, marker: Json) -> None:
    with _files(bucket, key), _noted(bucket, key):
        original(bucket, key, marker)


@patch(
    MODULE,
    "_read_body",
    version=VERSION,
    behaviour="a replaced file is read as the content of the former object, and an unreadable one is empty",
    reason="a wrong content would be answered as a success",
)
def _read_body(original: Call, bucket: str, key: str, record: Json) -> bytes:
    with _files(bucket, key):
        is_current, owner = _current(bucket, key) is record, _on_disk.get((bucket, key), record)
        if not is_current and owner is not record and record.get("body") is None:
            raise _SupersededError(f"s3://{bucket}/{key}")
        content: bytes = original(bucket, key, record)
    size = record.get("size", len(content))
    if len(content) == size:
        return content
    if not is_current:  # deleted
        raise _SupersededError(f"s3://{bucket}/{key}")
    raise OSError(0, f"the object's file has {len(content)} bytes, and not {size}", f"s3://{bucket}/{key}")


def _one_writer(name: str) -> Patch:
    @patch(
        MODULE,
        name,
        version=VERSION,
        behaviour="threads that write one key mix the versions that each of them adds",
        reason="S3's writes of a key come one after the other",
    )
    def write(original: Call, bucket: str, key: str, *arguments: Any, **named: Any) -> Any:
        with _writing(bucket, key):
            if name in READERS:
                return _again(original, bucket, key, *arguments, **named)
            return original(bucket, key, *arguments, **named)

    return write


def _another_look(name: str) -> Patch:
    @patch(
        MODULE,
        name,
        version=VERSION,
        behaviour="an object that is replaced meanwhile is answered with the content of the other",
        reason="on AWS a read has the one or the other",
    )
    def read(original: Call, bucket: str, key: str, *arguments: Any, **named: Any) -> Any:
        return _again(original, bucket, key, *arguments, **named)

    return read


def _again(act: Call, *arguments: Any, **named: Any) -> Any:
    """Act, and once more each time that the object which it reads was replaced meanwhile."""
    for _ in range(TRIES - 1):
        try:
            return act(*arguments, **named)
        except _SupersededError:
            continue
    return act(*arguments, **named)


_BY_NAME = {
    **{name: _another_look(name) for name in READERS if name not in WRITERS},
    **{name: _one_writer(name) for name in WRITERS},
}


def write_all() -> None:
    """Write the files that could not be written before.

    Raises:
        OSError: one can't be written now either.
    """
    in_memory = {
        (bucket, key)
        for (_, bucket), stored in list(_S3["_buckets"]._data.items())  # noqa: SLF001 - of all accounts
        for key, record in list(stored["objects"].items())
        if record.get("body") is not None
    }
    for bucket, key in sorted(in_memory | _unwritten):
        with _writing(bucket, key):
            stored = _S3["_buckets"].get(bucket)
            if stored is None:
                _unwritten.discard((bucket, key))
                continue
            _S3["_persist_version_state"](bucket, key, stored)
        if (bucket, key) in _unwritten:
            raise OSError(0, "the object can't be written", f"s3://{bucket}/{key}")
