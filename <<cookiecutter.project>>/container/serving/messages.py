"""Messages between the HTTP protocol, the application and the thread that predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Headers = list[tuple[bytes, bytes]]


class Request(NamedTuple):
    """Hold a request that has arrived completely."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool
    started: float  # seconds of `time.perf_counter`, or 0.0 without an access log


class Response(NamedTuple):
    """Hold the response to a request."""

    status: int
    headers: Headers
    body: bytes


class Responder(Protocol):
    """The connection that a request came from."""

    def deliver(self, job: Job, response: Response) -> None:
        """Send the response to a job's request."""


@dataclass(eq=False)
class Job:
    """Hold a request that waits for the thread or is predicted by it.

    `request` is None once it is answered or cancelled. `size` is that of its body in bytes, and `started` is
    in monotonic seconds.
    """

    request: Request | None
    size: int
    responder: Responder
    started: float
