"""Tasks of state machines besides ministack's: of our services, and of others through botocore."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol, sdk
from localcloud.core.errors import TaskError
from localcloud.core.ministack import APP
from localcloud.core.patches import uses
from localcloud.services.stepfunctions.executions import CALLER, EXECUTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.core.service import Json, Service, Task

STATES = uses(
    "ministack.services.stepfunctions",
    "_AWS_SDK_ERROR_PREFIX",
    "_AWS_SDK_SERVICE_MAP",
    "_ExecutionError",
    "_SERVICE_DISPATCH",
)
# ministack reads S3's XML without types: sizes would be text, truth "true", and putObject is missing. Its
# state machines know neither CloudFormation nor Scheduler.
BY_BOTOCORE = ("cloudformation", "s3", "scheduler")


def add_tasks(service: Service) -> None:
    """Let state machines start the service's jobs and call its operations as `aws-sdk:` tasks."""
    if service.tasks:
        _answer(f"arn:aws:states:::{service.name}:", service.tasks.get)
    if service.operations:
        _add_operations(service)


def add_botocore_tasks(connect: Callable[[str], Any]) -> None:
    """Let botocore call the services of which ministack's own `aws-sdk:` tasks have too little."""
    for name in BY_BOTOCORE:
        _answer(f"arn:aws:states:::aws-sdk:{name}:", sdk.tasks(name, partial(connect, name)))


def _answer(prefix: str, find: Callable[[str], Task | None]) -> None:
    """Answer tasks whose resource begins with the prefix by the task that `find` returns for the rest."""
    error = STATES["_ExecutionError"]

    def perform(resource: str, request: Json) -> Json:
        """Perform a task.

        Raises:
            _ExecutionError: the task does not exist, or fails.
        """
        task = find(resource.removeprefix(prefix))
        if task is None:
            raise error("States.Runtime", protocol.not_part_of_cloud(resource))
        try:
            return task(request or {}, EXECUTION.get())
        except TaskError as failure:
            raise error(failure.error, failure.cause) from None

    STATES.add("_SERVICE_DISPATCH", prefix, perform)


def _add_operations(service: Service) -> None:
    async def answer(caller: str, path: str, headers: Mapping[str, str], body: bytes) -> Any:
        CALLER.set(caller)
        status, _, content = await protocol.json_route(service)(path, headers, body)
        return status, {"Content-Type": "application/x-amz-json-1.1"}, content

    def handle(method: str, path: str, headers: Mapping[str, str], body: bytes, query: Json) -> Any:  # noqa: ARG001 - ministack's signature
        # Only the execution's own thread has the caller: `answer` runs in ministack's event
        # loop.
        execution = EXECUTION.get(None)
        return answer(execution.caller if execution else "", path, headers, body)

    prefix = protocol.target_prefix(service.name)
    APP.add("SERVICE_HANDLERS", service.name, handle)
    STATES.add("_AWS_SDK_SERVICE_MAP", service.name, {"target_prefix": prefix, "protocol": "json"})
    STATES.add("_AWS_SDK_ERROR_PREFIX", service.name, protocol.sdk_name(service.name))
