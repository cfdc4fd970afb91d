"""The clock that jumps: the same events at the same simulated times, and never over what has to be seen."""

from __future__ import annotations

import math
import socket
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import localcloud

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

access: Any = import_module("localcloud.core.access")
activity: Any = import_module("localcloud.core.activity")
alarms: Any = import_module("localcloud.services.cloudwatch.service")
clocks: Any = import_module("localcloud.core.clock")
requests: Any = import_module("localcloud.core.requests")
timing: Any = import_module("localcloud.core.timers")

BEGAN = 1_800_000_000.0  # a whole hour
HOUR = 3600.0


@dataclass
class World:
    """A cloud's timers on a machine whose time passes only here; what is done at a timer takes no time."""

    speed: float = 60.0
    skip: bool = True
    real: float = BEGAN
    worked: float = 0.0
    seen: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the timers, without a thread."""
        self.activities = activity.Activities(lambda: self.real, lambda: self.worked)
        clock = clocks.Clock(self.speed, BEGAN, lambda: self.real)
        self.timers = timing.Timers(clock, self.activities, skip=self.skip, spawn=self.spawn)

    @property
    def simulated(self) -> float:
        """The simulated seconds since the beginning."""
        return float(self.timers.clock.simulated() - BEGAN)

    def spawn(self, act: Callable[[], None], name: str) -> None:
        """Do what is done at a timer at once."""
        if name != timing.THREAD:
            act()

    def note(self, what: str, *, done: bool = False) -> Callable[[], bool]:
        """Return what notes the simulated time, to half a second; `done` is something to react to."""

        def act() -> bool:
            self.seen.append((what, round(self.simulated * 2) / 2))
            return done

        return act

    def follow(self) -> None:
        """Wait as a command does that has seen all."""
        self.activities.follow("command", self.activities.generation)

    def run(self, simulated: float, look: Callable[[], None] = lambda: None, patience: float = 1e9) -> float:
        """Let time pass until a simulated time, or some real seconds; return the real seconds."""
        began = self.real
        while self.simulated < simulated and self.real - began < patience:
            look()
            self.real += min(self.timers.step(), patience)
        return self.real - began


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1e5), st.floats(1, 3600)), max_size=8), st.data())
def test_the_mapping_is_monotone_and_invertible(steps: list[tuple[float, float, float]], data: Any) -> None:
    """Before, between and after jumps and changes of speed; a skipped time is the moment of its jump."""
    present = [BEGAN]
    clock = clocks.Clock(60.0, BEGAN, lambda: present[0])
    for seconds, skipped, speed in steps:
        present[0] += seconds
        clock.jump(clock.simulated() + skipped)
        clock.set_speed(speed)
    moments = sorted(data.draw(st.lists(st.floats(BEGAN, present[0] + 100), min_size=2, max_size=10)))
    shown = [clock.to_simulated(moment) for moment in moments]
    assert shown == sorted(shown)
    assert [clock.to_real(each) for each in shown] == pytest.approx(moments, abs=1e-3)
    wanted = data.draw(st.floats(BEGAN, shown[-1]))
    assert clock.to_simulated(clock.to_real(wanted)) >= wanted - 1.0


def test_a_jump_keeps_what_lies_on_its_two_sides_apart() -> None:
    """A duration over a jump has the skipped time, and one beside it has not; a plan from before stays."""
    present = [BEGAN]
    clock = clocks.Clock(60.0, BEGAN, lambda: present[0])
    present[0] += 10.0
    planned = BEGAN + 20.0
    assert clock.planned(planned, present[0]) - BEGAN == 1200.0
    clock.jump(BEGAN + 5000.0)
    assert clock.to_simulated(BEGAN + 9.999) - BEGAN == pytest.approx(599.94)
    assert clock.to_simulated(BEGAN + 10.0) - BEGAN == 5000.0
    assert clock.to_real(BEGAN + 4000.0) - BEGAN == 10.0
    assert clock.planned(planned, BEGAN + 9.0) - BEGAN == pytest.approx(1200.0)
    present[0] += 1.0
    assert clock.simulated() - BEGAN == 5060.0


def test_an_alarms_period_ends_at_a_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of one real second, on the two sides of a jump, belong to the hours of the simulated clock."""
    present = [BEGAN]
    clock = clocks.Clock(60.0, BEGAN, lambda: present[0])
    alarm = {"Namespace": "N", "MetricName": "M", "Period": 3600}
    values = [{"Timestamp": BEGAN + 10.4, "Value": 1.0, "Unit": "None"}]
    monkeypatch.setattr(
        alarms, "_stored", lambda _, since: [each for each in values if each["Timestamp"] >= since]
    )
    present[0] += 10.5
    clock.jump(BEGAN + HOUR)
    values.append({"Timestamp": BEGAN + 10.6, "Value": 2.0, "Unit": "None"})
    present[0] += 0.2
    clock.jump(BEGAN + 2 * HOUR + 16.0)
    newest, older, before = alarms.periods(alarm, clock, 3)
    assert [[each.total for each in period] for period in (newest, older, before)] == [[2.0], [1.0], []]


