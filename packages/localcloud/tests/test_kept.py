"""The state that outlives a cloud: objects, records of what ran, and states that are refused."""

from __future__ import annotations

import importlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from cloud_harness import project_at, started
from hypothesis import given, settings
from hypothesis import strategies as st

import localcloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

kept: Any = importlib.import_module("localcloud.core.kept")
kept_files: Any = importlib.import_module("localcloud.core.kept_files")
clock: Any = importlib.import_module("localcloud.core.clock")
timers: Any = importlib.import_module("localcloud.core.timers")
context: Any = importlib.import_module("localcloud.core.context")
training: Any = importlib.import_module("localcloud.services.sagemaker.training")
jobs: Any = importlib.import_module("localcloud.services.sagemaker.jobs")
tags: Any = importlib.import_module("localcloud.services.sagemaker.tags")
build: Any = importlib.import_module("localcloud.services.codebuild.build")
builds: Any = importlib.import_module("localcloud.services.codebuild.models")
pipelines: Any = importlib.import_module("localcloud.services.codepipeline.pipelines")
execution: Any = importlib.import_module("localcloud.services.codepipeline.execution")
declaration: Any = importlib.import_module("localcloud.services.codepipeline.declaration")
actions: Any = importlib.import_module("localcloud.services.codepipeline.action_context")
deployment: Any = importlib.import_module("localcloud.services.codedeploy.deployment")
models: Any = importlib.import_module("localcloud.services.codedeploy.models")
fired: Any = importlib.import_module("localcloud.services.events.fired")
ministack_state: Any = importlib.import_module("localcloud.core.ministack_state")
patches: Any = importlib.import_module("localcloud.core.patches")
REASON = "The local cloud was stopped."
SECRET = "a-secret-that-no-file-may-have"


@pytest.fixture
def at(tmp_path: Path) -> Any:
    """Return a project without files."""
    return localcloud.Project(tmp_path, "stand-in", commands=localcloud.Commands("up", "down"))


@pytest.fixture
def there(at: Any) -> Any:
    """Return the context of its cloud."""
    return context.CloudContext(at, timers.Timers())


def write(at: Any, content: bytes = b"{}", **members: Any) -> Path:
    at.state.mkdir(exist_ok=True)
    header = kept.Header(kept.digest(content), 1.0, 2.0)
    kept.write(at, kept.Header(**{**vars(header), **members}), content)
    return at.state / "kept" / "state.json"


def as_json(thing: Any) -> Any:
    """Return what a file would have of it."""
    return json.loads(json.dumps(thing))


def test_a_written_state_is_read(at: Any) -> None:
    assert kept.read(at) is None
    write(at, b'{"a": [1, null]}', counts={"models": 2})
    header, state = kept.read(at)
    assert (state, header.counts, header.shown) == ({"a": [1, None]}, {"models": 2}, 2.0)


@pytest.mark.parametrize("damage", [b"", b"{}", b"no JSON\n{}", b"[]\n{}", b"\xff\n{}"])
def test_a_damaged_state_is_refused_and_stays(at: Any, damage: bytes) -> None:
    """Protects what the file may still have: the message names the file and the way out."""
    path = write(at)
    for content in (damage, path.read_bytes()[:-1], path.read_bytes() + b" "):
        path.write_bytes(content)
        with pytest.raises(localcloud.CloudError) as refusal:
            kept.read(at)
        assert str(refusal.value).startswith(f"{path} is damaged")
        assert "'down --delete' deletes" in str(refusal.value)
        assert path.read_bytes() == content


@pytest.mark.parametrize("other", [{"format": 0}, {"format": 2}, {"ministack": "1.0.0"}])
def test_a_state_of_another_version_is_refused_and_stays(at: Any, other: dict[str, Any]) -> None:
    path = write(at, **other)
    with pytest.raises(localcloud.CloudError) as refusal:
        kept.read(at)
    assert f"{path} was written by localcloud " in str(refusal.value)
    assert "'down --delete' deletes" in str(refusal.value)
    assert path.exists()


