"""What the environment of a serving container says, read once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.payload.limits import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES
from container.runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Settings:
    """Hold where and how to serve.

    Times are in seconds, `max_body` (of a request) and `max_answer` in bytes, `queue` is per worker.
    """

    host: str
    port: int
    workers: int
    timeout: int
    grace: int
    max_body: int
    max_answer: int
    queue: int
    access_log: bool

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read SageMaker's variables and ours. Raises `UserError` for what is no whole number."""
        timeout = _whole(environment, "MODEL_SERVER_TIMEOUT", default=60, least=1)
        return cls(
            host=environment.get("SERVING_HOST", "0.0.0.0"),  # noqa: S104  a container is reached from outside
            port=_whole(environment, "SAGEMAKER_BIND_TO_PORT", default=8080, least=0),
            workers=_whole(environment, "MODEL_SERVER_WORKERS", default=cpus(), least=1),
            timeout=timeout,
            grace=_whole(environment, "MODEL_SERVER_GRACE", default=min(timeout, 25), least=1),
            max_body=_whole(environment, "MAX_CONTENT_LENGTH", default=MAX_REQUEST_BYTES, least=1),
            max_answer=_whole(environment, "MODEL_SERVER_MAX_ANSWER", default=MAX_RESPONSE_BYTES, least=1),
            queue=_whole(environment, "MODEL_SERVER_QUEUE", default=128, least=1),
            access_log=environment.get("MODEL_SERVER_ACCESS_LOG", "").lower() in {"1", "true", "yes"},
        )


def cpus() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads(workers: int) -> None:
    """Keep workers x threads within the processors; must run before the first import of numpy."""
    most = max(1, cpus() // workers)
    for name in THREAD_LIMITS:
        asked = os.environ.get(name, "")
        os.environ[name] = str(min(int(asked), most) if asked.isdecimal() and int(asked) else most)


def _whole(environment: Mapping[str, str], name: str, *, default: int, least: int) -> int:
    text = environment.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise UserError(f"{name} is {text!r}; it must be a whole number of at least {least}")
    return int(text)
