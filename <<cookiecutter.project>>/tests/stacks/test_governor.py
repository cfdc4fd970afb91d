"""The governor: whoever asks, and however uploads come, the pipeline is started once, and not too often."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonata import Jsonata

from scripts.templates.read import read_template

ROOT = Path(__file__).resolve().parents[2]
MACHINE = json.loads((ROOT / "stacks" / "governor.asl.json").read_text(encoding="utf-8"))
WORKFLOW = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
TEMPLATE = read_template(ROOT / "stacks" / "governor.yml")
STATES = MACHINE["States"]
QUIET = 30
COOLDOWN, CAP, AGAIN = 3600, 3, 1800
DAY = 86_400
LONGEST_PROJECT = "p" * 16
ROLE = f"{LONGEST_PROJECT}-governor-StateMachineRole-1ABCDEFGHIJKL"
OURS = f"arn:aws:sts::111122223333:assumed-role/{ROLE}/session"
# Errors that a state answers, and which are not faults.
ANSWERED = {
    "states:startExecution": "StepFunctions.ExecutionAlreadyExistsException",
    "aws-sdk:scheduler:createSchedule": "Scheduler.ConflictException",
    "aws-sdk:ssm:getParameter": "Ssm.ParameterNotFoundException",
}


# Step Functions, S3, Scheduler and the pipeline, in a time of their own


@dataclass
class Run:
    """An execution of the pipeline: by whom it was started, and when it began and ends."""

    began: float
    ends: float
    trigger: str = "StartPipelineExecution"
    detail: str = OURS


@dataclass
class World:
    """A clock in seconds, the data that lie there, the pipeline's runs, and what was started and decided.

    `takes` is how long a run takes, and each succeeds; the watermark moves then, when `learns`. Before the
    first model there is no watermark.
    """

    now: float = 1_700_000_000.0
    objects: dict[str, float] = field(default_factory=dict)
    watermark: tuple[float, str] | None = None
    takes: float = 0.0
    learns: bool = True
    runs: list[Run] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    waiting: list["Execution"] = field(default_factory=list)
    schedule: tuple[float, dict[str, str]] | None = None
    started: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    decided: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    alarms: list[str] = field(default_factory=list)
    listings: int = 0

    def begin(self, given_input: Any, name: str) -> "Execution":
        """Start an execution; its name is taken for ever, whether it runs or has ended."""
        execution = Execution(self, name, given_input)
        execution.run()
        return execution

    def ask(self, reason: str = "drift", **more: str) -> dict[str, Any]:
        """Ask as a person would, and return what was decided."""
        self.begin({"Reason": reason, **more}, f"by-hand-{len(self.names)}")
        return self.decided[-1]

    def run_until(self, moment: float) -> None:
        """Let those that wait go on, and schedules come, in the order of time."""
        while (at := self.next_thing()) <= moment:
            self.now = max(self.now, at)
            if self.schedule and self.schedule[0] <= at:
                (_, asks), self.schedule = self.schedule, None
                self.begin(asks, f"scheduled-{at}")
            else:
                execution = min(self.waiting, key=lambda one: one.wakes)
                self.waiting.remove(execution)
                execution.run()
        self.now = max(self.now, moment)

    def next_thing(self) -> float:
        """Tell when something happens next."""
        scheduled = [self.schedule[0]] if self.schedule else []
        return min([one.wakes for one in self.waiting] + scheduled, default=float("inf"))

    def learned(self) -> tuple[float, str] | None:
        """Give the newest data behind production: what lay there when a run that has ended began."""
        known = [self.watermark] if self.watermark else []
        for run in self.runs if self.learns else []:
            if run.ends <= self.now:
                known += [(int(at), key) for key, at in self.objects.items() if at <= run.began]
        return max(known, default=None)


@dataclass
class Execution:
    """One execution of the governor, evaluated as Step Functions does."""

    world: World
    name: str
    value: Any
    state: str = MACHINE["StartAt"]
    variables: dict[str, Any] = field(default_factory=dict)
    wakes: float = 0.0

    def run(self) -> None:
        """Go on until the end, or until it waits."""
        while self.state:
            state = STATES[self.state]
            if state["Type"] == "Wait" and self.wakes <= self.world.now and self.wakes == 0.0:
                seconds = self.evaluate(state["Seconds"])
                assert isinstance(seconds, int)
                assert seconds >= 1
                self.wakes = self.world.now + seconds
                self.world.waiting.append(self)
                return
            self.wakes = 0.0
            self.step(state)
        if self.value.get("Result") in ("Started", "Refused"):
            self.world.decided.append({**self.value, "at": self.world.now})

    def step(self, state: dict[str, Any]) -> None:
        """Carry out one state."""
        if state["Type"] == "Choice":
            matching = (rule for rule in state["Choices"] if self.evaluate(rule["Condition"]) is True)
            rule = next(matching, {"Assign": state.get("Assign", {}), "Next": state["Default"]})
            self.leave(rule, self.value)
        elif state["Type"] == "Task":
            self.task(state)
        else:
            assert state["Type"] in ("Wait", "Pass"), (self.name, self.state)
            self.leave({"Next": "", **state}, self.value)

    def task(self, state: dict[str, Any]) -> None:
        """Call the world; a name that is taken, or a parameter that is missing, is caught."""
        resource = state["Resource"].removeprefix("arn:aws:states:::")
        service, _, call = resource.rpartition(":")
        answer = CALLS[call](self.world, self.evaluate(state["Arguments"]))
        if answer is None:
            caught = next(one for one in state["Catch"] if ANSWERED[resource] in one["ErrorEquals"])
            self.leave(caught, self.value)
        else:
            assert service
            self.leave({"Next": "", **state}, self.value, answer)

    def leave(self, rule: dict[str, Any], value: Any, result: Any = None) -> None:
        """Assign, give the output and go to the next state."""
        assigned = {key: self.evaluate(one, result) for key, one in rule.get("Assign", {}).items()}
        self.value = self.evaluate(rule["Output"], result) if "Output" in rule else value
        self.variables |= assigned
        self.state = rule["Next"]

    def evaluate(self, template: Any, result: Any = None) -> Any:
        """Evaluate every expression of a template."""
        if isinstance(template, dict):
            return {key: self.evaluate(value, result) for key, value in template.items()}
        if not isinstance(template, str):
            return template
        if not template.startswith("{%"):
            return filled(template, self.world.limits)
        context = {"StateMachine": {"Id": "arn:governor"}, "Execution": {"Name": self.name, "Id": "arn:x"}}
        bound = {"states": {"input": self.value, "context": context, "result": result}, **self.variables}
        bound["now"] = int(self.world.now * 1000)
        limits = tuple(sorted(self.world.limits.items()))
        value = parsed(template, limits).evaluate(None, bound)
        assert value is not None, (self.state, template)  # Step Functions refuses what is not defined
        return value


# What the services answer; None says that a name is taken, or that a parameter does not exist.


def lists_objects(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List two objects a page."""
    world.listings += 1
    found = [
        {"Key": key, "LastModified": iso(moment), "Size": 1}
        for key, moment in sorted(world.objects.items())
        if key.startswith(arguments["Prefix"])
    ]
    start = int(arguments.get("ContinuationToken", 0))
    page = found[start : start + 2]
    return {
        "IsTruncated": start + 2 < len(found),
        **({"Contents": page} if page else {}),
        "NextContinuationToken": str(start + 2),
    }


