"""Settings of the server, from SageMaker's environment variables and the project's own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

from container.payload.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES
from container.runtime.environment import Variable

MAX_GRACE = 25  # seconds: SageMaker kills a container 30 seconds after SIGTERM
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """Hold the address of the server and its limits.

    Times are in seconds, `max_body` (of a request) and `max_answer` in bytes, `queue` in requests a worker.
    """

    host: Annotated[str, Variable("SERVING_HOST")] = "0.0.0.0"  # noqa: S104 - a container is reached from outside
    port: Annotated[int, Variable("SAGEMAKER_BIND_TO_PORT", least=0)] = 8080
    workers: Annotated[int, Variable("MODEL_SERVER_WORKERS", least=1)] = field(default_factory=cpus)
    timeout: Annotated[int, Variable("MODEL_SERVER_TIMEOUT", least=1)] = 60
    requested_grace: Annotated[int | None, Variable("MODEL_SERVER_GRACE", least=1)] = None
    max_body: Annotated[int, Variable("MAX_CONTENT_LENGTH", least=1)] = MAX_REQUEST_BYTES
    max_answer: Annotated[int, Variable("MODEL_SERVER_MAX_ANSWER", least=1)] = MAX_RESPONSE_BYTES
    queue: Annotated[int, Variable("MODEL_SERVER_QUEUE", least=1)] = 128
    access_log: Annotated[bool, Variable("MODEL_SERVER_ACCESS_LOG")] = False

    @property
    def grace(self) -> int:
        """Return how many seconds requests in flight have to end after SIGTERM."""
        return self.requested_grace or min(self.timeout, MAX_GRACE)


def limit_threads(workers: int) -> None:
    """Keep workers x threads within the processors; must run before the first import of numpy."""
    most = max(1, cpus() // workers)
    for name in THREAD_LIMITS:
        text = os.environ.get(name, "")
        os.environ[name] = str(min(int(text), most) if text.isdecimal() and int(text) else most)