def test_a_state_of_another_region_is_refused(at: Any) -> None:
    """Protects the state of a project whose region was changed: its stacks would be invisible."""
    write(at, region="eu-west-1")
    with pytest.raises(localcloud.CloudError, match="is of region eu-west-1, and the project's is us-east-1"):
        kept.read(at)


def test_a_cloud_does_not_start_on_a_damaged_state(project: Path) -> None:
    """The start ends with the same message, and the objects beside the file stay too."""
    at = project_at(project)
    path = write(at)
    path.write_bytes(b"damaged")
    (path.parent / "s3").mkdir()
    (path.parent / "s3" / "object").touch()
    with pytest.raises(
        localcloud.CloudError, match=r"state.json is damaged; 'python -m local down --delete'"
    ):
        localcloud.start(at)
    assert (path.read_bytes(), (path.parent / "s3" / "object").exists()) == (b"damaged", True)


def test_the_size_is_reported_and_the_deletion_frees_it(at: Any) -> None:
    """A person learns what is kept, what is not, and how to delete it."""
    path = write(at, counts={"endpoints": 2}, dropped={"secrets": 1})
    (path.parent / "s3").mkdir()
    (path.parent / "s3" / "object").write_bytes(bytes(1_500_000))
    sentences = "\n".join(localcloud.describe_kept(at))
    assert "1.5 MB of objects in S3" in sentences
    assert "In it are: endpoints (2)." in sentences
    assert "Not kept, because it is secret: secrets (1)." in sentences
    assert "'down --delete' deletes it." in sentences
    (path.parent / "unsaved").touch()
    assert "warning: the cloud ended without saving its end" in "\n".join(localcloud.describe_kept(at))
    (at.state / "logs").mkdir()
    (sentences,) = localcloud.delete_kept(at)
    assert "1.5 MB are free again" in sentences
    assert [each.name for each in at.state.iterdir()] == ["logs"]
    assert "Nothing is kept" in localcloud.describe_kept(at)[0]


def test_a_damaged_or_missing_state_is_said_at_the_end(at: Any) -> None:
    """Protects from a 'down' that promises a state which the next cloud can't load, or has lost."""
    path = write(at, b'{"a": 1}')
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    said = localcloud.describe_kept(at)[-1]
    assert said.startswith(f"warning: {path} is damaged")
    assert "'down --delete' deletes" in said
    path.write_bytes(whole)
    assert "'up' continues from there" in localcloud.describe_kept(at)[-1]
    path.unlink()
    (path.parent / "s3" / "bucket").mkdir(parents=True)
    assert kept_files.missing_state(at) == ""
    (path.parent / "s3" / "bucket" / "key").touch()
    said = localcloud.describe_kept(at)[-1]
    assert said.startswith(f"warning: {path} is missing")
    assert "'up' starts with the buckets alone" in said


def test_equal_objects_share_their_bytes(at: Any) -> None:
    """The disk does not grow with each equal source or data file; a replaced object leaves the others."""
    objects = write(at).parent / "s3" / "bucket"
    objects.mkdir(parents=True)
    for name, content in (("a", b"x"), ("b", b"x"), ("c", b"y")):
        (objects / name).write_bytes(content * 200_000)
    kept_files.share_equal(at)
    assert (objects / "a").samefile(objects / "b")
    assert "400.0 kB of objects in S3" in localcloud.describe_kept(at)[0]
    (objects / "new").write_bytes(b"z")
    (objects / "new").replace(objects / "a")
    contents = [(objects / name).read_bytes() for name in "abc"]
    assert contents == [b"z", b"x" * 200_000, b"y" * 200_000]
    assert sorted(each.name for each in objects.iterdir()) == ["a", "b", "c"]


@settings(max_examples=25)
@given(
    st.floats(1.0, 3600.0),
    st.floats(-1e6, 1e6),
)
def test_the_simulated_time_does_not_go_backwards(speed: float, ahead: float) -> None:
    """A resumed cloud shows no earlier time than the last one, whatever its speed is."""
    now = clock.now()
    resumed = kept.resumed_clock(speed, kept.Header("", now, now + ahead))
    assert resumed.speed == speed
    shown = resumed.to_simulated(clock.now())
    assert shown >= now + max(0.0, ahead) - 0.01


