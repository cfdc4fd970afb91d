"""The record of the rows that a model has learned from: files of the artifact, for later comparisons.

One has the keys by which the rows were split, in ascending order. Where rows of a later split have keys of
the same kind, these tell learned rows: two rows of the same features may be two observations.

The other has a checksum of 32 bits of each row as the model sees it, with its target, in ascending order. Of
a million learned rows, one test row in 4,295 has a checksum of the record by chance, and counts as learned.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from container.data import split_keys
from container.data.dataset import Dataset
from container.data.split import splitmix64
from container.data.split_keys import SplitKeys
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

FILE, KEYS = "learned_rows.npy", "learned_keys.npy"
# They take 16 MB in model.tar.gz, and keys 32 MB. Of more rows, only those with the smallest are recorded.
MAX_CHECKSUMS = 4_000_000
PART = 16_384  # rows whose checksums are computed together
STEP = np.uint64(0x9E3779B97F4A7C15)  # without it a zero would change nothing


def write(directory: Path, splits: Iterable[Dataset]) -> None:
    """Write the record of all rows of some splits."""
    splits = tuple(splits)
    checksums = np.concatenate([_checksums(split.features, split.target) for split in splits])
    np.save(directory / FILE, np.unique(checksums)[:MAX_CHECKSUMS], allow_pickle=False)
    keys = [split.keys for split in splits if split.keys is not None]
    if len(keys) == len(splits) and len({each.kind for each in keys}) == 1:
        rows = np.unique(np.concatenate([each.rows for each in keys]))[:MAX_CHECKSUMS]
        split_keys.write(directory / KEYS, SplitKeys(keys[0].kind, rows))


def new_rows(
    directory: Path, features: FloatArray, target: FloatArray, keys: SplitKeys | None = None
) -> NDArray[np.bool_]:
    """Return (n,) marks of the (n, n_features) rows that the model of a directory has not learned from.

    Rows are known by their keys, where both records have keys of one kind, else by their values.

    Raises:
        UserError: the directory has no record, or a damaged one.
    """
    learned = split_keys.read(directory / KEYS) if keys else None
    if keys and learned and keys.kind == learned.kind:
        return _new(keys.rows, learned.rows)
    return _new(_checksums(features, target), _read(directory / FILE))


def in_common(directory: Path, other: Path) -> tuple[int, int]:
    """Return how many learned rows two models share by their keys, and how many the one with fewer has.

    It is 0 of 0 without keys of one kind. Of long records, the smallest keys count, which both have.

    Raises:
        UserError: a record is damaged.
    """
    ours, theirs = (split_keys.read(each / KEYS) for each in (directory, other))
    if not ours or not theirs or ours.kind != theirs.kind:
        return 0, 0
    records = (ours.rows, theirs.rows)
    last = min((rows[-1] for rows in records if len(rows) >= MAX_CHECKSUMS), default=np.iinfo(np.uint64).max)
    ours_kept, theirs_kept = (rows[rows <= last] for rows in records)
    return len(np.intersect1d(ours_kept, theirs_kept)), min(len(ours_kept), len(theirs_kept))


def _new(rows: NDArray[np.unsignedinteger], learned: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    new = ~np.isin(rows, learned)
    return np.asarray(new & (rows <= learned[-1]) if len(learned) >= MAX_CHECKSUMS else new)


def _read(path: Path) -> NDArray[np.uint32]:
    try:
        record = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(
            f"its artifact has no {path.name}, so the rows that it has learned from are not known; "
            "models that are trained from now on have it"
        ) from error
    except (ValueError, EOFError) as error:
        raise UserError(f"its {path.name} is damaged: {error}") from error
    if not isinstance(record, np.ndarray) or record.dtype != np.uint32 or record.ndim != 1:
        raise UserError(f"its {path.name} is damaged: it is not a list of checksums")
    return record


def _checksums(features: FloatArray, target: FloatArray) -> NDArray[np.uint32]:
    """Return (n,) checksums of (n, n_features) rows, numbers or bytes, and their (n,) targets."""
    checksums = np.empty(len(target), dtype=np.uint32)
    for start in range(0, len(target), PART):
        part = slice(start, start + PART)
        state = np.zeros(len(target[part]), dtype=np.uint64)
        for word in (*_words(features[part]).T, *_words(target[part, np.newaxis]).T):
            with np.errstate(over="ignore"):
                state = splitmix64(state + word + STEP)
        checksums[part] = state >> np.uint64(32)
    return checksums


def _words(values: FloatArray) -> NDArray[np.uint64]:
    """Return (n, width) values as words, the same for equal ones: zero and NaN have several spellings."""
    if values.dtype.kind == "f":
        values = np.where(np.isnan(values), np.nan, values + 0.0)
    return np.ascontiguousarray(values).view(np.uint64)
