"""The governor's limits: new data, executions in progress, cooldown and daily cap."""

import re

import pytest
from delivery.templates.read import read_template
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stacks.governor import (
    AGAIN,
    CAP,
    COOLDOWN,
    DAY,
    LONGEST_PROJECT,
    OURS,
    ROLE,
    ROOT,
    STATES,
    WORKFLOW,
    Execution,
    Run,
    World,
    iso,
    settle,
    upload,
    with_data,
)


def test_without_new_data_nothing_starts() -> None:
    """The same data would give the same model; the next upload triggers a decision of its own."""
    world = World()
    assert world.ask("schedule")["Why"] == "NoNewData"
    world = with_data(watermark=(1_699_000_000, "raw/b.csv"))
    decided = world.ask()
    assert (decided["Result"], decided["Why"]) == ("Refused", "NoNewData")
    assert f"Nothing is newer than {iso(1_699_000_000)} raw/b.csv" in decided["Explanation"]
    assert world.schedule is None
    assert world.started == []


@pytest.mark.parametrize(("alarm", "reason"), [(f"{LONGEST_PROJECT}-drift-any", "drift"), ("other", "data")])
def test_data_that_drift_waited_for_have_the_reason_drift(alarm: str, reason: str) -> None:
    """Drift was refused for lack of new data; when they arrive, the execution has drift as its reason."""
    world = World(alarms=[alarm])
    assert world.ask()["Why"] == "NoNewData"
    upload(world, "raw/a.csv", world.now)
    assert [variables["Reason"] for variables in settle(world)] == [reason]


@given(
    newest=st.tuples(st.integers(0, 3), st.sampled_from(["", "raw/a.csv", "raw/b.csv"])),
    seen=st.tuples(st.integers(0, 3), st.sampled_from(["", "raw/a.csv", "raw/b.csv"])),
)
def test_governor_and_training_agree_on_what_is_new(newest: tuple[int, str], seen: tuple[int, str]) -> None:
    """Otherwise a start could lead to a training without new data, or new data to no start."""
    execution = Execution(World(), "x", {"LastModified": iso(seen[0]), "Key": seen[1]})
    file = {"LastModified": iso(newest[0]), "Key": newest[1]}
    record = {"Watermark": execution.value}
    execution.variables = {"newest": file, "found": {"Newest": file}, "production": record}
    (rule,) = WORKFLOW["States"]["HasNewData"]["Choices"]
    execution.state = "HasNewData"
    refuses = [execution.evaluate(one["Condition"]) for one in STATES["HasNewData"]["Choices"]]
    assert refuses == [newest[1] == "", not execution.evaluate(rule["Condition"])]


def test_an_execution_in_progress_refuses_another() -> None:
    """Any execution in progress leads to a refusal, and the request is retried after the execution's end."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 10, world.now + 2 * AGAIN, "CloudWatchEvent", "arn:rule")]
    decided = world.ask()
    assert (decided["Why"], decided["LookAgainAt"]) == ("RunInProgress", iso(world.now + AGAIN))
    assert "run-0" in decided["Explanation"]
    world.run_until(world.now + 4 * AGAIN)
    assert [(one["Result"], one.get("Why")) for one in world.decided] == [
        ("Refused", "RunInProgress"),
        ("Refused", "RunInProgress"),
        ("Started", None),
    ]


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4])
def test_an_execution_in_progress_is_found_on_any_page(at: int) -> None:
    """A newer execution may have ended before an older one, which waits for its approval."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 10 + one, world.now - 5, "CloudWatchEvent", "arn:rule") for one in range(5)]
    world.runs[at].ends = world.now + 10
    assert f"run-{at}" in world.ask()["Explanation"]


