"""Drift on the local cloud: each scenario is found by its own check, and the governor respects its limits."""

from __future__ import annotations

import csv
import importlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Rig, until
from tests.loop.records import Reader, Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

governor: Any = importlib.import_module("delivery.history.governor")
state_machines: Any = importlib.import_module("delivery.history.state_machines")
stacks: Any = importlib.import_module("delivery.local_stacks")
scenarios: Any = importlib.import_module("local.scenarios")
SDK = Path(__file__).resolve().parents[2] / "build" / "venvs" / "sdk"  # of `make setup-sdk`
FAST = "600"  # an hour of AWS takes six seconds
STEADY = "60"
MIDDLE = "240"
QUIET, SHIFT = 300.0, 600.0  # seconds of AWS, in the project's parameters
COOLDOWN = 9000  # seconds of AWS: 150 seconds at the speed STEADY


def write_table(path: Path, rows: int = 6000) -> None:
    """Write a table with one column for each type of drift."""
    chance = random.Random(7)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "rooms", "kind", "y"])
        for _ in range(rows):
            size, rooms, kind = chance.gauss(5, 1), chance.randint(1, 40), chance.choice("abc")
            writer.writerow([size, rooms, kind, 3 * size - rooms + (kind == "b") + chance.gauss(0, 0.1)])


@pytest.fixture
def project(bake: Callable[..., Path], environment_of: Callable[[Path], Path]) -> Iterator[Rig]:
    """Yield a project whose model is quick to train."""
    root = bake(project="drifts")
    made = Rig(root, environment_of(root) / "bin" / "python")
    made.set("model", "name", '"linear_model"')
    write_table(made.data)
    yield made
    made.local("down", "--delete")
    until(lambda: not made.processes())


def violations(shown: str) -> set[str]:
    """Return the checks of the printed violations."""
    lines = [line for line in shown.splitlines() if line.startswith("violation: ")]
    return {line.split(": ")[2].split(",")[0] for line in lines}