def cloud(world: World) -> None:
    """Give the cloud alarms, a schedule with a function, its metrics, an hourly job and a Wait."""
    values: list[float] = []

    def invoke() -> bool:
        values.append(world.timers.clock.simulated() + 0.3)
        return world.note("function", done=True)()

    def flush() -> bool:
        values.clear()
        return world.note("flush")()

    world.timers.every(10.0, world.note("alarms"), "alarms", lambda: timing.ALWAYS)
    world.timers.every(60.0, invoke, "schedule", lambda: timing.ALWAYS)
    world.timers.every(1.0, flush, "flush", lambda: values[0] if values else None)
    world.timers.at(BEGAN + HOUR + 1200.0, world.note("hour", done=True), "hour")
    world.timers.at(BEGAN + 301.7, world.note("Wait", done=True), "Wait", ends=True)


@pytest.mark.parametrize("speed", [20.0, 60.0])
def test_events_are_the_same_with_and_without_skipping(speed: float) -> None:
    """In the same order, at the same simulated times, and in a small part of the time of this machine."""
    skipping, waiting = World(speed), World(speed, skip=False)
    spent = []
    for world in (skipping, waiting):
        cloud(world)
        spent.append(world.run(2 * HOUR, world.follow))
    assert [what for what, _ in skipping.seen] == [what for what, _ in waiting.seen]
    tolerance = max(1.0, speed * timing.LOOK_SECONDS)
    assert [at for _, at in skipping.seen] == pytest.approx([at for _, at in waiting.seen], abs=tolerance)
    assert len(skipping.seen) > 7 * 60
    assert spent[0] < 0.3 * spent[1]


def test_an_idle_cloud_does_not_run_away() -> None:
    """What comes again and again is not waited for: the clock keeps its speed until somebody follows."""
    world = World()
    cloud(world)
    world.run(400.0, patience=60.0)
    assert [what for what, _ in world.seen].count("Wait") == 1
    before = world.simulated
    world.run(2 * HOUR, patience=5.0)
    assert world.simulated == pytest.approx(before + 5.0 * 60.0, rel=0.1)
    world.run(2 * HOUR, world.follow, patience=20.0)
    assert world.simulated >= 2 * HOUR


def test_a_machine_that_never_ends_is_not_followed_for_ever() -> None:
    """Without a command, waits are skipped for two hours of AWS after the last request, and then no more."""
    world = World(1.0)

    def again() -> bool:
        world.timers.at(world.timers.clock.simulated() + 60.0, again, "poller", ends=True)
        return True

    again()
    world.run(10 * HOUR, patience=60.0)
    assert timing.UNATTENDED - 60.0 <= world.simulated <= timing.UNATTENDED + 60.0
    world.timers.attend()
    world.run(10 * HOUR, patience=60.0)
    assert world.simulated == pytest.approx(2 * timing.UNATTENDED, abs=200.0)


