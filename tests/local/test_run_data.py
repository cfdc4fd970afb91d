"""A run succeeds only on its own data: one run at a time, trained on the uploaded files."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import re
from typing import TYPE_CHECKING, Any

import pytest
import small_pipeline
from cloud_harness import project_at
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

clock: Any = importlib.import_module("localcloud.clock")
process: Any = importlib.import_module("localcloud.core.process")
runs: Any = importlib.import_module("local.run")
raw_data: Any = importlib.import_module("delivery.raw_data")
lock: Any = importlib.import_module("localcloud.core.lock")
run_lock: Any = importlib.import_module("local.run_lock")
executions: Any = importlib.import_module("delivery.history.executions")
record: Any = importlib.import_module("delivery.history.record")
training: Any = importlib.import_module("delivery.history.training")
stacks: Any = importlib.import_module("delivery.local_stacks")
projects: Any = importlib.import_module("local.project")
private: Any = importlib.import_module("localcloud.core.private_files")

SLUG, BUCKET = "own-data", "own-data-artifacts"
SETTINGS = f"""\
[project]
name = "{SLUG}"
region = "eu-central-1"

[data]
prefix = "raw/"
target = "price"
"""
HOLD = "hold"
# Lists the data and writes the manifest, as a project's training does, after a pause for changes of the data.
# The pause lasts while an object named HOLD exists.
TRAINING = {
    "QueryLanguage": "JSONata",
    "StartAt": "Wait",
    "States": {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "FindHold"},
        "FindHold": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
            "Arguments": {"Bucket": BUCKET, "Prefix": HOLD},
            "Next": "IsHeld",
        },
        "IsHeld": {
            "Type": "Choice",
            "Choices": [{"Condition": "{% $states.input.KeyCount = 0 %}", "Next": "List"}],
            "Default": "Wait",
        },
        "List": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:listObjectsV2",
            "Arguments": {"Bucket": BUCKET, "Prefix": "raw/"},
            "Output": "{% [$states.result.Contents.$substringAfter(Key, 'raw/')] %}",
            "Next": "Write",
        },
        "Write": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:s3:putObject",
            "Arguments": {
                "Bucket": BUCKET,
                "Key": "{% 'runs/' & $states.context.Execution.Name & '/manifest.json' %}",
                "Body": f"{{% $append([{{'prefix': 's3://{BUCKET}/raw/'}}], $states.input) %}}",
            },
            "End": True,
        },
    },
}
MACHINE = f"arn:aws:states:eu-central-1:000000000000:stateMachine:{SLUG}-workflow"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a project with a deployed pipeline that trains and asks for approval, with its cloud running."""
    made = tmp_path_factory.mktemp("run-data") / "project"
    (made / "pipeline").mkdir(parents=True)
    train = {"Name": "Train", "Actions": [small_pipeline.invoke(MACHINE, "Train")]}
    template = json.loads(small_pipeline.platform(SLUG, [train, small_pipeline.ask()]))
    template["Resources"]["Bucket"]["Properties"]["BucketName"] = BUCKET
    (made / "pipeline" / "pipeline.yml").write_text(json.dumps(template))
    for name, text in {"project.toml": SETTINGS, "a.csv": "price\n1\n", "b.csv": "price\n2\n"}.items():
        (made / name).write_text(text)
    cloud = process.start(project_at(made))
    cloud.client("stepfunctions").create_state_machine(
        name=f"{SLUG}-workflow", definition=json.dumps(TRAINING), roleArn="arn:aws:iam::000000000000:role/r"
    )
    settings = stacks.StackSettings({"Project": SLUG, "SourceType": "S3"}, {})
    stacks.deploy(cloud, f"{SLUG}-pipeline", made / "pipeline" / "pipeline.yml", settings)
    # A new pipeline starts an execution, which would take the first test's source and be superseded then.
    clock.wait_until(cloud, lambda: first_has_failed(cloud), "The pipeline's first execution does not end.")
    yield made
    process.stop(project_at(made))


def first_has_failed(cloud: Any) -> bool:
    found = executions.list_executions(cloud, f"{SLUG}-pipeline")
    return [each["status"] for each in found] == ["Failed"]


@pytest.fixture
def begin(root: Path) -> Callable[..., Any]:
    """Return a function that creates a run with a file of the project, and with automatic approval."""

    def create(name: str = "a.csv") -> Any:
        project, settings = runs.resolve_settings(projects.read_project(root), None)
        return runs.Delivery(
            process.start(project.cloud), project, (root / name,), 0, approve=True, settings=settings
        )

    return create


def started(one: Any) -> Any:
    """Upload the data of a run, and start its execution."""
    runs.upload_data(one)
    private.write_whole(one.project.settings, one.settings)
    runs.upload_source(one)
    one.execution_id = runs.find_started(one)
    return one.cloud.client("s3")


def ended(one: Any) -> str | None:
    """Return the status of a run's execution; None while it is in progress."""
    status = executions.execution_status(one.cloud, one.pipeline, one.execution_id)
    return None if status in executions.UNDER_WAY else str(status)