def reads_the_watermark(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Give the watermark as the verification writes it, in the record of production."""
    assert arguments == {"Name": "/the/record"}
    if (learned := world.learned()) is None:
        return None
    moment, key = learned
    record = {"PipelineExecutionId": "1", "Watermark": {"LastModified": iso(moment), "Key": key}}
    return {"Parameter": {"Value": json.dumps(record)}}


def lists_runs(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List two runs a page, the newest first."""
    assert arguments["MaxResults"] <= 100
    found = [
        {
            "PipelineExecutionId": f"run-{at}",
            "Status": "InProgress" if run.ends > world.now else "Succeeded",
            "StartTime": iso(run.began),
            "Trigger": {"TriggerType": run.trigger, "TriggerDetail": run.detail},
        }
        for at, run in reversed(list(enumerate(world.runs)))
    ]
    start = int(arguments.get("NextToken", 0))
    more = {"NextToken": str(start + 2)} if start + 2 < len(found) else {}
    return {"PipelineExecutionSummaries": found[start : start + 2], **more}


def lists_alarms(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List the alarms that are on."""
    assert arguments["StateValue"] == "ALARM"
    prefix = arguments["AlarmNamePrefix"]
    return {"MetricAlarms": [{"AlarmName": name} for name in world.alarms if name.startswith(prefix)]}


def starts_the_pipeline(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """Start a run, once for a token."""
    variables = facts(arguments)
    if arguments["ClientRequestToken"] not in world.tokens:
        world.tokens.add(arguments["ClientRequestToken"])
        world.started.append((world.now, variables))
        world.runs.append(Run(world.now, world.now + world.takes))
    return {"PipelineExecutionId": f"run-{len(world.runs) - 1}"}


def starts_an_execution(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Start an execution of the governor itself."""
    assert arguments["StateMachineArn"] == "arn:governor"
    if arguments["Name"] in world.names:
        return None
    world.names.add(arguments["Name"])
    world.begin(arguments["Input"], arguments["Name"])
    return {"ExecutionArn": "arn:x"}


def makes_a_schedule(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Make the schedule, if there is none."""
    if world.schedule:
        return None
    at = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", arguments["ScheduleExpression"])
    assert at, arguments
    assert arguments["ActionAfterCompletion"] == "DELETE"
    assert (arguments["Target"]["Arn"], arguments["Target"]["RoleArn"]) == ("arn:governor", "arn:ask")
    moment = datetime.fromisoformat(at[1]).replace(tzinfo=UTC).timestamp()
    assert moment > world.now
    # It names a second, and comes within a minute.
    world.schedule = (moment + 1, json.loads(arguments["Target"]["Input"]))
    return {"ScheduleArn": "arn:schedule"}


CALLS: dict[str, Callable[[World, Any], dict[str, Any] | None]] = {
    "listObjectsV2": lists_objects,
    "getParameter": reads_the_watermark,
    "listPipelineExecutions": lists_runs,
    "startPipelineExecution": starts_the_pipeline,
    "startExecution": starts_an_execution,
    "createSchedule": makes_a_schedule,
    "describeAlarms": lists_alarms,
}


@cache
def parsed(template: str, limits: tuple[tuple[str, int], ...]) -> Jsonata:
    """Parse an expression once; the time is the world's."""
    expression = Jsonata(filled(template, dict(limits))[2:-2].replace("$millis()", "$now"))
    expression.register_lambda("hash", lambda text, _: hashlib.sha256(text.encode()).hexdigest())
    expression.register_lambda("parse", json.loads)
    return expression


def filled(text: str, limits: dict[str, int]) -> str:
    """Put in what the template substitutes."""
    values = {
        "ArtifactBucket": "the-bucket",
        "AskRoleArn": "arn:ask",
        "CooldownSeconds": limits.get("cooldown", COOLDOWN),
        "DailyCap": limits.get("cap", CAP),
        "DataPrefix": "raw/",
        "LookAgainSeconds": AGAIN,
        "NotificationTopicArn": "arn:topic",
        "PipelineName": f"{LONGEST_PROJECT}-pipeline",
        "ProductionParameter": "/the/record",
        "Project": LONGEST_PROJECT,
        "QuietSeconds": QUIET,
        "StateMachineRole": ROLE,
        "Workload": "tabular",
    }
    assert (
        values.keys() == TEMPLATE["Resources"]["StateMachine"]["Properties"]["DefinitionSubstitutions"].keys()
    )
    return re.sub(r"\$\{(\w+)\}", lambda found: str(values[found[1]]), text)


def facts(arguments: dict[str, Any]) -> dict[str, str]:
    """Read the call as CodePipeline does, holding it to its rules."""
    assert re.fullmatch(r"[A-Za-z0-9.@\-_]{1,100}", arguments["Name"])
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,128}", arguments["ClientRequestToken"])
    for variable in arguments["Variables"]:
        assert 1 <= len(variable["Value"]) <= 1000
        assert variable["Value"].isprintable()  # it is one line
    return {variable["Name"]: variable["Value"] for variable in arguments["Variables"]}


def iso(moment: float) -> str:
    """Write a moment as S3 lists it: in whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def upload(world: World, key: str, moment: float, delay: float = 0.5, rings: int = 1) -> None:
    """Put an object there, whose event arrives later, perhaps more than once."""
    world.run_until(moment)
    world.objects[key] = moment
    event = {"source": "aws.s3", "detail": {"bucket": {"name": "the-bucket"}, "object": {"key": key}}}
    for ring in range(rings):
        world.run_until(moment + delay)
        world.begin(event, f"event_{key}_{ring}")


def settle(world: World) -> list[dict[str, str]]:
    """Let all time pass and give what was started."""
    world.run_until(world.now + 100 * QUIET)
    assert not world.waiting
    return [variables for _, variables in world.started]


def unlimited(now: float) -> World:
    """Give a world whose owner allows everything."""
    return World(now=now, limits={"cooldown": 0, "cap": 100})


def with_data(**more: Any) -> World:
    """Give a world with data that production has not seen."""
    return World(objects={"raw/a.csv": 1_698_000_000, "raw/b.csv": 1_699_000_000}, **more)


# Data


def test_one_upload_starts_the_pipeline_after_the_quiet_period() -> None:
    """The variables say why and for which data."""
    world = World(now=1_700_000_007.0)
    upload(world, "raw/a.csv", world.now)
    world.run_until(world.now + QUIET - 5)
    assert world.started == []
    assert settle(world) == [{"Reason": "data", "DataVersion": f"{iso(1_700_000_007)} raw/a.csv"}]


def test_a_burst_is_one_delivery() -> None:
    """Forty files, each with its event, are one start, by the newest."""
    world = unlimited(1_700_000_000.0)
    for at in range(40):
        upload(world, f"raw/{at:03}.csv", 1_700_000_000 + at)
    assert [one["DataVersion"] for one in settle(world)] == [f"{iso(1_700_000_039)} raw/039.csv"]


def test_a_stream_of_uploads_keeps_few_gatherings_busy() -> None:
    """Gatherings hand over, so their number does not grow with the stream's length."""
    world = unlimited(1_700_000_000.0)
    for at in range(60):
        upload(world, f"raw/{at:03}.csv", 1_700_000_000 + at * 10)
        assert len(world.waiting) <= 3
    assert len(settle(world)) == 1
    pages_of_a_listing = 30
    assert world.listings <= 4 * (600 / QUIET) * pages_of_a_listing


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.floats(0.1, 4 * QUIET), min_size=1, max_size=8),
    delays=st.lists(st.floats(0.1, 9.0), min_size=8, max_size=8),
    rings=st.integers(1, 3),
    begin=st.integers(0, 2 * QUIET),
)
def test_no_upload_is_missed_and_none_starts_twice(
    gaps: list[float], delays: list[float], rings: int, begin: int
) -> None:
    """Whatever comes when, late or more than once: the last upload is announced, each version once."""
    world = unlimited(1_700_000_000.0 + begin)
    moment = world.now
    for at, gap in enumerate(gaps):
        moment = max(moment + gap, world.now)
        upload(world, f"raw/{at}.csv", moment, delays[at], rings)
    versions = [one["DataVersion"] for one in settle(world)]
    assert versions[-1] == f"{iso(moment)} raw/{len(gaps) - 1}.csv"
    assert len(set(versions)) == len(versions)
    assert len(versions) <= 1 + sum(gap + 9 > QUIET for gap in gaps)


