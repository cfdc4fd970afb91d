"""Partial profiles are the same after being sent, and merge into the profile of the whole in any order."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.monitor.capture import Counts
from container.monitor.files import statistics_document
from container.monitor.partial_profile import PartialProfile, deserialize
from container.monitor.profile import TableProfile
from container.runtime.errors import UserError

KNOWN = {"a": frozenset({"x", "y"}), "b": frozenset[str]()}
CELLS = st.sampled_from(["1", "-2.5", "3.0", "x", "y", "z", "", "NA", "1e300", "-0.0"])
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12)


def partial_profile(rows: list[tuple[str, ...]]) -> PartialProfile:
    profile = TableProfile(known_texts=KNOWN)
    profile.update(pl.DataFrame(rows, schema=dict.fromkeys("abz", pl.String), orient="row"))
    return PartialProfile(profile, Counts(lines=len(rows)))


def sent(part: PartialProfile) -> PartialProfile:
    return deserialize(part.serialize(), KNOWN, "algo-1.json")


def described(part: PartialProfile) -> Any:
    part.profile.finalize()
    document = statistics_document(part.profile)
    for feature in document["features"]:
        sketch = (
            feature.get("numerical_statistics", {}).get("distribution", {}).get("kll", {}).get("sketch", {})
        )
        sketch["data"] = [sorted(level) for level in sketch.get("data", [])]
    return document, part.counts


@settings(max_examples=60)
@given(st.lists(TABLES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_parts_merge_into_the_whole_in_any_order(tables: list[list[tuple[str, ...]]], random: Any) -> None:
    """All digits are the same, after each part has been written to a file and read."""
    whole = partial_profile([row for table in tables for row in table])
    merged = PartialProfile(TableProfile(known_texts=KNOWN))
    for table in random.sample(tables, len(tables)):
        merged.merge(sent(partial_profile(table)))
    assert described(merged) == described(whole)


def test_what_is_sent_is_what_arrives() -> None:
    """Sums beyond a float's digits, empty parts and sketches that keep a sample are sent as well."""
    rows: list[tuple[str, ...]] = [(str(n * 10**9 + 1), "7", "") for n in range(20_000)]
    part = partial_profile(rows)
    assert sent(part).profile.columns["a"].moments == part.profile.columns["a"].moments
    assert described(sent(part))[0] == described(part)[0]
    assert described(sent(PartialProfile())) == described(PartialProfile())


def test_known_texts_are_counted_however_many_others_there_are() -> None:
    """The baseline's categories are counted, whichever part had too many texts."""
    noise: list[tuple[str, ...]] = [(f"t{n}", "1", "") for n in range(500)]
    merged = partial_profile([("x", "1", "")] * 3)
    merged.merge(sent(partial_profile([*noise, ("x", "1", ""), ("y", "1", "")])))
    merged.merge(sent(partial_profile([("y", "1", ""), ("new", "1", "")])))
    column = merged.profile.columns["a"]
    assert column.texts == {"x": 4, "y": 2}
    assert column.present == 507


@pytest.mark.parametrize(
    "serialized",
    [
        b"",
        b"[]",
        b"{}",
        b'{"version":9}',
        partial_profile([("1", "2", "3")]).serialize().replace(b'"quantiles":"', b'"quantiles":"AAAA'),
        partial_profile([("1", "2", "3")]).serialize().replace(b'"distinct":"', b'"distinct":"A'),
        json.dumps({"version": 2, "rows": 1, "columns": [], "counts": {"other": 1}}).encode(),
    ],
)
def test_file_of_another_kind_is_refused(serialized: bytes) -> None:
    """The error is one line with the file's name."""
    with pytest.raises(UserError, match=r"algo-1\.json"):
        deserialize(serialized, {}, "algo-1.json")
