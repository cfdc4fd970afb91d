"""Records of a delivery and of the loop after it, by which two runs are compared."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

# Names hold ids, the time of a window and the digest of what is asked, all of which differ between two runs.
VARIABLE = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}|\d{7,}")
HOUR = 3600.0


@dataclass(frozen=True)
class Records:
    """The records of one run: what happened, each kind in its order, and how long AWS's waits took."""

    actions: list[list[tuple[str, str, str]]]
    executions: dict[str, list[tuple[str, str, tuple[str, ...]]]]
    alarms: dict[str, list[str]]
    models: list[tuple[str, str]]
    milestones: list[str]
    after_hour: float
    """AWS's seconds from the end of the alarm's hour to the governor that the alarm has started."""
    quiet: float
    """AWS's seconds for which the governor has waited for more data."""
    shift: float
    """AWS's seconds of the deployment that has shifted production's traffic."""


class Reader:
    """Read the records of a running cloud, until the last delivery has shifted its traffic.

    What comes then depends on AWS's hours, and a run may end before or after the end of one.
    """

    def __init__(self, cloud: Any, project: str) -> None:
        self._cloud, self._project = cloud, project
        self._milestones: list[tuple[datetime, str]] = []
        shifts = [
            self._deployment(each) for each in self._client("codedeploy").list_deployments()["deployments"]
        ]
        (self._shift,) = shifts
        self._until: datetime = self._shift["completeTime"]

    def read(self) -> Records:
        """Return the records."""
        self._milestones = [(self._shift["createTime"], "deployment")]
        actions, executions = self._actions(), self._executions()
        governors = self._starts("governor")
        first, gathered = governors["alarm"][0], governors["gather"][0]
        asked = governors["ask"][-1]
        return Records(
            actions,
            executions,
            self._alarms(),
            self._models(),
            [what for _, what in sorted(self._milestones)],
            self._simulated(first) % HOUR,
            self._simulated(asked) - self._simulated(gathered),
            self._simulated(self._until) - self._simulated(self._shift["createTime"]),
        )

    def _client(self, service: str) -> Any:
        return self._cloud.client(service)

    def _simulated(self, at: datetime) -> float:
        return float(self._cloud.simulated(at.timestamp())[0])

    def _deployment(self, name: str) -> Any:
        return self._client("codedeploy").get_deployment(deploymentId=name)["deploymentInfo"]

    def _note(self, at: datetime, what: str) -> None:
        self._milestones.append((at, what))

    def _actions(self) -> list[list[tuple[str, str, str]]]:
        """Return the actions of each execution of the pipeline; parallel ones are sorted by name."""
        client, pipeline = self._client("codepipeline"), f"{self._project}-pipeline"
        listed = client.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]
        return [self._actions_of(client, pipeline, each) for each in reversed(listed)]

    def _actions_of(self, client: Any, pipeline: str, execution: Any) -> list[tuple[str, str, str]]:
        chosen = {"pipelineExecutionId": execution["pipelineExecutionId"]}
        found = client.list_action_executions(pipelineName=pipeline, filter=chosen)["actionExecutionDetails"]
        stages: dict[str, list[Any]] = defaultdict(list)
        for each in sorted(found, key=lambda each: each["startTime"]):
            stages[each["stageName"]].append(each)
        for stage, actions in stages.items():
            self._note(actions[0]["startTime"], f"stage {stage}")
        self._note(execution["startTime"], f"pipeline {execution['trigger']['triggerType']}")
        return [
            (stage, each["actionName"], each["status"])
            for stage, actions in stages.items()
            for each in sorted(actions, key=lambda each: str(each["actionName"]))
        ]

    def _executions(self) -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
        """Return, for each state machine, the executions with their status and the types of their events."""
        machines = self._client("stepfunctions").list_state_machines()["stateMachines"]
        return {
            each["name"]: [self._execution(one, each["name"]) for one in self._listed(each)]
            for each in machines
        }

    def _listed(self, machine: Any) -> list[Any]:
        """Return the executions of a state machine, of the monitor and the governor those of the command.

        Others are started by a schedule, or by the alarm of a later hour.
        """
        client, arn = self._client("stepfunctions"), machine["stateMachineArn"]
        listed = client.list_executions(stateMachineArn=arn)["executions"]
        found = sorted(listed, key=lambda each: each["startDate"])
        found = [each for each in found if each["startDate"] < self._until]
        if machine["name"] == f"{self._project}-monitor":
            return [each for each in found if self._is_of_command(each)]
        if machine["name"] == f"{self._project}-governor":
            words = [each["name"].split("-")[0] for each in found]
            return found[: words.index("ask", words.index("gather")) + 1]
        return found

    def _is_of_command(self, execution: Any) -> bool:
        """Return whether an execution of the monitor is given its window, which a schedule leaves to it."""
        described = self._client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
        return set(json.loads(described["input"])) == {"Start", "End"}

    def _execution(self, execution: Any, machine: str) -> tuple[str, str, tuple[str, ...]]:
        name, arn = VARIABLE.sub("ID", execution["name"]), execution["executionArn"]
        history = self._client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)
        self._note(execution["startDate"], f"{machine} {name}")
        return name, execution["status"], tuple(sorted(each["type"] for each in history["events"]))

    def _starts(self, machine: str) -> dict[str, list[datetime]]:
        """Return when the executions began, by the first word of their names; an alarm's event has an id."""
        found: dict[str, list[datetime]] = defaultdict(list)
        for each in self._client("stepfunctions").list_state_machines()["stateMachines"]:
            if each["name"] == f"{self._project}-{machine}":
                for one in self._listed(each):
                    found[VARIABLE.sub("alarm", one["name"]).split("-")[0]].append(one["startDate"])
        return found

    def _alarms(self) -> dict[str, list[str]]:
        """Return the states that each alarm has had, up to the first ALARM."""
        history = self._client("cloudwatch").get_paginator("describe_alarm_history")
        found: dict[str, list[str]] = defaultdict(list)
        for page in history.paginate(HistoryItemType="StateUpdate", ScanBy="TimestampAscending"):
            for each in page["AlarmHistoryItems"]:
                states = found[VARIABLE.sub("ID", each["AlarmName"])]
                if each["Timestamp"] < self._until and not (states and states[-1].endswith("to ALARM")):
                    states.append(each["HistorySummary"])
        return dict(found)

    def _models(self) -> list[tuple[str, str]]:
        listed = self._client("sagemaker").list_model_packages(ModelPackageGroupName=self._project)
        found = sorted(listed["ModelPackageSummaryList"], key=lambda each: each["ModelPackageVersion"])
        return [(each["ModelPackageStatus"], each["ModelApprovalStatus"]) for each in found]
