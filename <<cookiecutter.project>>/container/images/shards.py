"""Partial results of several instances: each inspects a share of the images, and a second job merges them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from container.images import inspection
from container.images.decode import ImageError
from container.images.inspection import ImageInfo
from container.images.labelled_file import LabelledFile
from container.runtime.errors import UserError
from container.runtime.paths import ResourceConfig

_CHANGED = "the data has changed since the instances inspected it: start again"


def share(files: list[LabelledFile], resources: ResourceConfig) -> range:
    """Return the indices of the images that this instance inspects."""
    return range(resources.hosts.index(resources.current_host), len(files), len(resources.hosts))


def write(path: Path, files: list[LabelledFile], inspected: dict[int, ImageInfo | ImageError]) -> None:
    """Write the results of an instance, by the index and the name of each image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        {"index": index, "name": files[index].name, **_to_json(info)} for index, info in inspected.items()
    ]
    path.write_text(json.dumps({"images": images}), encoding="utf-8")


def read(folder: Path, files: list[LabelledFile]) -> Iterator[ImageInfo | ImageError]:
    """Yield the results of all instances, in the order of the files.

    Raises:
        UserError: the results are not of these files, or there are none.
    """
    parts = [json.loads(path.read_bytes())["images"] for path in sorted(folder.rglob("*.json"))]
    if not parts:
        raise UserError(f"there is no partial result in {folder}: each instance leaves one")
    stored = {entry["index"]: entry for part in parts for entry in part}
    if sum(map(len, parts)) != len(files):
        raise UserError(
            f"{sum(map(len, parts))} images were inspected, and there are {len(files)}: {_CHANGED}"
        )
    for index, file in enumerate(files):
        if stored.get(index, {}).get("name") != file.name:
            raise UserError(f"no instance has inspected {file.name}: {_CHANGED}")
        yield _from_json(stored[index])


def read_body(file: LabelledFile, info: ImageInfo) -> bytes:
    """Return the bytes of an inspected image.

    Raises:
        UserError: they have changed since the inspection.
    """
    body = file.read()
    if info.checksum != inspection.checksum(body):
        raise UserError(f"{file.name} is another image now: {_CHANGED}")
    return body


def _to_json(info: ImageInfo | ImageError) -> dict[str, Any]:
    if isinstance(info, ImageError):
        return {"reason": info.reason, "message": str(info)}
    return {"digest": info.digest.hex(), "statistics": info.statistics, "checksum": info.checksum}


def _from_json(stored: dict[str, Any]) -> ImageInfo | ImageError:
    if "reason" in stored:
        return ImageError(stored["reason"], stored["message"])
    return ImageInfo(bytes.fromhex(stored["digest"]), tuple(stored["statistics"]), stored["checksum"])
