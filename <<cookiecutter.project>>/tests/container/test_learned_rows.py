"""The record of a model's rows tells rows that it has learned from, in a bounded file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from container import learned_rows
from container.data import encode, split_keys
from container.data.encode import TabularDataset
from container.data.reading import ReadingSettings
from container.data.schema import Schema
from container.data.split import NAMES, SplitSettings
from container.prepare import Settings, prepare
from container.runtime.errors import UserError


def rows(count: int, seed: int) -> TabularDataset:
    random = np.random.default_rng(seed)
    features = random.integers(0, 3, size=(count, 12)).astype(np.float64)
    return TabularDataset(pl.DataFrame(), features, random.integers(0, 2, count).astype(np.float64))


def test_rows_are_known_by_all_their_values(tmp_path: Path) -> None:
    """A row with another target or another feature is new; spellings of zero and of NaN do not matter."""
    features, target = np.array([[0.0, np.nan], [1.0, 2.0]]), np.array([0.0, 1.0])
    learned_rows.write(tmp_path, (TabularDataset(pl.DataFrame(), features, target),))
    assert not learned_rows.new_rows(tmp_path, features, target).any()
    assert learned_rows.new_rows(tmp_path, features, target[::-1]).all()
    assert learned_rows.new_rows(tmp_path, features[:, ::-1], target).all()
    spelled = np.array([[-0.0, -np.nan], [1.0, 2.0]])
    assert not learned_rows.new_rows(tmp_path, spelled, np.array([-0.0, 1.0])).any()


def test_images_are_known_by_their_bytes(tmp_path: Path) -> None:
    """Their features are bytes."""
    images: Any = np.random.default_rng(1).integers(0, 256, (4, 192), dtype=np.uint8)
    target = np.zeros(4)
    learned_rows.write(tmp_path, (TabularDataset(pl.DataFrame(), images[:2], target[:2]),))
    assert learned_rows.new_rows(tmp_path, images, target).tolist() == [False, False, True, True]


def test_a_record_has_four_bytes_a_row_and_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit some new rows are not known to be new, but no learned row passes for new."""
    learned, other = rows(2000, 1), rows(2000, 2)
    learned_rows.write(tmp_path, (learned,))
    size = (tmp_path / learned_rows.FILE).stat().st_size
    assert 4 * 1990 < size <= 4 * 2000 + 128
    seen = {(*features, target) for features, target in zip(learned.features, learned.target, strict=True)}
    others = [(*features, target) for features, target in zip(other.features, other.target, strict=True)]
    truth = np.array([row not in seen for row in others])
    assert learned_rows.new_rows(tmp_path, other.features, other.target).tolist() == truth.tolist()
    monkeypatch.setattr(learned_rows, "MAX_CHECKSUMS", 1000)
    learned_rows.write(tmp_path, (learned,))
    assert (tmp_path / learned_rows.FILE).stat().st_size == 4 * 1000 + 128
    new = learned_rows.new_rows(tmp_path, other.features, other.target)
    assert 800 < new.sum() < 1200
    assert not (new & ~truth).any()
    assert not learned_rows.new_rows(tmp_path, learned.features, learned.target).any()


FEW: dict[
    str, tuple[str, Callable[[int], str], dict[str, Any]]
] = {  # the columns of a table of 600 rows whose features repeat, and the settings of its split
    "group": ("g,s,y", lambda n: f"c{n // 2},{'mf'[n % 2]},{n * 7 % 5}", {"group": "g"}),
    "features": ("c,s,y", lambda n: f"c{n // 3},{'mf'[n % 3 % 2]},{n * 7 % 2}", {}),
    "counts": ("c,s,y", lambda n: f"{n % 3},{'mf'[n % 2]},{n * 7 % 5}", {}),
    "time": ("t,s,y", lambda n: f"2024-01-{n // 20 % 28 + 1:02},{'mf'[n % 2]},{n * 7 % 2}", {"time": "t"}),
}


