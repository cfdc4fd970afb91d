"""The ASGI application of the cloud: refuses browsers and callers without a key, and routes the others."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from localcloud.core import access, protocol
from localcloud.core.ministack import CHANGED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from localcloud.core.access import Guard
    from localcloud.core.service import Answer, Route, Service

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEALTH = "/_local/health"
PROCESSES = "/_local/processes"  # AWS knows no processes; a person looks for them on this machine
# A page in the user's browser can reach 127.0.0.1, also by a name of its own that resolves to it; the names
# of the loopback and those under amazonaws.com can't be such a page's.
HOST = re.compile(
    r"(?:127\.0\.0\.1|\[::1\]|(?:[\w.-]+\.)?localhost|[\w.-]+\.amazonaws\.com(?:\.cn)?)(?::\d+)?",
    re.ASCII,
)
READING = ("BatchGet", "Describe", "Filter", "Get", "List", "Search")
NOT_ALLOWED = "AccessDeniedException"
# The answer to requests that come while the cloud saves its end; those in flight have this time to end.
ENDING = access.forbidden("ServiceUnavailable", "The local cloud was stopped.", 503)
DRAIN_SECONDS, POLL_SECONDS = 1.0, 0.01
BROWSER = ("origin", "sec-fetch-site", "sec-fetch-mode")


class Gateway:
    """Route a request to one of our services, or to ministack."""

    def __init__(self, backend: Application, services: Iterable[Service], guard: Guard) -> None:
        """Keep ministack's application, the services that answer before it, and the check of access keys."""
        self._backend, self._guard = backend, guard
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
            await self._refuse(scope, receive, send, ENDING)
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
        if _changes(scope, headers):
            CHANGED.set()
        if scope["type"] == "http" and (handler := self._handler(scope, headers)):
            body = await _read(receive)
            if body is not None:
                await _reply(send, await handler(scope["path"], headers, body))
        else:
            await self._backend(scope, receive, send)

    def _handler(self, scope: Message, headers: Mapping[str, str]) -> Route | None:
        prefix = headers.get("x-amz-target", "").partition(".")[0]
        if service := self._json.get(prefix):
            return protocol.json_route(service)
        if scope["path"] == HEALTH:
            return _health
        if scope["path"] == PROCESSES:
            return self._list_processes
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
                await asyncio.gather(*(asyncio.to_thread(service.close) for service in self._services))
            return message

        return closing

    async def _refuse(self, scope: Message, receive: Receive, send: Send, answer: Answer) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await _reply(send, answer)


def _changes(scope: Message, headers: Mapping[str, str]) -> bool:
    """Whether a request may change what a service holds, as far as its first line and its headers say."""
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    if operation:
        return not operation.startswith(READING)
    return scope.get("method") in {"PUT", "DELETE", "PATCH"}


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