@pytest.mark.parametrize("key", ["raw/readme.txt", "raw/folder/"])
def test_what_training_does_not_read_starts_nothing(key: str) -> None:
    """The governor and the training take the same files for data."""
    world = World()
    upload(world, key, world.now)
    assert settle(world) == []
    rules = {
        re.findall(r"Key, .*? \? (/.*?/i) : (/.*?/i)\)", STATES["List the data"]["Assign"]["newest"])[0],
        re.findall(r"key, .*? \? (/.*?/i) : (/.*?/i)\)", STATES["Is it data?"]["Choices"][0]["Condition"])[0],
        re.findall(
            r"Key, .*? \? (/.*?/i) : (/.*?/i)\)", WORKFLOW["States"]["List the data"]["Assign"]["found"]
        )[0],
    }
    assert len(rules) == 1


def test_data_that_went_again_start_nothing() -> None:
    """An upload that was deleted within the quiet period leaves nothing to train on."""
    world = World()
    upload(world, "raw/a.csv", world.now)
    world.objects.clear()
    assert settle(world) == []


# Whoever asks


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
def test_who_asks_is_heard_at_once(asked: dict[str, str], variables: dict[str, str]) -> None:
    """Nothing waits; a version is found where none is given; no text is more than a variable can hold."""
    world = with_data()
    world.begin(asked, "asked_by_hand")
    assert [one for _, one in world.started] == [variables]


