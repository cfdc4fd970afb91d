"""A simulated account around the governor, whose states are evaluated as Step Functions does."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from delivery.templates.read import read_template
from jsonata import Jsonata

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
# Errors that a state handles, so they are not failures.
ANSWERED = {
    "states:startExecution": "StepFunctions.ExecutionAlreadyExistsException",
    "aws-sdk:scheduler:createSchedule": "Scheduler.ConflictException",
    "aws-sdk:ssm:getParameter": "Ssm.ParameterNotFoundException",
}


@dataclass
class Run:
    """An execution of the pipeline, with its trigger and the moments of its beginning and end."""

    began: float
    ends: float
    trigger: str = "StartPipelineExecution"
    detail: str = OURS


@dataclass
class World:
    """A clock in seconds, the existing data, the pipeline's runs, and the starts and decisions so far.

    Each run succeeds after `takes` seconds, and then moves the watermark if `learns` is set. The watermark is
    None before the first model.
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
        """Start an execution; its name stays taken after its end."""
        execution = Execution(self, name, given_input)
        execution.run()
        return execution

    def ask(self, reason: str = "drift", **more: str) -> dict[str, Any]:
        """Start an execution as a person would, and return the decision."""
        self.begin({"Reason": reason, **more}, f"by-hand-{len(self.names)}")
        return self.decided[-1]

    def run_until(self, moment: float) -> None:
        """Advance the clock, and run waiting executions and schedules in the order of time."""
        while (at := self.next_moment()) <= moment:
            self.now = max(self.now, at)
            if self.schedule and self.schedule[0] <= at:
                (_, asks), self.schedule = self.schedule, None
                self.begin(asks, f"scheduled-{at}")
            else:
                execution = min(self.waiting, key=lambda one: one.wakes)
                self.waiting.remove(execution)
                execution.run()
        self.now = max(self.now, moment)

    def next_moment(self) -> float:
        """Return the moment of the next waiting execution or schedule."""
        scheduled = [self.schedule[0]] if self.schedule else []
        return min([one.wakes for one in self.waiting] + scheduled, default=float("inf"))

    def learned(self) -> tuple[float, str] | None:
        """Return the newest file that existed when the newest finished execution began."""
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
        """Run until the end or a Wait state."""
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
        """Evaluate one state."""
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
        """Call the world; a taken name and a missing parameter lead to the Catch."""
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
        """Assign, set the output and go to the next state."""
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
            return substitute(template, self.world.limits)
        context = {"StateMachine": {"Id": "arn:governor"}, "Execution": {"Name": self.name, "Id": "arn:x"}}
        bound = {"states": {"input": self.value, "context": context, "result": result}, **self.variables}
        bound["now"] = int(self.world.now * 1000)
        limits = tuple(sorted(self.world.limits.items()))
        value = parsed(template, limits).evaluate(None, bound)
        assert value is not None, (self.state, template)  # Step Functions refuses what is not defined
        return value


def list_objects(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List the objects, two on a page."""
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


def get_parameter(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Return the production record with the watermark, as the verification writes it."""
    assert arguments == {"Name": "/the/record"}
    if (learned := world.learned()) is None:
        return None
    moment, key = learned
    record = {"PipelineExecutionId": "1", "Watermark": {"LastModified": iso(moment), "Key": key}}
    return {"Parameter": {"Value": json.dumps(record)}}


def list_executions(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List the pipeline's executions, the newest first and two on a page."""
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


def describe_alarms(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """List the alarms in the ALARM state."""
    assert arguments["StateValue"] == "ALARM"
    prefix = arguments["AlarmNamePrefix"]
    return {"MetricAlarms": [{"AlarmName": name} for name in world.alarms if name.startswith(prefix)]}


def start_pipeline(world: World, arguments: dict[str, Any]) -> dict[str, Any]:
    """Start an execution of the pipeline, once for each token."""
    variables = pipeline_variables(arguments)
    if arguments["ClientRequestToken"] not in world.tokens:
        world.tokens.add(arguments["ClientRequestToken"])
        world.started.append((world.now, variables))
        world.runs.append(Run(world.now, world.now + world.takes))
    return {"PipelineExecutionId": f"run-{len(world.runs) - 1}"}


def start_execution(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Start an execution of the governor itself, unless the name is taken."""
    assert arguments["StateMachineArn"] == "arn:governor"
    if arguments["Name"] in world.names:
        return None
    world.names.add(arguments["Name"])
    world.begin(arguments["Input"], arguments["Name"])
    return {"ExecutionArn": "arn:x"}


def create_schedule(world: World, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Create the schedule, unless one exists."""
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
    "listObjectsV2": list_objects,
    "getParameter": get_parameter,
    "listPipelineExecutions": list_executions,
    "startPipelineExecution": start_pipeline,
    "startExecution": start_execution,
    "createSchedule": create_schedule,
    "describeAlarms": describe_alarms,
}


@cache
def parsed(template: str, limits: tuple[tuple[str, int], ...]) -> Jsonata:
    """Parse an expression once; $millis() is the world's clock."""
    expression = Jsonata(substitute(template, dict(limits))[2:-2].replace("$millis()", "$now"))
    expression.register_lambda("hash", lambda text, _: hashlib.sha256(text.encode()).hexdigest())
    expression.register_lambda("parse", json.loads)
    return expression


def substitute(text: str, limits: dict[str, int]) -> str:
    """Fill in the substitutions of the template."""
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


def pipeline_variables(arguments: dict[str, Any]) -> dict[str, str]:
    """Return the variables of a call, after checking it by CodePipeline's rules."""
    assert re.fullmatch(r"[A-Za-z0-9.@\-_]{1,100}", arguments["Name"])
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,128}", arguments["ClientRequestToken"])
    for variable in arguments["Variables"]:
        assert 1 <= len(variable["Value"]) <= 1000
        assert variable["Value"].isprintable()  # it is one line
    return {variable["Name"]: variable["Value"] for variable in arguments["Variables"]}


def iso(moment: float) -> str:
    """Format a moment as S3 lists it, in whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def upload(world: World, key: str, moment: float, delay: float = 0.5, rings: int = 1) -> None:
    """Upload an object; its event arrives later, perhaps more than once."""
    world.run_until(moment)
    world.objects[key] = moment
    event = {"source": "aws.s3", "detail": {"bucket": {"name": "the-bucket"}, "object": {"key": key}}}
    for ring in range(rings):
        world.run_until(moment + delay)
        world.begin(event, f"event_{key}_{ring}")


def settle(world: World) -> list[dict[str, str]]:
    """Let time pass until nothing waits, and return the variables of each start."""
    world.run_until(world.now + 100 * QUIET)
    assert not world.waiting
    return [variables for _, variables in world.started]


def unlimited(now: float) -> World:
    """Create a world without cooldown or daily cap."""
    return World(now=now, limits={"cooldown": 0, "cap": 100})


def with_data(**more: Any) -> World:
    """Create a world with data that production has not seen."""
    return World(objects={"raw/a.csv": 1_698_000_000, "raw/b.csv": 1_699_000_000}, **more)
