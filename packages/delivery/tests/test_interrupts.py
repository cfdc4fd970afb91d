"""A signal at each line of a command: what the command has started by then is ended."""

from __future__ import annotations

import signal
import sys
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from delivery import interrupts, model_endpoints, training
from delivery.commands import deploy, train
from delivery.history import view
from delivery.inference import methods
from delivery.jobs.executions import run_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:p-train"
LINES = 500  # more than any command here runs
IMPORTED = (methods, training)  # a command's first run would count the lines of their import


@pytest.fixture(autouse=True)
def received() -> Iterator[list[int]]:
    """Handle the signals as a command does, and return those that came."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield interrupts.Interrupts().received
    for number, handler in before.items():
        signal.signal(number, handler)


class Requests:
    """Requests that create something: one whose answer nobody awaits has its effect afterwards."""

    def __init__(self) -> None:
        self.late: list[Callable[[], None]] = []

    def request(self, effect: Callable[[], None]) -> None:
        """Send a request, and await the answer."""
        try:
            sent = True
        except KeyboardInterrupt:
            self.late.append(effect)
            raise
        effect()
        assert sent

    def process(self) -> None:
        """Process the requests whose answers nobody awaited."""
        for effect in self.late:
            effect()


class SageMaker(Requests):
    """The operations of `deploy`, on what exists by kind and name."""

    def __init__(self) -> None:
        super().__init__()
        self.existing = {"model": {"former": ""}, "config": {"former": "former"}, "endpoint": {}}
        self.creating: set[str] = set()

    def _find(self, kind: str, name: str) -> str:
        if name not in self.existing[kind]:
            error = {"Code": "ValidationException", "Message": f'Could not find {kind} "{name}".'}
            raise ClientError({"Error": error}, "Describe")
        return self.existing[kind][name]

    def create_model(self, ModelName: str, **_: Any) -> None:  # noqa: N803 - names of SageMaker
        self.request(lambda: self.existing["model"].update({ModelName: ""}))

    def create_endpoint_config(self, EndpointConfigName: str, **_: Any) -> None:  # noqa: N803 - as above
        self.request(lambda: self.existing["config"].update({EndpointConfigName: ""}))

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str) -> None:  # noqa: N803 - as above
        if EndpointName in self.existing["endpoint"]:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "exists"}}, "Create")
        self.request(lambda: self.existing["endpoint"].update({EndpointName: EndpointConfigName}))
        self.creating.add(EndpointName)

    def describe_endpoint(self, EndpointName: str) -> dict[str, str]:  # noqa: N803 - as above
        config = self._find("endpoint", EndpointName)
        status = "Creating" if EndpointName in self.creating else "InService"
        self.creating.discard(EndpointName)
        return {"EndpointStatus": status, "EndpointConfigName": config}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:  # noqa: N803 - as above
        self._find("config", EndpointConfigName)
        variants = [{"ModelName": EndpointConfigName}]
        return {"EndpointConfigName": EndpointConfigName, "ProductionVariants": variants}

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803 - as above
        self._find("endpoint", EndpointName)
        del self.existing["endpoint"][EndpointName]

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803 - as above
        self._find("config", EndpointConfigName)
        del self.existing["config"][EndpointConfigName]

    def delete_model(self, ModelName: str) -> None:  # noqa: N803 - as above
        self._find("model", ModelName)
        del self.existing["model"][ModelName]


class StepFunctions(Requests):
    """The operations of `train`, on the status of executions; one succeeds when it was described twice."""

    def __init__(self) -> None:
        super().__init__()
        self.executions: dict[str, str] = {}
        self.described = 0

    def start_execution(self, stateMachineArn: str, name: str = "", **_: Any) -> dict[str, str]:  # noqa: N803 - as above
        arn = f"{stateMachineArn.replace('stateMachine', 'execution')}:{name}"
        self.request(lambda: self.executions.update({arn: training.RUNNING}))
        return {"executionArn": arn}

    def describe_execution(self, executionArn: str) -> dict[str, str]:  # noqa: N803 - as above
        if executionArn not in self.executions:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": "no"}}, "Describe")
        self.described += 1
        if self.described > 2 and self.executions[executionArn] == training.RUNNING:
            self.executions[executionArn] = training.SUCCEEDED
        return {"status": self.executions[executionArn]}

    def stop_execution(self, executionArn: str, **_: Any) -> None:  # noqa: N803 - as above
        if self.executions.get(executionArn) != training.RUNNING:
            raise ClientError({"Error": {"Code": "ValidationException", "Message": "not running"}}, "Stop")
        self.executions[executionArn] = "ABORTED"


def interrupted(act: Callable[[], object], line: int, number: int) -> bool:
    """Send a signal before the line of this number that runs; return whether it was sent."""
    left = line

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        path = frame.f_code.co_filename
        if path != __file__ and "/delivery/" not in path:
            return None
        if event == "line":
            left -= 1
            if not left:
                sys.settrace(None)
                signal.raise_signal(number)
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        act()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return left <= 0


def ignore(*_: Any, **__: Any) -> Any:
    """Do nothing."""


def prepare_deploy(monkeypatch: pytest.MonkeyPatch, cloud: Any) -> None:
    """Give `deploy` a cloud, and a model there."""
    settings = SimpleNamespace(role_arn="role", image=lambda *_: "image")
    model = SimpleNamespace(url="s3://bucket/model.tar.gz")
    for name, given in {
        "find_project": lambda _: SimpleNamespace(slug="p"),
        "refuse_other_endpoint": ignore,
        "check": lambda *_: (cloud, settings, model),
        "find_code": ignore,
        "show": ignore,
    }.items():
        monkeypatch.setattr(deploy, name, given)
    monkeypatch.setattr(model_endpoints, "POLL_SECONDS", 0)


@pytest.mark.parametrize("background", [False, True])
def test_an_interrupted_deploy_leaves_nothing_at_any_moment(
    monkeypatch: pytest.MonkeyPatch, received: list[int], *, background: bool
) -> None:
    """Protects from models, configurations and endpoints that nobody knows of; those of others stay."""
    for line in range(1, LINES):
        sagemaker = SageMaker()
        before = {kind: dict(found) for kind, found in sagemaker.existing.items()}
        cloud = SimpleNamespace(client=lambda _, sagemaker=sagemaker: sagemaker, region="eu-central-1")
        prepare_deploy(monkeypatch, cloud)

        def act() -> None:
            deploy.deploy(None, "m.tar.gz", "houses", background=background)  # type: ignore[arg-type]

        if not interrupted(act, line, NUMBERS[line % 2]):
            break
        sagemaker.process()
        assert sagemaker.existing == before, line
    assert set(sagemaker.existing["endpoint"]) == {"houses"}
    assert len(received) == line - 1 > 40


def test_a_refused_deploy_leaves_the_endpoint_that_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another command may have created it since the check."""
    sagemaker = SageMaker()
    sagemaker.create_endpoint("houses", "former")
    before = {kind: dict(found) for kind, found in sagemaker.existing.items()}
    prepare_deploy(monkeypatch, SimpleNamespace(client=lambda _: sagemaker, region="eu-central-1"))
    with pytest.raises(ClientError, match="exists"):
        deploy.deploy(None, "m.tar.gz", "houses")  # type: ignore[arg-type]
    assert sagemaker.existing == before