def test_an_event_is_decided_once() -> None:
    """However often it is told; without one, and for another reason, each ask is decided anew."""
    world = with_data(takes=0.0, learns=False, limits={"cooldown": 0, "cap": 100})
    for _ in range(3):
        world.begin({"Reason": "drift", "Event": "demo-drift-any 10:00"}, "told")
    world.begin({"Reason": "schedule", "Event": "demo-drift-any 10:00"}, "told")
    world.begin({"Reason": "drift", "Event": "demo-drift-any 11:00"}, "told")
    assert [(one["Reason"], one["Event"]) for one in world.decided] == [
        ("drift", "demo-drift-any 10:00"),
        ("schedule", "demo-drift-any 10:00"),
        ("drift", "demo-drift-any 11:00"),
    ]
    world.ask("drift")
    world.ask("drift")
    assert [one["Event"] for one in world.decided[3:]] == ["", ""]


@pytest.mark.parametrize("asked", [{}, {"Reason": ""}, {"Reason": "  "}, {"Reason": 3}, {"DataVersion": "1"}])
def test_who_gives_no_reason_is_refused(asked: dict[str, Any]) -> None:
    """With a sentence that says what to give."""
    execution = Execution(World(), "x", asked)
    execution.step(STATES[execution.state])
    assert execution.state == "Tell of the failure"
    assert "give one" in execution.value["Cause"]