def splits(root: Path, case: str, more: int = 0, **settings: Any) -> dict[str, TabularDataset]:
    """Prepare a table, with more rows below, and return its splits."""
    header, row, own = FEW[case]
    (root / "in").mkdir(parents=True)
    (root / "in/a.csv").write_text("\n".join([header, *map(row, range(600 + more))]))
    reading = ReadingSettings(missing_words=settings.pop("missing_words", ()))
    prepare(Settings("y", split=SplitSettings(**own | settings), reading=reading), root / "in", root / "out")
    schema = Schema.read(root / "out/schema/schema.json")
    return {name: encode.read(root / "out" / name, schema) for name in NAMES}


def marks(path: Path, test: TabularDataset) -> np.ndarray:
    return learned_rows.new_rows(path, test.features, test.target, test.keys)


@pytest.mark.parametrize("case", FEW)
def test_rows_are_known_again_by_the_keys_of_their_split(tmp_path: Path, case: str) -> None:
    """Protects the comparison of tables of few values, whose test rows look like rows that trained."""
    first = splits(tmp_path / "first", case)
    learned_rows.write(tmp_path, (first["train"], first["validation"]))
    again = splits(tmp_path / "again", case)["test"]
    assert len(again.target) > 90
    assert marks(tmp_path, again).all()
    by_values = learned_rows.new_rows(tmp_path, again.features, again.target)
    assert case == "time" or not by_values.all()
    assert marks(tmp_path, splits(tmp_path / "more", case, more=30)["test"]).mean() > 0.85
    other = splits(tmp_path / "other", case, seed=1, test=0.4)["test"]
    assert other.keys
    assert first["test"].keys
    assert marks(tmp_path, other).tolist() == np.isin(other.keys.rows, first["test"].keys.rows).tolist()
    assert 0.1 < marks(tmp_path, other).mean() < 0.6


def test_keys_of_another_kind_are_not_compared(tmp_path: Path) -> None:
    """Protects the comparison after a change of the columns, the group or the words: no key is the same."""
    first = splits(tmp_path / "first", "features")
    learned_rows.write(tmp_path, (first["train"], first["validation"]))
    changes: tuple[dict[str, Any], ...] = ({"group": "c"}, {"missing_words": ("c0",)})
    for number, changed in enumerate(changes):
        test = splits(tmp_path / str(number), "features", **changed)["test"]
        if test.features.shape == first["test"].features.shape:
            values = learned_rows.new_rows(tmp_path, test.features, test.target)
            assert marks(tmp_path, test).tolist() == values.tolist()
        assert test.keys
        assert first["test"].keys
        assert test.keys.kind != first["test"].keys.kind


def test_rows_that_are_written_otherwise_are_not_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the comparison with a champion that learned the test rows under other keys."""
    header, row, own = FEW["features"]
    recased: tuple[str, Callable[[int], str], dict[str, Any]] = (header, lambda n: row(n).upper(), own)
    for name, more in (("first", 0), ("more", 30), ("recased", 0)):
        if name == "recased":
            monkeypatch.setitem(FEW, "features", recased)
        found = splits(tmp_path / name, "features", more)
        learned_rows.write(tmp_path / name, (found["train"], found["validation"]))
    shared, fewer = learned_rows.in_common(tmp_path / "more", tmp_path / "first")
    assert shared > 0.85 * fewer > 100
    assert learned_rows.in_common(tmp_path / "recased", tmp_path / "first") == (0, fewer)


def test_damaged_keys_are_named(tmp_path: Path) -> None:
    """A record that can't be read makes no comparison."""
    test = splits(tmp_path / "first", "group")["test"]
    learned_rows.write(tmp_path, (test,))
    assert not marks(tmp_path, test).any()
    (tmp_path / learned_rows.KEYS).write_bytes(b"no keys")
    with pytest.raises(UserError, match=r"its learned_keys\.npy is damaged"):
        marks(tmp_path, test)
    np.save(tmp_path / "first/out/test" / split_keys.FILE, np.zeros(5, dtype=np.uint64))
    with pytest.raises(UserError, match=r"keys\.npy has 4 keys"):
        encode.read(tmp_path / "first/out/test", Schema.read(tmp_path / "first/out/schema/schema.json"))
