"""The keys by which rows were split, in a file beside each split: a later split knows rows again by them.

The file is an array of 64-bit numbers: first the kind of the keys, then one for each row. Keys of one kind
are equal for rows that the split has to keep together: those of a group, of the same features, or equal ones
of one time. Where each row has its own place, as in a table of counts, equal rows have different keys. The
kind is a hash of all on which the keys depend besides the cells, such as the names of the columns.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from container.runtime.errors import UserError

FILE = "keys.npy"


@dataclass(frozen=True)
class SplitKeys:
    """Hold the (n,) keys of rows, and their kind: keys of two kinds can't be compared."""

    kind: int
    rows: NDArray[np.uint64]


def write(path: Path, keys: SplitKeys) -> None:
    """Write keys to a file."""
    content = np.concatenate([np.array([keys.kind], dtype=np.uint64), keys.rows.astype(np.uint64)])
    np.save(path, content, allow_pickle=False)


def read(path: Path) -> SplitKeys | None:
    """Read the keys of a file; None where there is none, as an older release wrote none.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError) as error:
        raise UserError(f"its {path.name} is damaged: {error}") from error
    if (
        not isinstance(content, np.ndarray)
        or content.dtype != np.uint64
        or content.ndim != 1
        or not len(content)
    ):
        raise UserError(f"its {path.name} is damaged: it is not a list of keys")
    return SplitKeys(int(content[0]), content[1:])
