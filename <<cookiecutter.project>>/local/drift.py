"""Drift: requests that differ from the training data, what the monitor finds in them, and what follows."""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from delivery import local_stacks
from delivery.history import governor, monitoring
from delivery.history.state_machines import ended_execution, failure_reason
from delivery.history.training import training_execution
from delivery.inference import scores
from delivery.inference.methods import Endpoint, Method
from delivery.inference.predictions import predict
from delivery.inference.rows import COLUMN
from delivery.jobs.executions import run_machine
from localcloud.clock import CAPTURE_FLUSH, MONITORING_DELAY, period_end, wait, wait_until

from local import prediction, run, scenarios
from local.code import ProjectCode
from local.project import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from delivery.history.governor import Decision
    from delivery.inference.predictions import Answer
    from delivery.inference.rows import Table
    from delivery.inference.scores import Target

    from container.data.schema import Schema
    from local.project import Project
    from local.run import Delivery
    from local.scenarios import Scenario

ROWS_A_REQUEST = 20
TRIED_ROWS, TRIED_FEATURES = 200, 30
MONITOR_SECONDS = 300.0
DECISION_SECONDS = 60.0
PERIODS = 3  # of the alarm, until it has seen what was published
ALARM_SECONDS = 10.0
SLACK_SECONDS = 1.0  # of this machine, for the captured data to be stored
MODEL_MONITOR = "model-monitor"
UNUSABLE = ": unusable_"  # in a violation that raises no alarm of drift, and starts no retraining
ANALYSED = ("Completed", "CompletedWithViolations")
MADE = "drifted-"  # begins the names of files of rows that are made here
TABLES = (".csv", ".csv.gz", ".parquet")
HOURS = 2  # of AWS, which requests that are sent at the end of one may lie in


@dataclass(frozen=True)
class DriftScenario:
    """The difference that the requests have, and their number of rows."""

    scenario: Scenario
    feature: str | None
    strength: float | None
    rows: int


@dataclass(frozen=True)
class DriftTarget:
    """What the requests differ for: the version that serves production, and the features that can differ."""

    version: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class DriftedRows:
    """The rows that were made, from those of the test split that the model in production has not seen."""

    traffic: Table
    labelled: Table


def find_scenario(project: Project, name: str | None) -> Scenario:
    """Return a scenario of the project's kind of data, by default the first.

    Raises:
        LocalError: the scenario does not exist.
    """
    known = scenarios.OF_TABLES
    if project.is_image:
        from local import pictures  # noqa: PLC0415 - a project of tables does not have it

        known = pictures.SCENARIOS
    name = next(iter(known)) if name is None else name
    if name not in known:
        raise LocalError(f"{name} is not a scenario: take one of {', '.join(known)}.")
    return known[name]


def parse_scenario(
    scenario: Scenario, feature: str | None, shift: float | None, strength: float | None, rows: int
) -> DriftScenario:
    """Return the scenario with what is asked for.

    Raises:
        LocalError: the scenario does not have such a strength.
    """
    if shift is not None and (scenario.name != "shift" or strength is not None):
        raise LocalError("--shift is the strength of the scenario shift: give no other, and no --strength.")
    given = strength if shift is None else shift
    if given is not None and not scenario.takes(given):
        raise LocalError(f"{given:g} is not a strength of {scenario.name}: {scenario.rule}.")
    return DriftScenario(scenario, feature, given, rows)


def find_target(delivery: Delivery, scenario: DriftScenario) -> DriftTarget:
    """Find what the scenario is for.

    Raises:
        LocalError: no model serves, or no feature can differ in this way.
    """
    version = local_stacks.parameters(delivery.cloud, delivery.project.stack("deploy-prd")).get("ExecutionId")
    if not version:
        raise LocalError("No model serves production here; 'python -m local run --approve' brings one there.")
    types = feature_types(delivery, version)
    return DriftTarget(version, tuple(scenarios.usable_features(scenario.scenario, scenario.feature, types)))


