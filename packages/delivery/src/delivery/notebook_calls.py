"""Record what a notebook starts in SageMaker and other services, so that an interrupt can end it.

The notebook's kernel runs this file, with the packages of the SageMaker SDK, not `delivery`. Each call has a
line before it is sent, and one with its answer.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from botocore.client import BaseClient

CALLS, ENDED = "calls.jsonl", "ended"  # files of the folder
# The operations that start or create something, and where their parameters or answers have its name.
NAMES: dict[str, tuple[str, ...]] = {
    "CreateTrainingJob": ("TrainingJobName",),
    "CreateProcessingJob": ("ProcessingJobName",),
    "StartBuild": ("build", "id"),
    "StartExecution": ("executionArn",),
    "StartPipelineExecution": ("pipelineExecutionId",),
    "CreateEndpoint": ("EndpointName",),
    "CreateEndpointConfig": ("EndpointConfigName",),
    "CreateModel": ("ModelName",),
}


def record(folder: str) -> None:
    """Record the calls of this process from now on in a folder; none is sent once a file ends them."""
    clients: Any = BaseClient
    send, numbers = clients._make_api_call, itertools.count()  # noqa: SLF001 - no event has a refusal

    def write(**call: Any) -> None:
        with Path(folder, CALLS).open("ab", buffering=0) as file:
            file.write(json.dumps(call).encode() + b"\n")

    def recorded(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation not in NAMES:
            return send(client, operation, parameters)
        call = {"call": f"{os.getpid()}-{next(numbers)}", "operation": operation}
        write(**call, name=_name(operation, parameters), answered=False)
        if Path(folder, ENDED).exists():
            write(**call, name=None, answered=True)  # nobody has to wait for what is not sent
            raise KeyboardInterrupt
        answer: dict[str, Any] | None = None
        try:
            answer = send(client, operation, parameters)
        finally:
            refused = answer is None  # what has the name then is another's
            name = None if refused else _name(operation, {**parameters, **(answer or {})})
            write(**call, name=name, answered=True)
        return answer

    clients._make_api_call = recorded  # noqa: SLF001 - as above


def _name(operation: str, values: Any) -> str | None:
    for key in NAMES[operation]:
        values = (values or {}).get(key)
    return str(values) if values else None
