"""The governor's requests: uploads are debounced, and each event is decided once."""

import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.stacks.governor import (
    QUIET,
    STATES,
    WORKFLOW,
    Execution,
    World,
    iso,
    settle,
    unlimited,
    upload,
    with_data,
)


def test_one_upload_starts_the_pipeline_after_the_quiet_period() -> None:
    """The variables name the reason and the data."""
    world = World(now=1_700_000_007.0)
    upload(world, "raw/a.csv", world.now)
    world.run_until(world.now + QUIET - 5)
    assert world.started == []
    assert settle(world) == [{"Reason": "data", "DataVersion": f"{iso(1_700_000_007)} raw/a.csv"}]


def test_a_burst_of_uploads_is_one_start() -> None:
    """Forty files, each with an event, cause one start, named by the newest file."""
    world = unlimited(1_700_000_000.0)
    for at in range(40):
        upload(world, f"raw/{at:03}.csv", 1_700_000_000 + at)
    assert [one["DataVersion"] for one in settle(world)] == [f"{iso(1_700_000_039)} raw/039.csv"]


def test_a_stream_of_uploads_has_few_debounce_executions() -> None:
    """A debounce execution hands over to the next, so their number does not grow with the stream."""
    world = unlimited(1_700_000_000.0)
    for at in range(60):
        upload(world, f"raw/{at:03}.csv", 1_700_000_000 + at * 10)
        assert len(world.waiting) <= 3
    assert len(settle(world)) == 1
    pages_of_a_listing = 30
    assert world.listings <= 4 * (600 / QUIET) * pages_of_a_listing


@settings(max_examples=40, deadline=None)
@example(gaps=[1.0, 1.0, float(QUIET)], delays=[1.0] * 8, rings=1, begin=0)
@given(
    gaps=st.lists(st.floats(0.1, 4 * QUIET), min_size=1, max_size=8),
    delays=st.lists(st.floats(0.1, 9.0), min_size=8, max_size=8),
    rings=st.integers(1, 3),
    begin=st.integers(0, 2 * QUIET),
)
def test_no_upload_is_missed_and_none_starts_twice(
    gaps: list[float], delays: list[float], rings: int, begin: int
) -> None:
    """In any order, with late and repeated events: the last upload causes a start, and each version one."""
    world = unlimited(1_700_000_000.0 + begin)
    moment = world.now
    for at, gap in enumerate(gaps):
        moment = max(moment + gap, world.now)
        upload(world, f"raw/{at}.csv", moment, delays[at], rings)
    last = f"raw/{len(gaps) - 1}.csv"
    versions = [one["DataVersion"] for one in settle(world)]
    assert world.learned() == (int(moment), last)
    # A run that starts at the moment of the last upload trains on the file, and is named by the one before.
    if all(run.began != moment for run in world.runs):
        assert versions[-1] == f"{iso(moment)} {last}"
    assert len(set(versions)) == len(versions)
    assert len(versions) <= 1 + sum(gap + 9 > QUIET for gap in gaps)


@pytest.mark.parametrize("key", ["raw/readme.txt", "raw/folder/"])
def test_a_file_that_training_does_not_read_starts_nothing(key: str) -> None:
    """The governor and the training take the same files as data."""
    world = World()
    upload(world, key, world.now)
    assert settle(world) == []
    rules = {
        re.findall(r"Key, .*? \? (/.*?/i) : (/.*?/i)\)", STATES["ListData"]["Assign"]["newest"])[0],
        re.findall(r"key, .*? \? (/.*?/i) : (/.*?/i)\)", STATES["IsTrainingData"]["Choices"][0]["Condition"])[
            0
        ],
        re.findall(r"Key, .*? \? (/.*?/i) : (/.*?/i)\)", WORKFLOW["States"]["ListData"]["Assign"]["found"])[
            0
        ],
    }
    assert len(rules) == 1


def test_deleted_data_start_nothing() -> None:
    """An upload that was deleted within the quiet period leaves nothing to train on."""
    world = World()
    upload(world, "raw/a.csv", world.now)
    world.objects.clear()
    assert settle(world) == []


@pytest.mark.parametrize(
    ("asked", "variables"),
    [
        ({"Reason": "schedule"}, {"Reason": "schedule", "DataVersion": f"{iso(1_699_000_000)} raw/b.csv"}),
        ({"Reason": "drift", "DataVersion": "v 7"}, {"Reason": "drift", "DataVersion": "v 7"}),
        (
            {"Reason": "drift", "Event": "an alarm", "DataVersion": "v 7"},
            {"Reason": "drift", "DataVersion": "v 7"},
        ),
        ({"Reason": 'a "b"\n', "DataVersion": "é" * 2000}, {"Reason": "a _b__", "DataVersion": "_" * 256}),
    ],
)
def test_a_request_is_decided_at_once(asked: dict[str, str], variables: dict[str, str]) -> None:
    """A request does not wait; a missing version is filled in, and texts are cut to the variable's limits."""
    world = with_data()
    world.begin(asked, "asked_by_hand")
    assert [one for _, one in world.started] == [variables]


def test_an_event_is_decided_once() -> None:
    """Each event of a reason is decided once; a request without an event is always decided."""
    world = with_data(takes=0.0, learns=False, limits={"cooldown": 0, "cap": 100})
    for _ in range(3):
        world.begin({"Reason": "drift", "Event": "demo-drift-any 10:00"}, "request")
    world.begin({"Reason": "schedule", "Event": "demo-drift-any 10:00"}, "request")
    world.begin({"Reason": "drift", "Event": "demo-drift-any 11:00"}, "request")
    assert [(one["Reason"], one["Event"]) for one in world.decided] == [
        ("drift", "demo-drift-any 10:00"),
        ("schedule", "demo-drift-any 10:00"),
        ("drift", "demo-drift-any 11:00"),
    ]
    world.ask("drift")
    world.ask("drift")
    assert [one["Event"] for one in world.decided[3:]] == ["", ""]


@pytest.mark.parametrize("asked", [{}, {"Reason": ""}, {"Reason": "  "}, {"Reason": 3}, {"DataVersion": "1"}])
def test_a_request_without_a_reason_is_refused(asked: dict[str, Any]) -> None:
    """The message says how to give one."""
    execution = Execution(World(), "x", asked)
    execution.step(STATES[execution.state])
    assert execution.state == "NotifyFailure"
    assert "give one" in execution.value["Cause"]