def test_kept_times_have_their_simulated_times() -> None:
    """Periods of alarms count what came before the cloud was stopped as they did then."""
    now = clock.now()
    segments = [[now - 30, now - 30, 60.0], [now - 20, now + 4000, 60.0], [now - 5, now + 9000, 60.0]]
    header = kept.Header("", now - 2, now + 9180, segments=segments)
    resumed = kept.resumed_clock(60.0, header)
    assert resumed.to_simulated(now - 25) == pytest.approx(now + 270)
    assert resumed.to_simulated(now - 10) == pytest.approx(now + 4600)
    assert resumed.to_simulated(now - 2) == pytest.approx(now + 9180)
    assert resumed.to_simulated(now - 1) == pytest.approx(now + 9181)  # stopped


def request(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "image"},
        "ResourceConfig": {"InstanceCount": 1},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/path"},
    }


def test_a_job_that_ran_has_failed_and_others_stay(there: Any) -> None:
    """No job runs forever, and none that has not ended is Completed."""
    before = jobs.Jobs(there, tags.Tags(), training.TrainingJob, jobs.Quota())
    for name, status in (("done", "Completed"), ("running", "InProgress"), ("stopping", "Stopping")):
        job = before.jobs[name] = training.TrainingJob(there, request(name))
        job.status, job.started = status, job.created
    before.jobs["done"].metrics = [{"MetricName": "m", "Value": 1.0, "Timestamp": 1.0}]
    log = before.jobs["running"].hosts[0].log
    log.parent.mkdir(parents=True)
    log.write_text("a line\n")
    written = before.jobs["running"].created + 30
    os.utime(log, (written, written))
    (part,) = before.kept().values()
    after = jobs.Jobs(there, tags.Tags(), training.TrainingJob, jobs.Quota())
    (restored,) = after.kept().values()
    restored.load(as_json(part.save()))
    done, *ended = (after.describe({"TrainingJobName": name}) for name in ("done", "running", "stopping"))
    assert done["TrainingJobStatus"] == "Completed"
    assert done["FinalMetricDataList"] == before.jobs["done"].metrics
    for job in ended:
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
        assert job["FailureReason"] == f"InternalServerError: {REASON}"
    running, stopping = (job["TrainingEndTime"] for job in ended)
    assert running == pytest.approx(written, abs=0.01)  # its last sign of life, not its begin
    assert stopping == before.jobs["stopping"].modified


def test_a_build_that_ran_was_stopped(there: Any) -> None:
    before = build.Build(there, {"name": "p", "timeoutInMinutes": 1}, 3, None, builds.StartOptions("local"))
    before.phases.append(builds.PhaseRecord("BUILD"))
    shown = build.Build.restored(there, None, as_json(before.saved())).describe()
    assert (shown["id"], shown["buildStatus"], shown["buildComplete"]) == (before.id, "STOPPED", True)
    assert shown["phases"][-1]["contexts"] == [{"statusCode": "BUILD_STOPPED", "message": REASON}]
    assert shown["logs"]["deepLink"] == before.log.as_uri()


RAW = {
    "name": "p",
    "artifactStore": {"type": "S3", "location": "bucket"},
    "stages": [
        {
            "name": stage,
            "actions": [
                {
                    "name": stage,
                    "actionTypeId": {
                        "category": category,
                        "provider": provider,
                        "owner": "AWS",
                        "version": "1",
                    },
                    "configuration": {"S3Bucket": "b", "S3ObjectKey": "k"},
                }
            ],
        }
        for stage, category, provider in (("Source", "Source", "S3"), ("Approve", "Approval", "Manual"))
    ],
}


