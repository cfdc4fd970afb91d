"""Deliveries that are killed or stopped: the next one completes, and one endpoint serves production."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.canary.production import Production
from tests.harness import Rig, until, write_table

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

SPEED = "60"


@pytest.fixture(scope="module")
def rig(bake: Callable[..., Path], environment_of: Callable[[Path], Path]) -> Iterator[Rig]:
    """One project; each test begins with the state that the previous one left."""
    root = bake(project="killed")
    made = Rig(root, environment_of(root) / "bin" / "python")
    write_table(made.data, 250)
    made.set("model", "name", '"linear_model"')
    yield made
    made.local("down", "--delete")
    until(lambda: not made.processes())


@pytest.fixture
def production(rig: Rig) -> Production:
    """Ensure that a model is in production."""
    there = Production(rig)
    if rig.cloud() is None or there.status() not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        complete(rig)
    return there


def begin(rig: Rig) -> subprocess.Popen[str]:
    return rig.begin("--approve", "--speed", SPEED)


def complete(rig: Rig) -> None:
    """Run, and check that only the delivered model is in production."""
    done = rig.run("--speed", SPEED)
    assert done.returncode == 0, done.stdout + done.stderr
    named = [line for line in done.stdout.splitlines() if line.startswith("endpoint: ")]
    assert named == [f"endpoint: killed-prd-{Production(rig).serving()}"]


def has_reached(production: Production, action: str) -> bool:
    """Return whether the newest delivery has reached an action, without the execution of a new pipeline."""
    if production.rig.cloud() is None:
        return False
    pipeline, client = {"pipelineName": production.pipeline}, production.client("codepipeline")
    if not client.list_pipelines()["pipelines"]:
        return False
    newest = client.list_pipeline_executions(**pipeline)["pipelineExecutionSummaries"][:1]
    if not newest or newest[0]["trigger"]["triggerType"] == "CreatePipeline":
        return False
    execution = {"pipelineExecutionId": newest[0]["pipelineExecutionId"]}
    found = client.list_action_executions(**pipeline, filter=execution)["actionExecutionDetails"]
    return any(each["actionName"] == action for each in found)


def kill_cloud(rig: Rig, runner: subprocess.Popen[str]) -> None:
    """Kill the cloud during a run, and check that the run reports it and that no process is left."""
    os.kill(rig.cloud_pid(), signal.SIGKILL)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1, output
    assert "The local cloud ended in the middle of the run" in output
    assert "Traceback" not in output
    until(lambda: not rig.processes())


# tests/faults kills the cloud during the training.
@pytest.mark.parametrize("action", ["Source", "Build", "DeployDev", "Approve"])
def test_a_cloud_killed_within_an_action_is_followed_by_a_whole_delivery(rig: Rig, action: str) -> None:
    """The killed cloud leaves nothing that blocks the next delivery; Source may have ended already."""
    rig.local("down", "--delete")
    runner = rig.begin("--speed", SPEED) if action == "Approve" else begin(rig)
    until(lambda: has_reached(Production(rig), action))
    kill_cloud(rig, runner)
    complete(rig)


@pytest.mark.parametrize("event", ["BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"])
def test_a_cloud_killed_around_the_shift_is_followed_by_a_whole_delivery(
    rig: Rig, production: Production, event: str
) -> None:
    """Two endpoints existed at that time, and no server of either survives."""
    runner = begin(rig)
    until(lambda: production.event(event) == "InProgress")
    assert len(production.versions()) == 2
    kill_cloud(rig, runner)
    complete(rig)


def test_a_deployment_continues_without_its_runner_or_execution(rig: Rig, production: Production) -> None:
    """One runner is killed, and one execution abandoned; the cloud completes both deployments in turn."""
    before = len(production.deployments())
    runner = begin(rig)
    until(production.shifting)
    runner.kill()
    runner.communicate()
    runner = begin(rig)
    until(lambda: len(production.deployments()) == before + 2 and production.shifting())
    pipeline = {"pipelineName": production.pipeline}
    client = production.client("codepipeline")
    (newest, *_) = client.list_pipeline_executions(**pipeline)["pipelineExecutionSummaries"]
    client.stop_pipeline_execution(
        **pipeline, pipelineExecutionId=newest["pipelineExecutionId"], abandon=True
    )
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1, output
    assert f"The execution {newest['pipelineExecutionId']} ended as Stopped." in output
    complete(rig)
    made = production.deployments()[before:]
    assert [each["status"] for each in made] == ["Succeeded"] * 3
    assert [each["to"] for each in made[:-1]] == [each["from"] for each in made[1:]]


def test_a_deployment_stopped_during_the_shift_is_rolled_back(rig: Rig, production: Production) -> None:
    """The old version serves alone until the next delivery."""
    old = production.serving()
    runner = begin(rig)
    shift = until(production.shifting)
    production.client("codedeploy").stop_deployment(deploymentId=shift["deploymentId"])
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1, output
    assert "The deployment was stopped." in output.replace("\n", " ")
    assert production.serving() == old
    assert production.status() == "UPDATE_ROLLBACK_COMPLETE"
    complete(rig)


def executions(production: Production) -> list[dict[str, Any]]:
    """List the pipeline's executions, the newest first."""
    client = production.client("codepipeline")
    found = client.list_pipeline_executions(pipelineName=production.pipeline)
    return list(found["pipelineExecutionSummaries"])


def test_a_cloud_stopped_during_the_shift_resumes_with_the_old_version(
    rig: Rig, production: Production
) -> None:
    """The next cloud has what the last one held, ends what ran, and delivers on top of it."""
    old, before = production.serving(), executions(production)
    runner = begin(rig)
    until(production.shifting)
    stopped = rig.local("down")
    assert "keeps what the cloud held" in stopped.stdout
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1, output
    until(lambda: not rig.processes())

    assert rig.local("up", "--speed", SPEED).returncode == 0
    restarted = Production(rig)
    newest, *earlier = executions(restarted)
    assert (newest["status"], newest["stopTrigger"]["reason"]) == ("Stopped", "The local cloud was stopped.")
    assert [each["status"] for each in earlier] == [each["status"] for each in before]
    assert [each["status"] for each in restarted.deployments()[-1:]] == ["Stopped"]
    until(lambda: restarted.status() == "UPDATE_ROLLBACK_COMPLETE")
    assert restarted.serving() == old
    name = f"killed-prd-{old}"
    describe = restarted.client("sagemaker").describe_endpoint
    until(lambda: describe(EndpointName=name)["EndpointStatus"] == "InService")
    predicted = rig.local("infer", str(rig.data))
    assert predicted.returncode == 0, predicted.stderr
    complete(rig)
