"""Branches of state machines: the clock jumps over their waits, and over nothing else that they do."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import wait
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from cloud_harness import project_at

if TYPE_CHECKING:
    from collections.abc import Callable

activity: Any = import_module("localcloud.core.activity")
branches: Any = import_module("localcloud.core.branches")
clocks: Any = import_module("localcloud.core.clock")
process: Any = import_module("localcloud.core.process")
timing: Any = import_module("localcloud.core.timers")


class Watched(activity.Activities):  # type: ignore[misc]
    """Activities of slow threads, that note how many branches are done when nothing is active any more."""

    done = 0
    empty: list[int]

    def begin(self, *, silent: bool = False, code: bool = False) -> Any:
        """Begin an activity, that of a thread itself late."""
        time.sleep(0.0 if silent else 0.02)
        return super().begin(silent=silent, code=code)

    def end(self, ending: Any) -> None:
        """End an activity, and note whether it was the last."""
        with self.changed:
            super().end(ending)
            if not self._running:
                self.empty.append(self.done)


def threads(activities: Any, act: Callable[[], None]) -> None:
    """Do something in three branches, as ministack runs those of Parallel."""
    started = [branches.BranchThread(activities, target=act, daemon=True) for _ in range(3)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def pool(activities: Any, act: Callable[[], None]) -> None:
    """Do something with three items, one after the other, as ministack runs those of Map."""
    with branches.BranchPool(activities, 1) as items:
        futures = [items.submit(act) for _ in range(3)]
        with activities.idle():
            wait(futures)
        for future in futures:
            future.result()


@pytest.mark.parametrize("run", [threads, pool])
def test_something_is_active_until_the_last_branch_has_ended(run: Callable[..., None]) -> None:
    """Between a parent that begins to wait and its branches, and between items, the clock finds no gap."""
    activities, idle = Watched(), threading.Event()
    activities.empty = []

    def act() -> None:
        idle.wait(10.0)
        with activities.changed:
            activities.done += 1

    def parent() -> None:
        with activities.active():
            run(activities, act)

    execution = threading.Thread(target=parent)
    execution.start()
    with activities.changed:
        assert activities.changed.wait_for(lambda: activities.generation == 1, 10.0)  # the parent is idle
    idle.set()
    execution.join(10.0)
    assert set(activities.empty) == {3}


@pytest.mark.parametrize(("run", "total"), [(threads, 50.0), (pool, 3 * 50.0)])
def test_the_clock_jumps_over_waits_in_branches(run: Callable[..., None], total: float) -> None:
    """Minutes in branches take no time here, although the execution's own thread waits for them."""
    timers = timing.Timers(clocks.Clock(1.0))
    began = timers.clock.simulated()
    ended = threading.Event()

    def parent() -> None:
        with timers.activities.active():
            run(timers.activities, lambda: timers.sleep(50.0, "Wait"))
        ended.set()

    threading.Thread(target=parent, daemon=True).start()
    assert ended.wait(10.0)
    timers.close()
    assert total <= timers.clock.simulated() - began < total + 10.0


def waits(seconds: int) -> dict[str, Any]:
    """Return states that wait."""
    return {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": seconds, "End": True}}}


def create(cloud: Any, definition: dict[str, Any]) -> str:
    """Create a state machine, and return its ARN."""
    created = cloud.stepfunctions.create_state_machine(
        name=cloud.unique("branches"),
        definition=json.dumps({"QueryLanguage": "JSONata", **definition}),
        roleArn=cloud.role,
    )
    return str(created["stateMachineArn"])


def run_skipping(cloud: Any, machine: str) -> tuple[dict[str, Any], float]:
    """Run a state machine on a clock that skips; return the execution and its simulated seconds."""
    project, began = project_at(cloud.cloud.root), cloud.cloud.clock()["simulated"]
    try:
        assert process.start(project, skip=True).skip
        execution = cloud.stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
        ended = cloud.until(
            lambda: cloud.stepfunctions.describe_execution(executionArn=execution),
            lambda seen: seen["status"] != "RUNNING",
        )
    finally:
        process.start(project, skip=False)
    return ended, cloud.cloud.clock()["simulated"] - began


def test_a_state_machine_does_not_wait_in_parallel_and_map(fast: Any) -> None:
    """The real state machine: hours in a branch, in items and in another machine are over at once."""
    items = {"Type": "Map", "Items": [1, 2], "MaxConcurrency": 1, "ItemProcessor": waits(3000), "End": True}
    mapped = {"StartAt": "Map", "States": {"Map": items}}
    child = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Arguments": {"StateMachineArn": create(fast, waits(6000))},
        "End": True,
    }
    nested = {"StartAt": "Child", "States": {"Child": child}}
    state = {"Type": "Parallel", "Branches": [waits(6000), mapped, nested], "End": True}
    ended, seconds = run_skipping(fast, create(fast, {"StartAt": "All", "States": {"All": state}}))
    assert ended["status"] == "SUCCEEDED"
    assert seconds >= 6000.0


def test_a_branch_that_fails_ends_the_waits_of_the_others(fast: Any) -> None:
    """The state fails when its branch does, with that branch's error, and not days later."""
    failing = waits(20)
    failing["States"]["Wait"] = {"Type": "Wait", "Seconds": 20, "Next": "Fail"}
    failing["States"]["Fail"] = {"Type": "Fail", "Error": "Broken", "Cause": "It is broken."}
    state = {"Type": "Parallel", "Branches": [waits(500_000), failing], "End": True}
    ended, seconds = run_skipping(fast, create(fast, {"StartAt": "All", "States": {"All": state}}))
    assert (ended["status"], ended["error"]) == ("FAILED", "Broken")
    assert 20.0 <= seconds < 100_000.0