def test_a_pipelines_execution_that_ran_was_stopped(there: Any) -> None:
    """The approval that waited can't be given any more, and the stage does not run."""
    tools = actions.Tools(there, None, None)
    before = pipelines.Pipeline(declaration.parse(RAW))
    start = execution.ExecutionStart({}, "StartPipelineExecution", "me")
    one = execution.Execution(before.declaration, 1, start, before.transitions, tools)
    before.executions[one.id] = one
    for stage, status in (("Source", "Succeeded"), ("Approve", "InProgress")):
        run = actions.ActionExecution(
            stage, before.declaration.action(stage, stage), one.id, 1, status=status
        )
        one.runs.append(run)
        before.action_began(run)
        before.stages[stage] = (one.id, status)
    one.runs[1].approval = actions.Approval()
    after = pipelines.Pipelines(tools, {})
    after.kept()["pipelines"].load(as_json([before.saved()]))
    shown = after.list_executions({"pipelineName": "p"})["pipelineExecutionSummaries"][0]
    assert (shown["pipelineExecutionId"], shown["status"]) == (one.id, "Stopped")
    assert shown["stopTrigger"] == {"reason": REASON}
    source, approve = after.get_state({"name": "p"})["stageStates"]
    assert source["latestExecution"]["status"] == "Succeeded"
    assert approve["latestExecution"]["status"] == "Stopped"
    assert approve["actionStates"][0]["latestExecution"]["status"] == "Abandoned"
    assert "token" not in approve["actionStates"][0]["latestExecution"]


def test_a_deployment_that_ran_was_stopped_and_its_traffic_is_back(there: Any) -> None:
    """A version that was not validated does not get traffic in the next cloud."""

    class Target:
        routed: tuple[Any, ...] = ()

        def route(self, update: Any, version: str, weights: dict[str, float]) -> None:
            self.routed = (update.alias, version, weights)

    def make(target: Any) -> Any:
        update = models.AliasUpdate("function", "live", "1", "2")
        return deployment.Deployment({}, update, {}, target, there.timers, lambda: False, lambda _: None)

    before, target = make(Target()), Target()
    before.status, before.share = "InProgress", 0.1
    before.shifts.append({"time": before.created, "aws_seconds": 0.0, "weights": {"1": 0.9, "2": 0.1}})
    after = make(target)
    after.restore(as_json(before.saved()))
    assert (after.identifier, after.status, after.error.message) == (before.identifier, "Stopped", REASON)
    assert target.routed == ("live", "1", {})


def test_a_schedule_that_has_come_does_not_come_again() -> None:
    """A one-time schedule would come in each cloud, since ministack does not keep when schedules came."""
    table = patches.uses("ministack.services.scheduler", "_schedule_last_fired")["_schedule_last_fired"]
    before = dict(table)
    part = fired.kept()["fired schedules"]
    table["account", "region", "group/name"] = 7.0
    saved = as_json(part.save())
    table.clear()
    part.load(saved)
    assert table.pop(("account", "region", "group/name")) == 7.0
    assert table == before


@pytest.fixture
def stopped(project: Path) -> Iterator[Path]:
    yield project
    localcloud.stop(project_at(project))


STACK = """
Resources:
  Bucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: of-the-stack, VersioningConfiguration: {Status: Enabled}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: of-the-stack
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}
Outputs:
  Name: {Value: !Ref Bucket, Export: {Name: name-of-the-bucket}}
"""
IMPORTER = """
Resources:
  Parameter:
    Type: AWS::SSM::Parameter
    Properties: {Name: imported, Type: String, Value: !ImportValue name-of-the-bucket}
"""


@pytest.mark.parametrize("service", ["cloudformation", "cloudwatch"])
def test_stores_that_are_saved_without_a_copy_are_all_stores(service: str) -> None:
    """Ministack copies what it returns, so these are read one by one: none may be forgotten."""
    names, _ = ministack_state._COPYING[service]  # noqa: SLF001 - a person can't see the table
    state = importlib.import_module(f"ministack.services.{service}").get_state()
    assert names.keys() == state.keys()