def test_a_run_succeeds_on_its_own_data(begin: Callable[..., Any]) -> None:
    """The next run succeeds on other data, after the end of the first."""
    for name in ("a.csv", "b.csv"):
        one = begin(name)
        runs.deliver(one)
        status = executions.execution_status(one.cloud, one.pipeline, one.execution_id)
        assert (status, one.versions) == ("Succeeded", {})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (
            lambda s3: s3.put_object(Bucket=BUCKET, Key="raw/foreign.csv", Body=b"price\n3\n"),
            "raw/foreign.csv",
        ),
        (lambda s3: s3.put_object(Bucket=BUCKET, Key="raw/a.csv", Body=b"price\n3\n"), "raw/a.csv"),
        (lambda s3: s3.delete_object(Bucket=BUCKET, Key="raw/a.csv"), "raw/a.csv"),
    ],
    ids=["another file", "another content", "a file that is deleted"],
)
def test_an_execution_that_is_trained_on_other_data_is_stopped(
    begin: Callable[..., Any], change: Callable[[Any], None], key: str
) -> None:
    """The execution is stopped before its model is approved, and the error names the file."""
    one = begin()
    one.data = (*one.data, one.data[0].with_name("b.csv"))
    one.own["Data"] = record.Record("Data", "Succeeded", 0.1)
    one.cloud.client("s3").put_object(Bucket=BUCKET, Key=HOLD)
    s3 = started(one)
    change(s3)
    s3.delete_object(Bucket=BUCKET, Key=HOLD)
    with pytest.raises(DeliveryError, match="trained on other data than this run's") as refused:
        runs.follow(one)
    assert key in str(refused.value)
    assert "It is stopped" in str(refused.value)
    failed = [(each.name, each.reason) for each in one.records() if each.status == "Failed"]
    assert failed == [("Data", str(refused.value))]
    assert clock.wait_until(one.cloud, lambda: ended(one), "It does not stop.") == "Stopped"


def test_data_that_an_execution_may_still_read_are_not_overwritten(begin: Callable[..., Any]) -> None:
    """After a killed run, the same data may be uploaded again, and other data only after the training."""
    one = begin()
    one.cloud.client("s3").put_object(Bucket=BUCKET, Key=HOLD)
    s3 = started(one)
    before = s3.head_object(Bucket=BUCKET, Key="raw/a.csv")["VersionId"]
    runs.upload_data(begin())
    with pytest.raises(DeliveryError, match=f"Execution {one.execution_id} of the pipeline, since"):
        runs.upload_data(begin("b.csv"))
    assert s3.head_object(Bucket=BUCKET, Key="raw/a.csv")["VersionId"] == before
    s3.delete_object(Bucket=BUCKET, Key=HOLD)
    clock.wait_until(
        one.cloud,
        lambda: training.trained(one.cloud, one.project.slug, one.execution_id),
        "It is not trained.",
    )
    runs.upload_data(begin("b.csv"))


def test_a_version_by_another_writer_is_not_the_runs_own(
    begin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may write a file after its comparison, while the run still uploads other files."""
    one = begin()
    one.data = (*one.data, one.data[0].with_name("b.csv"))
    runs.upload_data(one)
    s3 = one.cloud.client("s3")
    read = s3.get_object

    def read_and_replaced(**given: Any) -> Any:
        answer = read(**given)
        if given["Key"] == "raw/a.csv":
            s3.put_object(Bucket=BUCKET, Key="raw/a.csv", Body=b"price\n3\n")
        return answer

    monkeypatch.setattr(s3, "get_object", read_and_replaced)
    runs.upload_data(one)
    assert one.versions["raw/a.csv"] != s3.head_object(Bucket=BUCKET, Key="raw/a.csv")["VersionId"]


def test_a_file_that_changes_during_its_upload_is_refused(
    begin: Callable[..., Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its content would be a mixture of both, and nothing of it is kept."""
    one = begin()
    s3 = one.cloud.client("s3")
    upload = s3.upload_file

    def changed(name: str, *rest: Any) -> None:
        (root / "growing.csv").write_text("price\n1\n2\n")
        upload(name, *rest)

    (root / "growing.csv").write_text("price\n1\n")
    one.data = (root / "growing.csv",)
    monkeypatch.setattr(s3, "upload_file", changed)
    with pytest.raises(DeliveryError, match=r"growing\.csv changed while it was uploaded"):
        runs.upload_data(one)
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="raw/").get("Contents", [])
    assert "raw/growing.csv" not in [each["Key"] for each in listed]


def hold(root: Path, held: Any, end: Any) -> None:
    """Hold the lock of a project until the event."""
    with run_lock.alone(projects.read_project(root), "run --data first.csv"):
        held.set()
        end.wait(30)


def test_a_second_run_is_refused_and_says_what_is_running(root: Path) -> None:
    """The message has the first run's command, time and process; any end of that run frees the lock."""
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    first = context.Process(target=hold, args=(root, held, end))
    first.start()
    assert held.wait(30)
    project = projects.read_project(root)
    with (
        pytest.raises(
            projects.LocalError, match=r"'run --data first\.csv' since .* UTC, process \d+"
        ) as refused,
        run_lock.alone(project, "run"),
    ):
        pytest.fail("two runs are under way")
    assert str(first.pid) in str(refused.value)
    first.kill()
    first.join()
    with run_lock.alone(project, "run"):
        assert lock.is_held(root / ".local" / "run.lock")
    assert not lock.is_held(root / ".local" / "run.lock")


def test_a_run_warns_of_former_names(tmp_path: Path, local_folder: Path) -> None:
    """Protects a user whose settings stop working with a later release, though the run succeeds."""
    text = (local_folder.parent / "project.toml").read_text(encoding="utf-8")
    for answer, value in {"project": "a-b", "region": "eu-central-1", "workload": "tabular"}.items():
        text = text.replace(f"<< cookiecutter.{answer} >>", value)
    text = text.replace("<< cookiecutter.__model >>", "linear_regression")
    (tmp_path / "project.toml").write_text(re.sub("<<.*?>>", "y", text), encoding="utf-8")
    (warning,) = runs.deprecations(projects.read_project(tmp_path))
    assert "'linear_regression' is now called 'linear_model'" in warning