def follow(delivery: Delivery, scenario: DriftScenario, target: DriftTarget, *, new_data: bool) -> None:
    """Send the requests, analyse them, and follow what the governor makes of it; LocalError if that fails."""
    run.reporting_lost_cloud(lambda one: _follow(one, scenario, target, new_data=new_data), delivery)


def _follow(delivery: Delivery, scenario: DriftScenario, target: DriftTarget, *, new_data: bool) -> None:
    drifted = make_rows(delivery, scenario, target)
    since = run.run_stage(delivery, "Traffic", lambda one: send_requests(one, drifted.traffic))
    analysed = datetime.now(UTC)
    delivery.violations = run.run_stage(delivery, "Monitor", lambda one: run_monitor(one, since))
    if all(UNUSABLE in each for each in delivery.violations):
        return
    alarm = drift_alarm(delivery)
    run.run_stage(
        delivery,
        "Alarm",
        lambda one: await_alarm(one, alarm),
        lambda: period_end(delivery.cloud, alarm["Period"]),
    )
    decision = run.run_stage(delivery, "Governor", lambda one: await_decision(one, analysed))
    if new_data and not decision.execution:
        added = run.run_stage(
            delivery, "Data", lambda one: upload_labelled_rows(one, target.version, drifted.labelled)
        )
        decision = run.run_stage(delivery, "Retraining", lambda one: await_decision(one, added))
    if decision.execution:
        delivery.execution_id = decision.execution
        run.follow(delivery)


def make_rows(delivery: Delivery, scenario: DriftScenario, target: DriftTarget) -> DriftedRows:
    """Draw rows of the test split and change them; labelled rows are drawn from all splits."""
    version, usable = target.version, target.features
    unseen, chance = run.read_split(delivery, version, "test"), Random(f"{version} {scenario.scenario.name}")  # noqa: S311 - no secret

    def changed(table: Table, feature: str) -> Table:
        return scenarios.applied(scenario.scenario, table, feature, scenario.strength, chance)

    feature = usable[0] if len(usable) == 1 else most_sensitive_feature(delivery, unseen, usable, changed)
    known = concatenate(unseen, run.read_split(delivery, version, "train"))
    labelled = changed(known, feature)
    # A file of training data has the columns that the others have.
    labelled = labelled if labelled.columns == known.columns else known
    traffic = scenarios.sampled(changed(unseen, feature), scenario.rows, chance)
    return DriftedRows(traffic, labelled.head(scenario.rows))


def most_sensitive_feature(
    delivery: Delivery, table: Table, features: Sequence[str], changed: Callable[[Table, str], Table]
) -> str:
    """Choose the feature that the model in production misses most when it differs; ask its server itself."""
    tried = table.head(TRIED_ROWS)
    serving = Endpoint(delivery.cloud, delivery.project, delivery.endpoint_name)
    target = ProjectCode(delivery.project).read_schema(serving.folder / "model").target
    labels = tried.written_labels(target.name)
    if not labels:
        return features[0]
    with serving.reach(Method.direct, table.content_type_of_files) as ask:
        errors = {
            feature: prediction_error(labels, predict(changed(tried, feature), ask).answers, target)
            for feature in features[:TRIED_FEATURES]
        }
    return max(errors, key=lambda feature: errors[feature])


def prediction_error(labels: tuple[str, ...], answers: list[Answer], target: Target) -> float:
    """Give the mean squared error, or the share of wrong classes."""
    found = scores.score(labels, answers, target)
    return found["mse"] if "mse" in found else 1 - found.get("accuracy", 1.0)


def concatenate(one: Table, other: Table) -> Table:
    """Put two splits of one table together."""
    labels = (*one.labels, *other.labels) if one.labels and other.labels else None
    return replace(one, rows=(*one.rows, *other.rows), labels=labels)