def test_the_clock_keeps_its_speed_while_something_runs_or_a_person_may_answer() -> None:
    """A job, a request, an approval or load from outside hold it; afterwards it jumps."""
    world = World(1.0)
    world.timers.at(BEGAN + 1000.0, world.note("step"), "step", ends=True)

    def passed(seconds: float) -> float:
        before = world.simulated
        world.run(900.0, world.follow, patience=seconds)
        return world.simulated - before

    job = world.activities.begin(code=True)
    assert passed(5.0) == pytest.approx(5.0)
    world.activities.note_load()  # by the job itself
    job.end()
    job.end()
    with world.activities.awaited():
        assert passed(5.0) == pytest.approx(5.0)
    world.activities.note_load()
    assert passed(activity.LOAD_PAUSE) == pytest.approx(activity.LOAD_PAUSE, abs=0.01)
    assert world.run(1000.1, world.follow, patience=50.0) < 2.0
    assert [what for what, _ in world.seen] == ["step"]


def test_followers_and_pollers_look_before_the_clock_goes_on() -> None:
    """The clock stays for a command that has not seen what was done, and forgets one that was killed."""
    world = World(1.0)
    world.timers.every(100.0, world.note("schedule"), "schedule", lambda: timing.ALWAYS)
    world.follow()
    world.activities.touch()
    assert world.run(90.0, patience=3.0) == pytest.approx(3.0, abs=0.3)
    assert world.activities.has_news(world.activities.generation - 1)
    assert not world.activities.has_news(world.activities.generation)
    world.follow()
    assert world.run(90.0, patience=3.0) < 1.5
    world.activities.look("command")
    before = world.simulated
    world.run(before + 90.0, patience=activity.ABSENCE + 3.0)
    assert world.simulated - before == pytest.approx(activity.ABSENCE + 3.0, abs=0.5)
    assert not world.activities.followed


def test_a_process_that_works_is_not_quiet() -> None:
    """Threads that have not said that they are active hold the clock by the processor time that they take."""
    world = World(1.0)
    world.timers.at(BEGAN + 50.0, world.note("step"), "step", ends=True)
    world.activities.touch()

    def work() -> None:
        world.worked = (world.real - BEGAN) * 0.9

    world.run(40.0, work, patience=2.0)
    assert world.simulated == pytest.approx(2.0, abs=0.3)
    assert world.run(40.0, patience=2.0) < 0.5


def test_the_clock_stays_longer_on_a_machine_whose_threads_wake_late() -> None:
    """An event that travels between two threads there arrives before a jump; a machine recovers by itself."""
    world = World(1.0)

    def quiet() -> float:
        """Return the real seconds for which the clock stays after something was done."""
        world.activities.touch()
        world.timers.at(BEGAN + world.simulated + 50.0, world.note("step"), "step", ends=True)
        return world.run(world.simulated + 40.0)

    at_rest = quiet()
    world.activities.note_lateness(0.04)
    assert quiet() > at_rest + 0.1
    world.activities.note_lateness(60.0)
    assert quiet() < 1.0
    for _ in range(20):
        world.activities.note_lateness(0.0)
    assert quiet() == pytest.approx(at_rest, abs=0.005)