# Limits


def test_without_new_data_nothing_starts() -> None:
    """The same data would give the same model; only an upload changes that, and it asks by itself."""
    world = World()
    assert world.ask("schedule")["Why"] == "NoNewData"
    world = with_data(watermark=(1_699_000_000, "raw/b.csv"))
    decided = world.ask()
    assert (decided["Result"], decided["Why"]) == ("Refused", "NoNewData")
    assert f"Nothing is newer than {iso(1_699_000_000)} raw/b.csv" in decided["Explanation"]
    assert world.schedule is None
    assert world.started == []


@pytest.mark.parametrize(("alarm", "reason"), [(f"{LONGEST_PROJECT}-drift-any", "drift"), ("other", "data")])
def test_data_that_drift_waited_for_are_asked_for_by_drift(alarm: str, reason: str) -> None:
    """What it was refused without is there, and the run says why it is made."""
    world = World(alarms=[alarm])
    assert world.ask()["Why"] == "NoNewData"
    upload(world, "raw/a.csv", world.now)
    assert [variables["Reason"] for variables in settle(world)] == [reason]


@given(
    newest=st.tuples(st.integers(0, 3), st.sampled_from(["", "raw/a.csv", "raw/b.csv"])),
    seen=st.tuples(st.integers(0, 3), st.sampled_from(["", "raw/a.csv", "raw/b.csv"])),
)
def test_governor_and_training_agree_on_what_is_new(newest: tuple[int, str], seen: tuple[int, str]) -> None:
    """Else a start would be for a training that finds nothing, or none for one that would."""
    execution = Execution(World(), "x", {"LastModified": iso(seen[0]), "Key": seen[1]})
    file = {"LastModified": iso(newest[0]), "Key": newest[1]}
    record = {"Watermark": execution.value}
    execution.variables = {"newest": file, "found": {"Newest": file}, "production": record}
    (rule,) = WORKFLOW["States"]["Is anything newer?"]["Choices"]
    execution.state = "Is anything newer?"
    refuses = [execution.evaluate(one["Condition"]) for one in STATES["Is anything newer?"]["Choices"]]
    assert refuses == [newest[1] == "", not execution.evaluate(rule["Condition"])]


def test_a_run_in_progress_is_in_the_way() -> None:
    """Whoever started it; it is looked at again, until the run has ended."""
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
def test_a_run_in_progress_is_found_on_any_page(at: int) -> None:
    """A newer run may have ended before an older one, which waits for its approval."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 10 + one, world.now - 5, "CloudWatchEvent", "arn:rule") for one in range(5)]
    world.runs[at].ends = world.now + 10
    assert f"run-{at}" in world.ask()["Explanation"]


def test_old_runs_are_not_all_read() -> None:
    """No run goes on for longer than its approval and its training may take."""
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
    (days,) = re.findall(r"(\d+) \* 86400000", STATES["List the runs"]["Output"]["More"])
    assert slowest <= int(days) * DAY


def test_a_second_start_waits_for_the_end_of_the_cooldown() -> None:
    """It is refused with the reason, and starts by itself then: nobody has to ask again."""
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


def test_so_many_starts_a_day_are_the_most() -> None:
    """The next one comes when the day since the first of them is over."""
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
    """Commits and people start the pipeline as often as they like, and use up nobody's cooldown."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 100, world.now - 1, trigger, detail) for _ in range(2 * CAP)]
    assert world.ask()["Result"] == "Started"