def feature_types(delivery: Delivery, version: str) -> Mapping[str, str]:
    """Read the type of each feature from the baseline of a model."""
    if delivery.project.is_image:
        from local.pictures import PICTURE  # noqa: PLC0415 - a project of tables does not have it

        return {COLUMN: PICTURE}
    key = f"models/{version}/constraints.json"
    stored = delivery.cloud.client("s3").get_object(
        Bucket=run.pipeline_outputs(delivery)["ArtifactBucket"], Key=key
    )
    return {each["name"]: each["inferred_type"] for each in json.loads(stored["Body"].read())["features"]}


def send_requests(delivery: Delivery, table: Table) -> datetime:
    """Send the rows through the API, wait until they are captured, and return when the first was sent."""
    since = datetime.now(UTC).replace(microsecond=0)
    serving = Endpoint(delivery.cloud, delivery.project, delivery.endpoint_name)
    with serving.reach(Method.api, table.content_type) as ask:
        predict(table, ask, ROWS_A_REQUEST)
    wait(delivery.cloud, CAPTURE_FLUSH + SLACK_SECONDS * delivery.cloud.speed)
    return since


def run_monitor(delivery: Delivery, since: datetime) -> list[str]:
    """Return what violates the baseline of what was captured since then, as the project's engine finds it."""
    stack = delivery.project.stack("monitor")
    machine = local_stacks.outputs(delivery.cloud, stack)["StateMachineArn"]
    if local_stacks.parameters(delivery.cloud, stack)["DriftEngine"] == MODEL_MONITOR:
        followed = await_schedule(delivery, machine, since)
    else:
        followed = [analyse(delivery, machine, since)]
    return [found for one in followed for found in violations(delivery, output_of(one))]


def analyse(delivery: Delivery, machine: str, since: datetime) -> dict[str, Any]:
    """Let the state machine analyse the time since then, as its schedule does an hour; describe its end."""
    window = {"Start": to_iso(since), "End": to_iso(datetime.now(UTC))}
    cloud = delivery.cloud

    def await_end(execution: str) -> dict[str, Any]:
        return wait_until(
            cloud, lambda: ended_execution(cloud, execution), "The monitor does not end.", MONITOR_SECONDS
        )

    return run_machine(cloud, machine, json.dumps(window), await_end)


def await_schedule(delivery: Delivery, machine: str, since: datetime) -> list[dict[str, Any]]:
    """Wait until Model Monitor has analysed the hours since then; describe what followed each of its jobs."""
    cloud, name, until = delivery.cloud, delivery.project.stack("monitor"), datetime.now(UTC)
    analysed = wait_until(
        delivery.cloud,
        lambda: monitoring.monitoring_executions(cloud, name, since, until),
        "Model Monitor does not come to the end of the hour.",
        MONITOR_SECONDS,
        HOURS * 3600 + MONITORING_DELAY,
    )
    started = [each for each in analysed if "ProcessingJobArn" in each]
    failed = [each for each in started if each["MonitoringExecutionStatus"] not in ANALYSED]
    if failed or not started:
        reason = (failed or analysed)[-1].get("FailureReason", "its job was stopped")
        raise LocalError(f"Model Monitor has analysed nothing: {reason}")
    jobs = [each["ProcessingJobArn"].rpartition("/")[2] for each in started]
    return wait_until(
        delivery.cloud,
        lambda: monitoring.executions_after(cloud, machine, jobs),
        "Nothing follows the job of Model Monitor.",
        MONITOR_SECONDS,
    )


