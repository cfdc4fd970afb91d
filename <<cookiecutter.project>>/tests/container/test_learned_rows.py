"""The record of a model's rows tells rows that it has learned from, in a bounded file."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from container import learned_rows
from container.data.encode import TabularDataset


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
    images = np.random.default_rng(1).integers(0, 256, (4, 192), dtype=np.uint8)
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