def test_a_stopped_cloud_is_resumed(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Objects with their versions, stacks, packages, parameters: all are there again; no secret is.

    A change is saved soon, so that a killed cloud continues as well. One without the file says what is lost.
    """
    rig = started(stopped)
    rig.deploy("stack", STACK, {})
    rig.cloudformation.create_change_set(
        StackName="importer", ChangeSetName="planned", ChangeSetType="CREATE", TemplateBody=IMPORTER
    )
    for text in ("one", "two"):
        rig.s3.put_object(Bucket="of-the-stack", Key="key", Body=text.encode())
    rig.ssm.put_parameter(Name="plain", Value="7", Type="String")
    rig.ssm.put_parameter(Name="secure", Value=SECRET, Type="SecureString")
    rig.secretsmanager.create_secret(Name="secret", SecretString=SECRET)
    rig.sagemaker.create_model_package_group(ModelPackageGroupName="group")
    package = rig.sagemaker.create_model_package(
        ModelPackageGroupName="group", ModelApprovalStatus="Approved"
    )["ModelPackageArn"]
    assert localcloud.stop(project_at(stopped))
    sentences = "\n".join(localcloud.describe_kept(project_at(stopped)))
    assert "SecureString parameters (1)" in sentences
    assert "secrets (1)" in sentences
    assert SECRET not in (stopped / ".local" / "kept" / "state.json").read_text()

    rig = type(rig)(localcloud.start(project_at(stopped)), {})
    check(rig, package)
    check_imports(rig)
    rig.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    written = stopped / ".local" / "kept" / "state.json"
    rig.until(lambda: '"ModelApprovalStatus": "Rejected"' in written.read_text(), seconds=5.0)

    assert localcloud.stop(project_at(stopped))
    written.unlink()
    rig = type(rig)(localcloud.start(project_at(stopped)), {})
    log = (stopped / ".local" / "logs" / "cloud.log").read_text(encoding="utf-8")
    for text in (capsys.readouterr().err, log):
        assert f"warning: {written} is missing: of what the cloud held only S3's buckets are left" in text
    assert rig.s3.get_object(Bucket="of-the-stack", Key="key")["Body"].read() == b"two"


def check(rig: Any, package: str) -> None:
    """Check that a cloud has what the one before it had."""
    stack = rig.cloudformation.describe_stacks(StackName="stack")["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    versions = rig.s3.list_object_versions(Bucket="of-the-stack")["Versions"]
    contents = {
        each["IsLatest"]: rig.s3.get_object(Bucket="of-the-stack", Key="key", VersionId=each["VersionId"])[
            "Body"
        ].read()
        for each in versions
    }
    assert contents == {True: b"two", False: b"one"}
    assert rig.iam.get_role(RoleName="of-the-stack")["Role"]["RoleName"] == "of-the-stack"
    assert rig.ssm.get_parameter(Name="plain")["Parameter"]["Value"] == "7"
    assert rig.sagemaker.describe_model_package(ModelPackageName=package)["ModelPackageVersion"] == 1
    changed = rig.deploy("stack", STACK.replace("Enabled", "Suspended"), {})
    assert changed["StackStatus"] == "UPDATE_COMPLETE"


def check_imports(rig: Any) -> None:
    """Check that a change set which was planned can be executed, and finds the export of another stack."""
    rig.cloudformation.execute_change_set(StackName="importer", ChangeSetName="planned")
    rig.cloudformation.get_waiter("stack_create_complete").wait(
        StackName="importer", WaiterConfig={"Delay": 1}
    )
    assert rig.ssm.get_parameter(Name="imported")["Parameter"]["Value"] == "of-the-stack"


def test_what_is_to_be_deleted_is_not_saved_first(stopped: Path) -> None:
    """A save may take seconds; one that was left out once is not left out by the next cloud."""
    rig = started(stopped)
    unsaved = stopped / ".local" / "kept" / "unsaved"
    localcloud.stop(project_at(stopped), keep=False)
    assert unsaved.exists()
    rig = type(rig)(localcloud.start(project_at(stopped)), {})
    rig.ssm.put_parameter(Name="kept", Value="7", Type="String")
    localcloud.stop(project_at(stopped))
    assert not unsaved.exists()
    assert '"kept"' in (stopped / ".local" / "kept" / "state.json").read_text()
    localcloud.delete_kept(project_at(stopped))
    assert not (stopped / ".local" / "kept").exists()