def output_of(ended: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the output of an execution that succeeded; raise LocalError with the reason of another."""
    if ended["status"] != "SUCCEEDED":
        raise LocalError(failure_reason(ended) or ended["status"])
    output: dict[str, Any] = json.loads(ended["output"])
    return output


def violations(delivery: Delivery, output: Mapping[str, Any]) -> list[str]:
    """Read in the analysis' own words how it ended, and return what it found."""
    if output["Result"] == "NoTraffic":
        raise LocalError("Nothing was captured in the monitored window: see [stages.prd] capture_percentage.")
    bucket, _, prefix = output["Results"].removeprefix("s3://").partition("/")

    def read(name: str) -> Any:
        stored = delivery.cloud.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/{name}")
        return json.loads(stored["Body"].read())

    delivery.analysis, found = read("summary.json")["message"], read("constraint_violations.json")
    return [
        f"{each['feature_name']}: {each['constraint_check_type']}, {each['description']}"
        for each in found["violations"]
    ]


def drift_alarm(delivery: Delivery) -> dict[str, Any]:
    """Describe the alarm of drift in any feature."""
    name = local_stacks.outputs(delivery.cloud, delivery.project.stack("monitor"))["AnyAlarmName"]
    (alarm,) = delivery.cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


def await_alarm(delivery: Delivery, alarm: Mapping[str, Any]) -> None:
    """Wait until the alarm has seen the metric."""
    name, patience = alarm["AlarmName"], PERIODS * alarm["Period"]
    on = f"{name} does not come on."
    wait_until(
        delivery.cloud, lambda: monitoring.alarm_is_on(delivery.cloud, name), on, ALARM_SECONDS, patience
    )


def await_decision(delivery: Delivery, since: datetime) -> Decision:
    """Wait for the governor's first decision since then."""
    quiet = local_stacks.parameters(delivery.cloud, delivery.project.stack("governor"))["QuietSeconds"]
    found = wait_until(
        delivery.cloud,
        lambda: governor.decisions(delivery.cloud, delivery.project.slug, since),
        "The governor decides nothing.",
        DECISION_SECONDS,
        2 * float(quiet),
    )
    return found[0]


def upload_labelled_rows(delivery: Delivery, version: str, table: Table) -> datetime:
    """Put the rows with their labels beside the data, as a file of their own, and return when that began."""
    table = table if delivery.project.is_image else with_left_out_columns(delivery, version, table)
    began = datetime.now(UTC)
    bucket, prefix = run.pipeline_outputs(delivery)["ArtifactBucket"], delivery.project.data_prefix
    key = f"{prefix}{MADE}{datetime.now(UTC):%Y%m%dT%H%M%S}{table.suffix}"
    body = table.packed(delivery.project.served_target)
    delivery.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return began


def with_left_out_columns(delivery: Delivery, version: str, table: Table) -> Table:
    """Add the columns that the training of a model left out: all files of the data have the same columns."""
    schema = run.prepared_schema(delivery, training_execution(delivery.cloud, delivery.project.slug, version))
    if not schema.left_out:
        return table
    raw = first_file(delivery, schema)
    cells = dict(zip(raw.columns, zip(*raw.rows, strict=True), strict=True))
    names = [name for name in schema.left_out if name in cells]  # Hive's folders have columns too
    added = [scenarios.further_cells(cells[name], len(table.rows)) for name in names]
    rows = tuple((*row, *(each[at] for each in added)) for at, row in enumerate(table.rows))
    return replace(table, columns=(*table.columns, *names), rows=rows)


def first_file(delivery: Delivery, schema: Schema) -> Table:
    """Read the first file of the data that was not made here.

    Raises:
        LocalError: there is none.
    """
    s3, bucket = delivery.cloud.client("s3"), run.pipeline_outputs(delivery)["ArtifactBucket"]
    listed = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=delivery.project.data_prefix)
    keys = (entry["Key"] for page in listed for entry in page.get("Contents", []))
    names = ((key, key.rpartition("/")[2]) for key in keys)
    found = (key for key, name in names if name.lower().endswith(TABLES) and not name.startswith(MADE))
    key = next(found, None)
    if key is None:
        raise LocalError(f"s3://{bucket}/{delivery.project.data_prefix} has no table: upload the data again.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / key.rpartition("/")[2]
        s3.download_file(bucket, key, str(path))
        return prediction.read_file(path, schema, delivery.project.delimiter)


def to_iso(moment: datetime) -> str:
    """Write a time in ISO 8601, rounded up to the second."""
    whole = datetime.fromtimestamp(math.ceil(moment.timestamp()), UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%SZ}"
