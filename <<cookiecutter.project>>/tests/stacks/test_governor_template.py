"""The governor's template: its callers, its role, and the failures that it publishes."""

import json
import re

from delivery.templates.read import read_template

from tests.stacks.governor import (
    ANSWERED,
    LONGEST_PROJECT,
    ROOT,
    STATES,
    TEMPLATE,
    settle,
    substitute,
    unlimited,
    upload,
    with_data,
)


def test_the_rule_matches_raw_data_only() -> None:
    """The rule has one prefix of one bucket, so the pipeline's own objects do not match."""
    detail = TEMPLATE["Resources"]["DataRule"]["Properties"]["EventPattern"]["detail"]
    assert detail == {
        "bucket": {"name": [{"Ref": "ArtifactBucket"}]},
        "object": {"key": [{"prefix": {"Ref": "DataPrefix"}}]},
    }
    bucket = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["ArtifactBucket"]["Properties"]
    notified = bucket["NotificationConfiguration"]
    assert notified == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_the_schedule_sends_a_reason() -> None:
    """The governor accepts the schedule's input, and decides it once for each time."""
    target = TEMPLATE["Resources"]["Schedule"]["Properties"]["Target"]
    world = with_data()
    for time in ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z", "2026-02-01T12:00:00Z"):
        world.begin(json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", time)), "scheduled")
    assert [one["Event"] for one in world.decided] == ["2026-01-01T12:00:00Z", "2026-02-01T12:00:00Z"]
    assert world.started[0][1]["Reason"] == "schedule"


def test_a_drift_alarm_sends_a_reason() -> None:
    """The rule matches the project's drift alarms, and the event has the alarm's name and time."""
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
    request = transformer["InputTemplate"].replace("<alarm>", "p-drift-any").replace("<since>", "10:00")
    world = with_data()
    world.begin(json.loads(request), "request")
    assert world.decided[0]["Event"] == "p-drift-any 10:00"
    assert world.started[0][1]["Reason"] == "drift"


def test_names_fit_step_functions() -> None:
    """An execution's name has at most 80 letters, digits, hyphens and underscores; a schedule's has 64."""
    world = unlimited(4_000_000_000.0)
    upload(world, "raw/" + "x" * 1000 + ".csv", world.now)
    assert len(settle(world)) == 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in world.names)
    name = substitute(STATES["ScheduleRetry"]["Arguments"]["Name"], {})
    assert re.fullmatch(r"[0-9a-zA-Z-_.]{1,64}", name)
    assert name != f"{LONGEST_PROJECT}-retrain"


def test_the_role_allows_the_machines_calls_only() -> None:
    """It starts one pipeline and one state machine, which is itself, and creates one schedule."""
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
    assert named["StartItself"]["Resource"]["Fn::Sub"].endswith(itself)
    pipeline = machine["DefinitionSubstitutions"]["PipelineName"]["Fn::Sub"]
    assert named["StartThePipeline"]["Resource"]["Fn::Sub"].endswith(f":{pipeline}")
    name = read_template(ROOT / "pipeline" / "pipeline.yml")["Resources"]["Pipeline"]["Properties"]["Name"]
    assert name == {"Fn::Sub": pipeline}
    look = STATES["ScheduleRetry"]["Arguments"]["Name"]
    assert named["ScheduleRetry"]["Resource"]["Fn::Sub"].endswith(f":schedule/default/{look}")
    assert named["PassScheduleRole"]["Resource"] == {"Fn::GetAtt": ["AskRole", "Arn"]}


def test_callers_may_start_the_governor_only() -> None:
    """Rules and schedules share a role, which names the state machine."""
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


def test_every_task_has_a_catch() -> None:
    """Each failure is published by name; an error that a state handles is not a failure."""
    for name, state in STATES.items():
        if state["Type"] != "Task":
            continue
        assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
        assert state["Retry"][-1]["ErrorEquals"] == ["States.TaskFailed"], name
        if error := ANSWERED.get(state["Resource"].removeprefix("arn:aws:states:::")):
            assert state["Retry"][0] == {"ErrorEquals": [error], "MaxAttempts": 0}
            assert state["Catch"][0]["ErrorEquals"] == [error]