def test_an_interrupted_replacement_deletes_the_former_endpoint_whole_or_not_at_all() -> None:
    """Protects from its configuration and model, which nobody finds without it."""
    for line in range(1, LINES):
        sagemaker = SageMaker()
        sagemaker.existing["endpoint"]["houses"] = "former"
        cloud: Any = SimpleNamespace(client=lambda _, sagemaker=sagemaker: sagemaker)
        if not interrupted(partial(model_endpoints.delete, cloud, "houses"), line, signal.SIGTERM):
            break
        assert len({len(found) for found in sagemaker.existing.values()}) == 1, line
    assert sagemaker.existing == {"model": {}, "config": {}, "endpoint": {}}


@pytest.mark.parametrize("background", [False, True])
def test_an_interrupted_train_leaves_no_execution_that_runs(
    monkeypatch: pytest.MonkeyPatch, received: list[int], *, background: bool
) -> None:
    """Protects from jobs that run on, also where the signal comes before the answer to their start."""
    started = training.Training("p", "one", MACHINE, "bucket")
    plan = SimpleNamespace(input=lambda _: {})
    chosen = SimpleNamespace(choose_data=lambda *_: SimpleNamespace(remark=""))
    monkeypatch.setattr(train, "find_project", ignore)
    monkeypatch.setattr(train, "refuse_other_endpoint", ignore)
    monkeypatch.setattr(train, "find_code", lambda *_: chosen)
    for name in ("show_started", "show_trained"):
        monkeypatch.setattr(train, name, ignore)
    monkeypatch.setattr(view, "follow", lambda *_: nullcontext())
    monkeypatch.setattr(training, "prepare", lambda *_: started)
    monkeypatch.setattr(training, "job_records", lambda *_: [])
    monkeypatch.setattr(training, "read_result", ignore)
    monkeypatch.setattr(training, "POLL_SECONDS", 0)
    for line in range(1, LINES):
        steps = StepFunctions()
        cloud = SimpleNamespace(client=lambda _, steps=steps: steps)
        monkeypatch.setattr(train, "make_plan", lambda *_, cloud=cloud: (cloud, plan))

        def act() -> None:
            train.train(None, background=background)  # type: ignore[arg-type]

        if not interrupted(act, line, NUMBERS[line % 2]):
            break
        steps.process()
        assert training.RUNNING not in steps.executions.values(), line
    assert set(steps.executions) == {started.arn}
    assert len(received) == line - 1 > 25


def test_an_interrupted_wait_for_a_state_machine_stops_its_execution(received: list[int]) -> None:
    """Protects from an analysis of `drift` that runs on."""
    for line in range(1, LINES):
        steps = StepFunctions()
        cloud: Any = SimpleNamespace(client=lambda _, steps=steps: steps)

        def wait(execution: str, steps: StepFunctions = steps) -> None:
            while steps.describe_execution(execution)["status"] == training.RUNNING:
                pass

        act = partial(run_machine, cloud, MACHINE, "{}", wait)
        if not interrupted(act, line, NUMBERS[line % 2]):
            break
        steps.process()
        assert training.RUNNING not in steps.executions.values(), line
    assert list(steps.executions.values()) == [training.SUCCEEDED]
    assert len(received) == line - 1 > 10