@pytest.mark.parametrize("detail", [OURS, OURS.rpartition("/")[0]])
def test_the_own_starts_are_known_by_the_role(detail: str) -> None:
    """CodePipeline records who called, with the session or without."""
    world = with_data(learns=False)
    world.runs = [Run(world.now - 100, world.now - 1, detail=detail)]
    assert world.ask()["Why"] == "Cooldown"


def test_of_those_that_decide_at_once_one_starts() -> None:
    """They have seen the same runs, so CodePipeline takes both for the same call."""
    world = with_data(takes=1000.0)
    both = [Execution(world, name, {"Reason": name}) for name in ("data", "drift")]
    for execution in both:
        while execution.state != "Start the pipeline":
            execution.step(STATES[execution.state])
    for execution in both:
        execution.run()
    assert len(world.started) == 1
    assert [one["PipelineExecutionId"] for one in world.decided] == ["run-0", "run-0"]


def test_there_is_one_look_for_all() -> None:
    """A run takes all data, so who is refused while a look is due has nothing to add."""
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
    """Whatever happens when: no start breaks a limit, and in the end production has learned from all data."""
    world = World(takes=takes, learns=learns, limits={"cooldown": cooldown, "cap": cap})
    for at, (thing, gap) in enumerate(things):
        moment = world.now + gap
        if thing == "upload":
            upload(world, f"raw/{at:02}.csv", moment)
        world.run_until(moment)
        if thing == "commit":
            world.runs.append(Run(world.now, world.now + takes, "CloudWatchEvent", "arn:rule"))
        elif thing != "upload":
            world.begin({"Reason": thing, "Event": str(at)}, f"told-{at}")
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


# The template


def test_the_rule_sees_raw_data_only() -> None:
    """One prefix of one bucket; what the pipeline itself writes rings for nobody."""
    detail = TEMPLATE["Resources"]["DataRule"]["Properties"]["EventPattern"]["detail"]
    assert detail == {
        "bucket": {"name": [{"Ref": "ArtifactBucket"}]},
        "object": {"key": [{"prefix": {"Ref": "DataPrefix"}}]},
    }
    bucket = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["ArtifactBucket"]["Properties"]
    notified = bucket["NotificationConfiguration"]
    assert notified == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_the_schedule_asks_with_a_reason() -> None:
    """What the scheduler sends is an input that the governor takes, and decides once for each time."""
    target = TEMPLATE["Resources"]["Schedule"]["Properties"]["Target"]
    world = with_data()
    for time in ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z", "2026-02-01T12:00:00Z"):
        world.begin(json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", time)), "scheduled")
    assert [one["Event"] for one in world.decided] == ["2026-01-01T12:00:00Z", "2026-02-01T12:00:00Z"]
    assert world.started[0][1]["Reason"] == "schedule"


def test_an_alarm_of_drift_asks() -> None:
    """Each alarm of the project's that is raised, by its name and time, and no other one."""
    rule = TEMPLATE["Resources"]["DriftRule"]["Properties"]
    assert rule["EventPattern"]["detail"] == {
        "alarmName": [{"prefix": {"Fn::Sub": "${Project}-drift-"}}],
        "state": {"value": ["ALARM"]},
    }
    (target,) = rule["Targets"]
    transformer = target["InputTransformer"]
    assert transformer["InputPathsMap"] == {
        "alarm": "$.detail.alarmName",
        "since": "$.detail.state.timestamp",
    }
    said = transformer["InputTemplate"].replace("<alarm>", "p-drift-any").replace("<since>", "10:00")
    world = with_data()
    world.begin(json.loads(said), "told")
    assert world.decided[0]["Event"] == "p-drift-any 10:00"
    assert world.started[0][1]["Reason"] == "drift"


def test_names_are_step_functions_own() -> None:
    """At most 80 letters, digits, hyphens and underscores; a schedule's has 64."""
    world = unlimited(4_000_000_000.0)
    upload(world, "raw/" + "x" * 1000 + ".csv", world.now)
    assert len(settle(world)) == 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in world.names)
    name = filled(STATES["Look again later"]["Arguments"]["Name"], {})
    assert re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", name)
    assert name != f"{LONGEST_PROJECT}-retrain"


