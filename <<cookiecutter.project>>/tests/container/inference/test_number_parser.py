"""Protects: numbers that the library reads are those that Python reads, to the last bit."""

import struct

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from container.payload import number_parser

PARSER = number_parser.create(1)
if PARSER is None:
    pytest.skip("the library is not available on this machine", allow_module_level=True)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
# Close to the middle between two doubles, where a careless reader rounds to the wrong side.
HALVES = st.builds(
    lambda number, power: f"{number // 2 * 2 + 1}e-{power}",
    st.integers(2**53, 10**19 - 1),
    st.integers(0, 18),
)
EXACT_HALVES = st.builds(
    lambda whole, power: str((2 * whole + 1) * 5**power) + f"e-{power}",
    st.integers(2**53, 2**54),
    st.integers(0, 3),
)
NUMBERS = st.one_of(
    FINITE.map(repr),
    st.floats(-1000, 1000).map(repr),
    st.integers(-(10**19), 10**19).map(str),
    st.decimals(-(10**6), 10**6, places=12).map(str),
    HALVES,
    EXACT_HALVES,
    st.builds(lambda number, power: f"{number}E{power:+}", st.integers(0, 10**17), st.integers(-30, 30)),
)


@given(st.lists(NUMBERS, min_size=1, max_size=30))
@settings(max_examples=300)
def test_a_number_is_exact_or_left_to_the_slower_reader(texts: list[str]) -> None:
    assert PARSER is not None
    for each in texts:
        found = PARSER.parse_csv(each.encode())
        if found is not None:
            assert struct.pack("d", found[0][0, 0]) == struct.pack("d", float(each))


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=30))
def test_ordinary_numbers_are_read(numbers: list[float]) -> None:
    """Protects speed: numbers as programs write them are never left to the slower reader."""
    assert PARSER is not None
    ordinary = [round(number, 6) for number in numbers]
    for body, found in (
        ("\n".join(map(repr, ordinary)), PARSER.parse_csv),
        (f'{{"instances": {[[number] for number in ordinary]}}}', PARSER.parse_json),
    ):
        rows = found(body.encode())
        assert rows is not None
        assert np.array_equal(rows[0][:, 0], ordinary)


@pytest.mark.parametrize(
    "body", [b"", b"\n", b"[", b"[[", b"{", b'{"instances"', b"1,2", b"-", b"1e", b"1.", b"x"]
)
def test_what_is_cut_is_left_to_the_slower_reader(body: bytes) -> None:
    """Protects against reading behind the end."""
    assert PARSER is not None
    assert PARSER.parse_csv(body) is None
    assert PARSER.parse_json(body) is None
