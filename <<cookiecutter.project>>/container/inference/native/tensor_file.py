"""Arrays in one file that processes map into memory together: a line of JSON, then each array's bytes."""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Arrays = dict[str, NDArray[Any]]
MAGIC = "arrays-1"
ALIGNMENT = 64  # bytes: a cache line
LONGEST_HEAD = 65536
KINDS = frozenset({"<f8", "<u8", "<u4", "<u2"})


def write(path: Path, facts: Mapping[str, object], arrays: Arrays) -> None:
    """Write facts and arrays; `read` gives them back."""
    places, at = {}, 0
    for name, array in arrays.items():
        places[name] = {"kind": array.dtype.str, "shape": list(array.shape), "at": at}
        at += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    head = json.dumps({"format": MAGIC, "facts": dict(facts), "arrays": places}).encode() + b"\n"
    with path.open("wb") as file:
        file.write(head.rjust(-(-len(head) // ALIGNMENT) * ALIGNMENT))
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).tobytes())
            file.write(bytes(-array.nbytes % ALIGNMENT))


def read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Map a file; return its facts and its read-only arrays. Raises `ValueError` when damaged."""
    with path.open("rb") as file:
        head = file.readline(LONGEST_HEAD)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    content = json.loads(head)
    if content["format"] != MAGIC:
        raise ValueError(f"its format is {content['format']}, and not {MAGIC}")
    return content["facts"], {
        name: _array(mapped, len(head), **place) for name, place in content["arrays"].items()
    }


def _array(mapped: mmap.mmap, start: int, *, kind: str, shape: list[int], at: int) -> NDArray[Any]:
    if kind not in KINDS or min([at, *shape]) < 0:
        raise ValueError(f"it holds an array of {kind} {shape} at {at}")
    count = int(np.prod(shape, dtype=object))
    return np.frombuffer(mapped, np.dtype(kind), count, start + at).reshape(shape)
