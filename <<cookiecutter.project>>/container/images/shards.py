"""What several instances have seen of the pictures: each looks at some and leaves it, and one merges it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from container.images.decode import PictureError
from container.images.inspection import Look, Seen
from container.images.sources import Labelled
from container.runtime.errors import UserError
from container.runtime.paths import ResourceConfig

_CHANGED = "the data has changed since the instances looked at it: start again"


def share(files: list[Labelled], resources: ResourceConfig) -> range:
    """Return the places of the pictures that this instance looks at."""
    return range(resources.hosts.index(resources.current_host), len(files), len(resources.hosts))


def write(path: Path, files: list[Labelled], seen: dict[int, Seen]) -> None:
    """Write what an instance has seen, by the place and the name of each picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [
        {"place": place, "name": files[place].name, **_stored(found)} for place, found in seen.items()
    ]
    path.write_text(json.dumps({"pictures": pictures}), encoding="utf-8")


def read(folder: Path, files: list[Labelled]) -> Iterator[Seen]:
    """Yield what all instances have seen, in the order of the files; refuse parts of other data."""
    parts = [json.loads(path.read_bytes())["pictures"] for path in sorted(folder.rglob("*.json"))]
    if not parts:
        raise UserError(f"there is no partial result in {folder}: each instance leaves one")
    seen = {each["place"]: each for part in parts for each in part}
    if sum(map(len, parts)) != len(files):
        raise UserError(
            f"{sum(map(len, parts))} pictures were looked at, and there are {len(files)}: {_CHANGED}"
        )
    for place, file in enumerate(files):
        if seen.get(place, {}).get("name") != file.name:
            raise UserError(f"no instance has looked at {file.name}: {_CHANGED}")
        yield _restored(seen[place])


def body(file: Labelled, look: Look) -> bytes:
    """Return the bytes of a picture; refuse those that are not the ones that were looked at."""
    content = file.read()
    if look.checksum != Look.checked(content):
        raise UserError(f"{file.name} is another picture now: {_CHANGED}")
    return content


def _stored(found: Seen) -> dict[str, Any]:
    if isinstance(found, PictureError):
        return {"reason": found.reason, "words": str(found)}
    return {"digest": found.digest.hex(), "numbers": found.numbers, "checksum": found.checksum}


def _restored(stored: dict[str, Any]) -> Seen:
    if "reason" in stored:
        return PictureError(stored["reason"], stored["words"])
    return Look(bytes.fromhex(stored["digest"]), tuple(stored["numbers"]), stored["checksum"])