def test_old_executions_are_not_all_read() -> None:
    """An execution in progress cannot be older than its time limits together."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - (100 - one) * DAY, world.now - 5 * DAY) for one in range(90)]
    world.runs[3].ends = world.now + 10
    assert world.ask()["Result"] == "Started"
    pipeline = read_template(ROOT / "pipeline" / "pipeline.yml")["Parameters"]
    slowest = (
        60 * pipeline["ApprovalTimeoutInMinutes"]["MaxValue"]
        + 2 * 60 * pipeline["BuildTimeoutInMinutes"]["MaxValue"]
        + WORKFLOW["TimeoutSeconds"]
    )
    (days,) = re.findall(r"(\d+) \* 86400000", STATES["ListPipelineExecutions"]["Output"]["More"])
    assert slowest <= int(days) * DAY


def test_a_second_start_waits_for_the_end_of_the_cooldown() -> None:
    """It is refused with an explanation, and starts by itself after the cooldown."""
    world = with_data(takes=60.0)
    began = world.now
    assert world.ask()["Result"] == "Started"
    world.run_until(began + 1000)
    world.objects["raw/c.csv"] = world.now - 1
    decided = world.ask("drift", Event="the second")
    assert (decided["Why"], decided["LookAgainAt"]) == ("Cooldown", iso(began + COOLDOWN))
    assert f"{iso(began)[:-1]}.000Z, and the cooldown is {COOLDOWN} seconds" in decided["Explanation"]
    world.run_until(began + 2 * COOLDOWN)
    assert [at for at, _ in world.started] == [began, pytest.approx(began + COOLDOWN, abs=60)]
    assert world.decided[-1]["Reason"] == "drift"
    assert world.decided[-1]["Event"] == f"again at {iso(began + COOLDOWN)}"
    assert world.started[-1][1]["DataVersion"].endswith("raw/c.csv")


def test_starts_within_a_day_are_capped() -> None:
    """The next start follows when the first one is a day old."""
    world = with_data(learns=False, limits={"cooldown": 100})
    began = world.now
    for at in range(CAP):
        world.run_until(began + at * 1000)
        assert world.ask()["Result"] == "Started"
    world.run_until(began + CAP * 1000)
    decided = world.ask()
    assert (decided["Why"], decided["LookAgainAt"]) == ("DailyCap", iso(began + DAY))
    assert f"There were {CAP} starts within a day, and the cap is {CAP}" in decided["Explanation"]
    world.run_until(began + DAY + 100)
    assert len(world.started) == CAP + 1


@pytest.mark.parametrize(
    ("trigger", "detail"),
    [
        ("CloudWatchEvent", "arn:aws:events:eu-central-1:111122223333:rule/source"),
        ("StartPipelineExecution", "arn:aws:iam::111122223333:user/someone"),
        ("StartPipelineExecution", f"arn:aws:sts::111122223333:assumed-role/x{ROLE}/session"),
        ("StartPipelineExecution", f"arn:aws:sts::111122223333:assumed-role/{ROLE}x/session"),
        ("CreatePipeline", OURS),
    ],
)
def test_the_starts_of_others_are_not_limited(trigger: str, detail: str) -> None:
    """Starts by commits and people are not limited, and do not count for the cooldown."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 100, world.now - 1, trigger, detail) for _ in range(2 * CAP)]
    assert world.ask()["Result"] == "Started"


@pytest.mark.parametrize("detail", [OURS, OURS.rpartition("/")[0]])
def test_own_starts_are_recognized_by_the_role(detail: str) -> None:
    """CodePipeline records the caller, with the session or without."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 100, world.now - 1, detail=detail)]
    assert world.ask()["Why"] == "Cooldown"


def test_of_simultaneous_decisions_one_starts() -> None:
    """They have seen the same executions and use the same token."""
    world = with_data(takes=1000.0)
    both = [Execution(world, name, {"Reason": name}) for name in ("data", "drift")]
    for execution in both:
        while execution.state != "StartPipeline":
            execution.step(STATES[execution.state])
    for execution in both:
        execution.run()
    assert len(world.started) == 1
    assert [one["PipelineExecutionId"] for one in world.decided] == ["run-0", "run-0"]


def test_one_retry_serves_all_refusals() -> None:
    """A training takes all data, so a second refusal needs no schedule of its own."""
    world = with_data(takes=60.0)
    world.ask()
    world.run_until(world.now + 100)
    world.objects["raw/c.csv"] = world.now - 1
    first, second = world.ask("drift"), world.ask("schedule")
    assert "LookAgainAt" in first
    assert (second["Why"], "LookAgainAt" in second) == ("Cooldown", False)
    world.run_until(world.now + 2 * COOLDOWN)
    assert len(world.started) == 2
    assert world.schedule is None


ASKS = st.sampled_from(["upload", "drift", "schedule", "commit"])


@settings(max_examples=60, deadline=None)
@given(
    things=st.lists(st.tuples(ASKS, st.floats(1.0, 8000.0)), min_size=1, max_size=10),
    takes=st.floats(0.0, 9000.0),
    cooldown=st.integers(0, 9000),
    cap=st.integers(1, 3),
    learns=st.booleans(),
)
def test_limits_hold_and_no_data_are_forgotten(
    things: list[tuple[str, float]], takes: float, cooldown: int, cap: int, *, learns: bool
) -> None:
    """In any order of events no start breaks a limit, and in the end production has learned from all data."""
    world = World(takes=takes, learns=learns, limits={"cooldown": cooldown, "cap": cap})
    for at, (thing, gap) in enumerate(things):
        moment = world.now + gap
        if thing == "upload":
            upload(world, f"raw/{at:02}.csv", moment)
        world.run_until(moment)
        if thing == "commit":
            world.runs.append(Run(world.now, world.now + takes, "CloudWatchEvent", "arn:rule"))
        elif thing != "upload":
            world.begin({"Reason": thing, "Event": str(at)}, f"request-{at}")
    world.run_until(world.now + (len(things) + 2) * DAY)
    own = [run for run in world.runs if run.detail == OURS]
    for number, run in enumerate(own):
        a_second = 1.0  # is what CodePipeline's times are cut to here
        assert all(run.began - other.began >= cooldown - a_second for other in own[:number])
        assert sum(run.began - other.began < DAY - a_second for other in own[: number + 1]) <= cap
        assert not any(other.began < run.began < other.ends for other in world.runs if other is not run)
    newest = max(((int(at), key) for key, at in world.objects.items()), default=None)
    if learns:
        assert world.learned() == newest
    assert world.schedule is None or not learns
    assert not world.waiting
