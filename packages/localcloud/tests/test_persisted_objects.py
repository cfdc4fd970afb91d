"""S3's objects on disk: the files of a key are what S3 answers, whichever thread was last."""

from __future__ import annotations

import errno
import hashlib
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

account: Any = import_module("localcloud.core.account")
ministack: Any = import_module("localcloud.core.ministack")
patches: Any = import_module("localcloud.core.patches")
persisted: Any = import_module("localcloud.core.persisted_objects")
s3: Any = import_module("ministack.services.s3")

REGION, BUCKET, KEY = "eu-central-1", "persisted", "templates/a b"
REPEATS = 25


def own(name: str) -> Any:
    """Return what a name of ministack's S3 holds now."""
    return getattr(s3, name)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """S3 with an empty bucket, whose objects are in this folder."""
    monkeypatch.setattr(s3, "S3_PERSIST", True)
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path))
    persisted.install()
    with ministack.scope(REGION):
        own("_create_bucket")(BUCKET, b"", {})
        yield tmp_path / account.ACCOUNT / BUCKET
        own("_buckets").pop(BUCKET)
        own("_bucket_versioning").pop(BUCKET, None)
        own("_object_versions").pop((BUCKET, KEY), None)
    patches.undo()


def content(number: int) -> bytes:
    """Return a content that is long enough for two writers to meet."""
    return b"%d " % number * random.Random(number).randint(1_000, 30_000)


def put(number: int) -> int:
    """Put a content with metadata that say which it is."""
    with ministack.scope(REGION):
        return int(own("_put_object")(BUCKET, KEY, content(number), {"x-amz-meta-number": str(number)})[0])


def read() -> None:
    """Read the object, and fail unless its metadata are of its content."""
    with ministack.scope(REGION):
        status, headers, body = own("_get_object")(BUCKET, KEY, {})
    if status == 200:
        assert headers["ETag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        assert body == content(int(headers["x-amz-meta-number"]))


def delete() -> None:
    """Delete the object, as one of several."""
    body = f"<Delete><Object><Key>{KEY}</Key></Object></Delete>".encode()
    with ministack.scope(REGION):
        own("_delete_objects")(BUCKET, body, {})


def tag() -> None:
    """Tag the object, which writes its metadata again."""
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    with ministack.scope(REGION):
        own("_put_object_tagging")(BUCKET, KEY, body)


def copy() -> None:
    """Copy the object, and fail unless the copy has the metadata of its content."""
    with ministack.scope(REGION):
        own("_copy_object")(BUCKET, "copy", {"x-amz-copy-source": f"/{BUCKET}/{KEY.replace(' ', '%20')}"})
        if (copied := own("_get_object_data")(BUCKET, "copy")) is not None:
            record = own("_buckets")[BUCKET]["objects"]["copy"]
            assert copied == content(int(record["metadata"]["x-amz-meta-number"]))


def keep() -> None:
    """Write what is in memory only, as the keeper does."""
    with ministack.scope(REGION):
        persisted.write_all()


def together(*acts: Any) -> None:
    """Do things at the same time in a thread each, again and again."""
    start = threading.Barrier(len(acts))

    def repeat(act: Any) -> None:
        start.wait()
        for _ in range(REPEATS):
            act()

    with ThreadPoolExecutor(len(acts)) as pool:
        for future in [pool.submit(repeat, act) for act in acts]:
            future.result()


def check(disk: Path) -> None:
    """Fail unless the files of the key are what S3 answers, also after a restart."""
    status, headers, body = own("_get_object")(BUCKET, KEY, {})
    path = disk / KEY
    assert not list(disk.rglob("*.tmp"))
    assert (status == 200) == path.exists() == path.with_name(f"{path.name}.meta.json").exists()
    if status == 200:
        assert path.read_bytes() == body
        meta = json.loads(path.with_name(f"{path.name}.meta.json").read_text())
        assert (meta["etag"], meta["size"]) == (headers["ETag"], len(body))
        own("_buckets")[BUCKET]["objects"].clear()
        own("_load_persisted_bucket")(account.ACCOUNT, BUCKET, str(disk))
        _, again, kept = own("_get_object")(BUCKET, KEY, {})
        assert kept == body
        assert {**again, "Date": ""} == {**headers, "Date": ""}


@pytest.mark.parametrize("deletes", [False, True], ids=["puts", "puts and deletions"])
def test_the_files_are_what_s3_answers(disk: Path, caplog: Any, *, deletes: bool) -> None:
    """Two runs that upload the same template, and the keeper beside them, lose nothing and mix nothing."""
    numbers = iter(range(1_000_000))
    writers = [lambda: put(next(numbers))] * 3
    together(*writers, read, keep, copy, *([delete] if deletes else []))
    refused = ("Failed to persist", "Failed to delete")
    assert not [record.message for record in caplog.records if record.message.startswith(refused)]
    check(disk)


def test_versions_of_one_key_are_all_kept(disk: Path) -> None:
    """Each of the writes that come together in a bucket with versions is a version with its own content."""
    own("_bucket_versioning")[BUCKET] = "Enabled"
    numbers = iter(range(1_000_000))
    together(*[lambda: put(next(numbers))] * 3, keep, tag)
    versions = own("_object_versions")[BUCKET, KEY]
    assert len(versions) == 3 * REPEATS
    assert [each["is_latest"] for each in versions] == [False] * (3 * REPEATS - 1) + [True]
    for each in versions:
        number = int(each["metadata"]["x-amz-meta-number"])
        each["data"] = None  # as in the next cloud
        assert own("_get_object_data")(BUCKET, KEY, each["version_id"]) == content(number)
    check(disk)


@pytest.mark.parametrize("act", [partial(put, 2), delete, tag], ids=["put", "deletion", "tags"])
def test_what_a_full_disk_refuses_is_said_until_it_is_written(
    disk: Path, monkeypatch: pytest.MonkeyPatch, act: Any
) -> None:
    """S3 answers from memory, the save of the state fails, and a later one writes what was refused."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    own("_bucket_versioning")[BUCKET] = "Enabled"
    put(1)
    sidecar = disk / f"{KEY}.meta.json"
    before = sidecar.read_bytes()
    with monkeypatch.context() as full:
        full.setattr("os.replace", refuse)
        act()
        with pytest.raises(OSError, match="can't be written") as error:
            persisted.write_all()
        assert error.value.filename == f"s3://{BUCKET}/{KEY}"
        assert sidecar.read_bytes() == before
        answered = own("_get_object_data")(BUCKET, KEY)
    persisted.write_all()
    assert sidecar.read_bytes() != before
    own("_buckets")[BUCKET]["objects"].clear()
    own("_load_persisted_bucket")(account.ACCOUNT, BUCKET, str(disk))
    assert own("_get_object_data")(BUCKET, KEY) == answered


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_file_is_not_an_objects_content(disk: Path, damage: str) -> None:
    """A file that was lost or cut short outside of the cloud is an error, and not a shorter object."""
    put(1)
    if damage == "missing":
        (disk / KEY).unlink()
    else:
        (disk / KEY).write_bytes(content(1)[:10])
    for get in (own("_get_object_data"), lambda *names: own("_get_object")(*names, {})):
        with pytest.raises(OSError, match="the object's file has"):
            get(BUCKET, KEY)