def test_the_timers_are_woken_only_where_nobody_looks_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand requests, each would otherwise wake a thread that can do nothing before a quiet time."""
    woken: list[float] = []
    world = World()
    monkeypatch.setattr(world.activities.changed, "notify_all", lambda: woken.append(world.real))
    first, second = world.activities.begin(), world.activities.begin()
    first.end()
    assert not woken  # one still runs
    second.end()
    assert len(woken) == 1
    world.activities.awake = world.real + world.activities.quiet / 2
    world.activities.begin().end()
    assert len(woken) == 1
    world.activities.awake = world.real + 60.0
    world.activities.begin().end()
    assert len(woken) == 2


@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
def test_a_long_jump_comes_at_a_whole_second(part: float) -> None:
    """A time that is written to the second is on the right side of it, and so in the right hour."""
    world = World(1.0)
    world.real += 7 + part
    cloud(world)
    world.activities.touch()
    world.timers.at(BEGAN + HOUR, world.note("step"), "step")
    world.run(HOUR + 30.0, world.follow, patience=60.0)
    assert world.simulated >= HOUR + 30.0
    segments = world.timers.clock._segments[2]  # noqa: SLF001 - only the mapping itself shows where it jumps
    over = [later for earlier, later in pairwise(segments) if later.simulated >= BEGAN + HOUR]
    assert over[0].real == math.floor(over[0].real)
    stamped = math.floor(world.real)
    assert world.timers.clock.to_simulated(stamped) >= BEGAN + HOUR - 30.0


def test_a_wait_in_a_thread_ends_with_a_jump() -> None:
    """The thread does not count as active while it waits, and is active again before the clock continues."""
    timers = timing.Timers(clocks.Clock(1.0))
    began, ended = timers.clock.simulated(), []

    def execution(seconds: float) -> None:
        with timers.activities.active():
            timers.sleep(seconds, "Wait")
            time.sleep(0.1)
            ended.append((seconds, timers.clock.simulated() - began))

    threads = [threading.Thread(target=execution, args=(seconds,)) for seconds in (50.0, 100.0, 20.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    timers.close()
    assert [seconds for seconds, _ in ended] == [20.0, 50.0, 100.0]
    assert [at for _, at in ended] == pytest.approx([20.0, 50.0, 100.0], abs=5.0)


def test_a_wait_ends_when_something_is_seen() -> None:
    """An alarm or a stop ends the wait of a deployment, also where the clock could jump to its end."""
    timers = timing.Timers(clocks.Clock(1.0), skip=False)
    stopped = threading.Event()
    threading.Timer(0.1, stopped.set).start()
    assert timers.wait(stopped.is_set, 3600.0, "step")
    assert not timers.wait(lambda: False, 0.1, "step")
    timers.close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "reads"),
    [
        ("POST", "/", {"x-amz-target": "SageMaker.DescribeEndpoint"}, b"", True),
        ("POST", "/", {"x-amz-target": "SageMaker.CreateTrainingJob"}, b"", False),
        ("POST", "/", {}, b"Action=DescribeStacks&Version=2010-05-15", True),
        ("POST", "/", {}, b"Version=2010-05-15&Action=CreateStack", False),
        ("POST", "/service/GraniteServiceVersion20100801/operation/GetMetricData", {}, b"", True),
        ("GET", "/bucket/key", {}, b"", True),
        ("PUT", "/bucket/key", {}, b"", False),
        ("POST", "/endpoints/name/invocations", {}, b"{}", False),
        ("GET", "/_aws/execute-api/id/prd/ping", {}, b"", False),
        ("GET", "/prd/ping", {"host": "id.execute-api.eu-central-1.amazonaws.com"}, b"", False),
    ],
)
def test_only_requests_that_change_something_are_load(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    reads: bool,  # noqa: FBT001 - as above
) -> None:
    """A command that describes and lists again and again does not hold the clock."""
    scope = {"method": method, "path": path, "query_string": b""}
    assert requests.reads(scope, headers, body) is reads


def test_a_command_learns_that_the_cloud_has_ended(tmp_path: Path) -> None:
    """It is a ConnectionError, whatever was cut off; leaving a cloud that has ended is not an error."""
    project = localcloud.Project(tmp_path, "name", "eu-central-1")
    key = access.AccessKey.create()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        ended = localcloud.Cloud(project, listener.getsockname()[1], 1, key)
        with pytest.raises(ConnectionError):
            ended.clock()
        listener.listen()

        def close_one() -> None:
            listener.accept()[0].close()

        threading.Thread(target=close_one, daemon=True).start()
        with pytest.raises(ConnectionError):
            ended.clock()
    ended.leave("command")
