"""The comparison of answers: a wrong model is found, and so is a model that is worse."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.canary import capture, golden_set, scoring
from functions.canary.golden_set import GoldenRequest
from functions.canary.settings import Limits, SettingsError, read

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(NUMBERS, st.floats(1e-8, 1e-2))
def test_an_answer_may_differ_in_its_last_bits_only(value: float, change: float) -> None:
    """The same model on another processor passes; another model does not."""
    assert scoring.matches(value, value * (1 + 1e-12), 1e-9)
    if abs(value) > 1e-3:
        assert not scoring.matches(value, value * (1 + change), 1e-9)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_model_in_32_bits_may_differ_by_the_absolute_tolerance(value: float, change: float) -> None:
    """Another processor adds in another order, and near 0 that is any share of an answer."""
    recorded = {"label": "a", "probabilities": {"a": value}}
    near, far = value + change * 9e-6, value + 2e-5
    assert scoring.matches(recorded, {"label": "a", "probabilities": {"a": near}}, 1e-9, 1e-5)
    assert not scoring.matches(recorded, {"label": "a", "probabilities": {"a": far}}, 1e-9, 1e-5)


def test_the_golden_set_has_an_absolute_tolerance() -> None:
    """Older files have none, and are compared to the last bits."""
    sent = [{"id": "golden-0001", "body": "1", "label": 1.0, "answer": 1.0}]
    written = {"version": 1, "content_type": "text/csv", "requests": sent}
    assert golden_set.parse(json.dumps(written).encode(), "s3://b/golden.json").absolute_tolerance == 0
    exact = golden_set.parse(json.dumps(written | {"precision": 2e-5}).encode(), "s3://b/golden.json")
    assert exact.absolute_tolerance == 2e-5


def test_probabilities_are_compared_too() -> None:
    """A classifier with the same label and another confidence is another model."""
    recorded = {"label": "a", "probabilities": {"a": 0.9, "b": 0.1}}
    assert scoring.matches(recorded, json.loads(json.dumps(recorded)), 1e-9)
    others: list[Any] = [
        {"label": "a", "probabilities": {"a": 0.8, "b": 0.2}},
        {"label": "b", "probabilities": {"a": 0.9, "b": 0.1}},
        {"label": "a", "probabilities": {"a": 0.9}},
        "a",
        None,
    ]
    assert not any(scoring.matches(recorded, other, 1e-9) for other in others)
    assert not any(scoring.matches(1.0, other, 1e-9) for other in (True, None, "1.0", math.nan))


def requests(*labels: Any) -> list[GoldenRequest]:
    return [GoldenRequest(f"golden-{number}", "", label, 0.0) for number, label in enumerate(labels)]


@given(st.lists(NUMBERS, min_size=2, max_size=20), st.floats(0.1, 1000))
def test_the_error_of_numbers_has_no_unit(labels: list[float], factor: float) -> None:
    """One tolerance suits prices in dollars and in millions."""
    guessed = [0.0] * len(labels)
    small = scoring.error(requests(*labels), guessed)
    large = scoring.error(requests(*(label * factor for label in labels)), guessed)
    if scoring.median_deviation(labels) > 1e-6 and len(set(labels)) > 1:
        assert large == pytest.approx(small, rel=1e-6)


def test_the_error_of_known_answers() -> None:
    """Perfect answers have the error 0; an answer of another kind has an infinite one."""
    assert scoring.error(requests(1.0, 2.0, 4.0), [1.0, 2.0, 4.0]) == 0
    assert scoring.error(requests(1.0, 2.0, 3.0), [2.0, 2.0, 2.0]) == 1
    assert scoring.error(requests("a", "b"), [{"label": "a"}, {"label": "a"}]) == 0.5
    assert scoring.error(requests(1.0, 2.0), ["a", 2.0]) == math.inf
    assert scoring.error(requests(5.0, 5.0), [5.0, 6.0]) == 0.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1))
def test_percentiles_are_measured_values(values: list[float], share: float) -> None:
    """At least the share of all values is not above the percentile."""
    found = scoring.percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_enough_requests_leave_a_record() -> None:
    """At any capture percentage, a missing record means that capture is broken."""
    assert capture.requests_needed(100) == 1
    for percentage in (1, 10, 50, 99):
        needed = capture.requests_needed(percentage)
        assert (1 - percentage / 100) ** needed <= 1e-9 * 1.0001
        assert (1 - percentage / 100) ** (needed - 1) > 1e-9 * 0.9999


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"version": 2, "content_type": "text/csv", "requests": []}', b'{"version": 1}'],
)
def test_a_file_without_golden_requests_is_refused(content: bytes) -> None:
    """An empty comparison must not count as a success."""
    with pytest.raises(golden_set.GoldenSetError):
        golden_set.parse(content, "s3://bucket/golden.json")


def test_a_settings_error_names_the_variable() -> None:
    """A variable that the template lacks is found by its name."""
    given = {"ANSWER_TOLERANCE": "1e-9", "GOLDEN_TOLERANCE": "0.1", "LATENCY_THRESHOLD_MS": "500"}
    assert read(Limits, given) == Limits(1e-9, 0.1, 500)
    with pytest.raises(SettingsError, match="LATENCY_THRESHOLD_MS is 'soon'"):
        read(Limits, given | {"LATENCY_THRESHOLD_MS": "soon"})
    with pytest.raises(SettingsError, match="ANSWER_TOLERANCE is not set"):
        read(Limits, {})