def test_each_drift_scenario_is_found_by_its_own_check(
    project: Rig, monkeypatch: pytest.MonkeyPatch, subtests: Any
) -> None:
    """No other check reports it, with the default strength, from the API to the monitor's state machine."""
    monkeypatch.setenv("COLUMNS", "1000")
    done = project.run("--speed", FAST)
    assert done.returncode == 0, done.stdout
    for name, scenario in scenarios.OF_TABLES.items():
        with subtests.test(name):
            done = project.local("drift", "--scenario", name)
            assert done.returncode == 0, done.stdout + done.stderr
            assert violations(done.stdout) == {scenario.check}, done.stdout
    with subtests.test("too few rows to say anything"):
        done = project.local("drift", "--rows", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "monitor: Completed: Nothing was compared: 5 rows are too few" in done.stdout
    with subtests.test("the notebooks of the API and of the monitor"):
        monkeypatch.setenv("VENV_SDK", str(project.python.parents[1]))  # they need no SageMaker SDK
        done = project.local("notebooks", "03", "05")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "prediction" in outputs(project, "03-api-and-lambda")["call"]
        assert scenarios.OF_TABLES["shift"].check in outputs(project, "05-watch-production")["summary"]
    with subtests.test("the notebook of the training finds that of production's model"):
        monkeypatch.setenv("VENV_SDK", str(SDK))
        done = project.local("train", "--data", str(project.data), "--target", "y", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        later = json.loads(done.stdout)["training"]
        done = project.local("notebooks", "01")
        assert done.returncode == 0, done.stdout + done.stderr
        shown = outputs(project, "01-explore-and-train")["latest"]
        assert "trained production's model" in shown
        assert later not in shown


def outputs(project: Rig, notebook: str) -> dict[str, str]:
    """Return what each cell of an executed notebook has printed."""
    path = project.root / "build" / "notebooks" / f"{notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: json.dumps(cell.get("outputs")) for cell in cells}


def decisions(project: Rig) -> list[Any]:
    """Return the decisions of the governor so far."""
    since = datetime.fromtimestamp(0, UTC)
    return list(governor.decisions(project.cloud(), "drifts", since))


def started(project: Rig) -> list[Any]:
    """Return the governor's decisions to start."""
    return [each for each in decisions(project) if each.decision == "Started"]


def stop(project: Rig, execution: str) -> None:
    """Stop an execution of the pipeline, so that its data stay new."""
    client = project.cloud().client("codepipeline")
    named = {"pipelineName": "drifts-pipeline", "pipelineExecutionId": execution}
    client.stop_pipeline_execution(**named, abandon=True)
    until(lambda: client.get_pipeline_execution(**named)["pipelineExecution"]["status"] == "Stopped")


def test_drift_within_the_cooldown_is_refused_and_retried_at_its_end(project: Rig) -> None:
    """The refusal has a reason, and the retry needs no further transition of an alarm."""
    project.set("governor", "cooldown_seconds", str(COOLDOWN))
    assert project.run("--speed", STEADY).returncode == 0
    runner = project.begin_command("drift", "--new-data")
    (first,) = until(lambda: started(project), 240)
    stop(project, first.execution)
    runner.communicate(timeout=60)
    assert project.local("drift", "--scenario", "missing").returncode == 0
    refused = [each for each in decisions(project) if each.decision == "Refused" and each.at > first.at]
    assert any(each.reason.startswith("Cooldown: The last start was at") for each in refused), refused
    again = next(each for each in refused if each.again)
    second = until(lambda: started(project)[1:], 300)[0]
    assert second.of == f"again at {again.again}"
    began, ended = project.cloud().simulated(first.at.timestamp(), second.at.timestamp())
    assert ended - began >= COOLDOWN - float(STEADY)


def records_of_loop(project: Rig, *clock: str) -> Records:
    """Return the records of a delivery, of drift in its requests, and of the delivery that follows."""
    for command in (
        project.run("--speed", MIDDLE, *clock),
        project.local("drift", "--new-data", "--approve"),
    ):
        assert command.returncode == 0, command.stdout + command.stderr
    assert project.cloud().clock()["skip"] is not bool(clock)
    found = Reader(project.cloud(), "drifts").read()
    project.local("down", "--delete")
    return found


def test_skipped_time_changes_no_record(project: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same happens in the same order after the same waits of AWS, whether the clock skips time or not."""
    monkeypatch.delenv("LOCALCLOUD_SKIP", raising=False)
    skipping, waiting = records_of_loop(project), records_of_loop(project, "--no-skip")
    assert [len(each) for each in skipping.actions] == [1, 14, 14]
    for name in ("actions", "executions", "alarms", "models", "milestones"):
        assert getattr(skipping, name) == getattr(waiting, name), name
    noise = 10.0 * float(MIDDLE)  # what a busy machine takes for its own work, in AWS's seconds
    for each in (skipping, waiting):
        assert 0 <= each.after_hour < noise
        assert QUIET <= each.quiet < QUIET + noise
        assert SHIFT <= each.shift < SHIFT + noise


def test_a_violation_of_model_monitors_schedule_reaches_the_governor(
    project: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The violation raises the alarm, and the alarm triggers the governor, all by the project's templates."""
    monkeypatch.setenv("COLUMNS", "1000")
    project.set("monitor", "engine", '"model-monitor"')
    done = project.run("--speed", STEADY)
    assert done.returncode == 0, done.stdout
    done = project.local("drift", "--scenario", "shift")
    assert done.returncode == 0, done.stdout + done.stderr
    assert violations(done.stdout) == {"baseline_drift_check"}, done.stdout
    client = project.cloud().client("sagemaker")
    schedule = client.describe_monitoring_schedule(MonitoringScheduleName="drifts-monitor")
    listed = client.list_monitoring_executions(MonitoringScheduleName="drifts-monitor")
    statuses = {each["MonitoringExecutionStatus"] for each in listed["MonitoringExecutionSummaries"]}
    assert schedule["EndpointName"].startswith("drifts-prd-")
    assert "CompletedWithViolations" in statuses
    assert has_been_in_alarm(project, "drifts-drift-any")
    assert any(each.event == "drift" for each in decisions(project))


def truth_of(requests: dict[str, list[str]]) -> bytes:
    """Return ground truth in SageMaker's format: a line for each request, with a label for each row."""
    lines = [
        json.dumps(
            {
                "groundTruthData": {"data": "\n".join(labels), "encoding": "CSV"},
                "eventMetadata": {"eventId": name},
                "eventVersion": "0",
            }
        )
        for name, labels in requests.items()
    ]
    return "\n".join([*lines, ""]).encode()


def ask(project: Rig, endpoint: str, rows: int = 1200, rows_a_request: int = 20) -> dict[str, list[str]]:
    """Send rows of the data, and return their labels by the ids of the requests."""
    runtime, asked = project.cloud().client("sagemaker-runtime"), {}
    header, *lines = project.data.read_text(encoding="utf-8").splitlines()[: rows + 1]
    pairs = [line.rsplit(",", 1) for line in lines]
    for start in range(0, rows, rows_a_request):
        some, name = pairs[start : start + rows_a_request], f"asked-{start}"
        body = "\n".join([header.rpartition(",")[0], *(features for features, _ in some)])
        runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", InferenceId=name, Body=body.encode()
        )
        asked[name] = [label for _, label in some]
    return asked


def compared(project: Rig, machine: str, since: datetime) -> dict[str, Any]:
    """Let the monitor compare the predictions since then with their ground truth, and return its result."""
    states, end = project.cloud().client("stepfunctions"), datetime.now(UTC) + timedelta(seconds=1)
    window = {"Analysis": "MODEL_QUALITY", "Start": f"{since:%FT%TZ}", "End": f"{end:%FT%TZ}"}
    began = states.start_execution(stateMachineArn=machine, input=json.dumps(window))["executionArn"]
    ended = until(lambda: state_machines.ended_execution(project.cloud(), began))
    assert ended["status"] == "SUCCEEDED", ended
    return dict(json.loads(ended["output"]))


def has_been_in_alarm(project: Rig, name: str) -> bool:
    """Return whether an alarm was in the ALARM state."""
    alarms = project.cloud().client("cloudwatch")
    history = alarms.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
    return any("to ALARM" in each["HistorySummary"] for each in history["AlarmHistoryItems"])


def inputs(project: Rig, machine: str) -> list[dict[str, Any]]:
    """Return the inputs of the monitor's executions."""
    states = project.cloud().client("stepfunctions")
    listed = states.list_executions(stateMachineArn=machine)["executions"]
    texts = [states.describe_execution(executionArn=each["executionArn"])["input"] for each in listed]
    return [json.loads(each) for each in texts]


def test_predictions_are_compared_with_ground_truth(project: Rig) -> None:
    """The schedule's state machine runs without ground truth, with matching and with other ground truth."""
    project.set("monitor", "ground_truth_prefix", '"ground-truth/"')
    done = project.run("--speed", FAST)
    assert done.returncode == 0, done.stdout
    cloud = project.cloud()
    machine = stacks.outputs(cloud, "drifts-monitor")["StateMachineArn"]
    bucket = stacks.outputs(cloud, "drifts-pipeline")["ArtifactBucket"]
    (endpoint,) = cloud.client("sagemaker").list_endpoints(NameContains="drifts-prd-")["Endpoints"]
    since = datetime.now(UTC).replace(microsecond=0)
    asked = ask(project, endpoint["EndpointName"])
    folder = f"capture/{endpoint['EndpointName']}/AllTraffic/"
    store, key = cloud.client("s3"), f"ground-truth/{since:%Y/%m/%d/%H}/labels.jsonl"
    until(lambda: captured(store, bucket, folder) >= set(asked))
    assert compared(project, machine, since)["Result"] == "NoGroundTruth"
    store.put_object(Bucket=bucket, Key=key, Body=truth_of(asked))
    met = compared(project, machine, since)
    assert (met["Result"], met["Violations"]) == ("Monitored", 0)
    assert not has_been_in_alarm(project, "drifts-drift-quality")
    wrong = {name: [str(float(label) + 3) for label in labels] for name, labels in asked.items()}
    store.put_object(Bucket=bucket, Key=key, Body=truth_of(wrong))
    assert compared(project, machine, since)["Violations"] > 0
    until(lambda: has_been_in_alarm(project, "drifts-drift-quality"))
    measured = cloud.client("cloudwatch").list_metrics(MetricName="rmse")["Metrics"]
    assert {each["Name"]: each["Value"] for each in measured[0]["Dimensions"]} == {
        "Endpoint": endpoint["EndpointName"],
        "MonitoringSchedule": "drifts-monitor",
    }
    until(lambda: any("Time" in each and "Analysis" in each for each in inputs(project, machine)))


def captured(store: Any, bucket: str, folder: str) -> set[str]:
    """Return the ids of the captured requests in a folder."""
    found = store.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
    files = (store.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found)
    events = (json.loads(line)["eventMetadata"] for file in files for line in file.splitlines())
    return {event["inferenceId"] for event in events if "inferenceId" in event}