def test_the_role_may_do_what_the_machine_does_and_no_more() -> None:
    """Both ways; it starts one pipeline, one state machine, which is itself, and makes one schedule."""
    calls = {
        "aws-sdk:cloudwatch:describeAlarms": {"cloudwatch:DescribeAlarms"},
        "aws-sdk:codepipeline:listPipelineExecutions": {"codepipeline:ListPipelineExecutions"},
        "aws-sdk:codepipeline:startPipelineExecution": {"codepipeline:StartPipelineExecution"},
        "aws-sdk:s3:listObjectsV2": {"s3:ListBucket"},
        "aws-sdk:scheduler:createSchedule": {"scheduler:CreateSchedule", "iam:PassRole"},
        "aws-sdk:ssm:getParameter": {"ssm:GetParameter"},
        "sns:publish": {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"},
        "states:startExecution": {"states:StartExecution"},
    }
    tasks = [state for state in STATES.values() if state["Type"] == "Task"]
    needed = set().union(*(calls[state["Resource"].removeprefix("arn:aws:states:::")] for state in tasks))
    role = TEMPLATE["Resources"]["StateMachineRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    named = {statement["Sid"]: statement for statement in role["Statement"]}
    listed = [one["Action"] for sid, one in named.items() if sid != "DeliverLogs"]
    allowed = {action for one in listed for action in (one if isinstance(one, list) else [one])}
    assert allowed == needed
    machine = TEMPLATE["Resources"]["StateMachine"]["Properties"]
    itself = f":{machine['StateMachineName']['Fn::Sub']}"
    assert named["GatherAndAsk"]["Resource"]["Fn::Sub"].endswith(itself)
    pipeline = machine["DefinitionSubstitutions"]["PipelineName"]["Fn::Sub"]
    assert named["StartThePipeline"]["Resource"]["Fn::Sub"].endswith(f":{pipeline}")
    name = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["Pipeline"]["Properties"]["Name"]
    assert name == {"Fn::Sub": pipeline}
    look = STATES["Look again later"]["Arguments"]["Name"]
    assert named["LookAgainLater"]["Resource"]["Fn::Sub"].endswith(f":schedule/default/{look}")
    assert named["GiveTheScheduleItsRole"]["Resource"] == {"Fn::GetAtt": ["AskRole", "Arn"]}


def test_whoever_asks_may_ask_the_governor_alone() -> None:
    """Rules and schedules share a role; it names the state machine, which takes its address."""
    resources = TEMPLATE["Resources"]
    machine = resources["StateMachine"]["Properties"]
    (statement,) = resources["AskRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "states:StartExecution"
    assert statement["Resource"]["Fn::Sub"].endswith(
        f":stateMachine:{machine['StateMachineName']['Fn::Sub']}"
    )
    role = {"Fn::GetAtt": ["AskRole", "Arn"]}
    assert machine["DefinitionSubstitutions"]["AskRoleArn"] == role
    assert machine["DefinitionSubstitutions"]["StateMachineRole"] == {"Ref": "StateMachineRole"}
    targets = [
        resources["Schedule"]["Properties"]["Target"],
        *(resources[rule]["Properties"]["Targets"][0] for rule in ("DataRule", "DriftRule")),
    ]
    assert [(target["Arn"], target["RoleArn"]) for target in targets] == [({"Ref": "StateMachine"}, role)] * 3


def test_every_task_hands_its_failure_on() -> None:
    """Each fault is published to the topic, with a name; an error that a state answers is not a fault."""
    for name, state in STATES.items():
        if state["Type"] != "Task":
            continue
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Retry"][-1]["ErrorEquals"] == ["States.TaskFailed"], name
        if error := ANSWERED.get(state["Resource"].removeprefix("arn:aws:states:::")):
            assert state["Retry"][0] == {"ErrorEquals": [error], "MaxAttempts": 0}
            assert state["Catch"][0]["ErrorEquals"] == [error]
