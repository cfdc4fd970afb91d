"""The ASGI application of the cloud: refuses browsers and callers without a key, and routes the others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from localcloud.core import access, protocol, requests
from localcloud.core.clock_route import PATH as CLOCK
from localcloud.core.ministack import CHANGED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from localcloud.core.access import Guard
    from localcloud.core.service import Answer, Route, Service
    from localcloud.core.timers import Timers

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

OWN_PATHS = "/_local/"
HEALTH = "/_local/health"
PROCESSES = "/_local/processes"  # AWS knows no processes; a person looks for them on this machine
# A page in the user's browser can reach 127.0.0.1, also by a name of its own that resolves to it; the names
# of the loopback and those under amazonaws.com can't be such a page's.
HOST = re.compile(
    r"(?:127\.0\.0\.1|\[::1\]|(?:[\w.-]+\.)?localhost|[\w.-]+\.amazonaws\.com(?:\.cn)?)(?::\d+)?",
    re.ASCII,
)
NOT_ALLOWED = "AccessDeniedException"
# Requests in flight have this time to end, while the cloud saves its end and refuses others.
DRAIN_SECONDS, POLL_SECONDS = 1.0, 0.01
BROWSER = ("origin", "sec-fetch-site", "sec-fetch-mode")


class Gateway:
    """Route a request to one of our services, or to ministack."""

    def __init__(
        self, backend: Application, services: Iterable[Service], guard: Guard, timers: Timers, clock: Route
    ) -> None:
        """Keep ministack's application, the services that answer before it, and the check of access keys.

        `clock` answers for the clock, and `timers` learn of each request.
        """
        self._backend, self._guard, self._timers = backend, guard, timers
        self._own = {HEALTH: _health, CLOCK: clock, PROCESSES: self._list_processes}
        self._in_flight, self._holding = 0, False
        self._released = asyncio.Event()
        self._services = tuple(services)
        self._json = {
            protocol.target_prefix(service.name): service for service in self._services if service.operations
        }
        self._routes = [
            (re.compile(pattern), route)
            for service in self._services
            for pattern, route in service.routes.items()
        ]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or take part in the server's start and end."""
        if scope["type"] == "lifespan":
            await self._backend(scope, self._closing_first(receive), send)
            return
        if self._holding:
            await self._released.wait()
            ending = access.ending(scope, _decode(scope["headers"]))
            await self._refuse(scope, receive, send, ending)
            return
        self._in_flight += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def save_end(self, save: Callable[[], None]) -> None:
        """Call `save` while no request is answered, and refuse those that have come meanwhile.

        Whatever waits for an answer is then recorded as running, not as failed for want of a cloud.
        """
        self._holding = True
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - it ends without an event too
            await asyncio.sleep(POLL_SECONDS)
        await asyncio.to_thread(save)
        self._released.set()

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = _decode(scope["headers"])
        if refusal := _refusal(headers) or self._guard.denial(scope, headers):
            await self._refuse(scope, receive, send, refusal)
            return
        if scope["type"] != "http":
            await self._backend(scope, receive, send)
        elif handler := self._handler(scope, headers):
            body = await _read(receive)
            if body is not None:
                with self._noted(scope, headers, body):
                    answer = await handler(scope["path"], headers, body)
                await _reply(send, answer)
        elif requests.is_form(headers):
            body = await _read(receive)
            if body is not None:
                with self._noted(scope, headers, body):
                    await self._backend(scope, _again(body, receive), send)
        else:
            with self._noted(scope, headers):
                await self._backend(scope, receive, send)

    @contextlib.contextmanager
    def _noted(self, scope: Message, headers: Mapping[str, str], body: bytes = b"") -> Iterator[None]:
        """Let the clock know of a request, but for those that only read, and for those of commands."""
        if scope["path"].startswith(OWN_PATHS):
            yield
            return
        self._timers.attend()
        if requests.reads(scope, headers, body):
            yield
            return
        if not requests.is_own(headers):
            self._timers.activities.note_load()
        activity = self._timers.activities.begin()
        try:
            yield
        finally:
            activity.end()
            if requests.changes(scope, headers, body):
                CHANGED.set()

    def _handler(self, scope: Message, headers: Mapping[str, str]) -> Route | None:
        prefix = headers.get("x-amz-target", "").partition(".")[0]
        if service := self._json.get(prefix):
            return protocol.json_route(service)
        if own := self._own.get(scope["path"]):
            return own
        return next((route for pattern, route in self._routes if pattern.fullmatch(scope["path"])), None)

    async def _list_processes(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002 - a route's signature
        """Answer with the ids of the processes of jobs and builds that run, by ARN and instance."""
        running = {arn: ids for service in self._services for arn, ids in service.processes().items()}
        return _json(running)

    def _closing_first(self, receive: Receive) -> Receive:
        """Return `receive`, which closes our services before ministack hears of the end."""

        async def closing() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._timers.close()
                await asyncio.gather(*(asyncio.to_thread(service.close) for service in self._services))
            return message

        return closing

    async def _refuse(self, scope: Message, receive: Receive, send: Send, answer: Answer) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await _reply(send, answer)


def _decode(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by their names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _refusal(headers: Mapping[str, str]) -> Answer | None:
    """Return the answer that refuses a request of a web page, or under a name that is not this machine's."""
    if any(name in headers for name in BROWSER) or headers.get("user-agent", "").startswith("Mozilla/"):
        return access.forbidden(NOT_ALLOWED, "The local cloud answers no browser.")
    if not HOST.fullmatch(headers.get("host", "")):
        reason = "The local cloud answers under 127.0.0.1, localhost and AWS's own names only."
        return access.forbidden(NOT_ALLOWED, reason)
    return None


async def _read(receive: Receive) -> bytes | None:
    """Return the request's body, or None when the client has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return `receive` with a body that was read already."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def read() -> Message:
        return left.pop() if left else await receive()

    return read


async def _reply(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    status, headers, body = answer
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _health(path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG001 - a route's signature
    """Answer with the process id, so that a stale record is not taken for a running cloud."""
    return _json({"pid": os.getpid()})


def _json(content: Any) -> Answer:
    return 200, [(b"content-type", b"application/json")], json.dumps(content).encode()
