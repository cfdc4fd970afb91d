"""An HTTP client for one container's server: kept connections, whole requests, whole answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from collections.abc import Sequence

    Headers = Sequence[tuple[str, str]]

READ = 256 * 1024


@dataclass
class Reply:
    """What the container answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class UpstreamError(Exception):
    """The container's server can't be reached, or ends within its answer."""


class NotConnectedError(UpstreamError):
    """The server can't be reached; it has not seen the request."""


@dataclass
class Wire:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection


class Upstream:
    """The server on a port of this machine. Used on the event loop only."""

    def __init__(self, port: int) -> None:
        """Connect when the first request comes."""
        self.port = port
        self.in_flight = 0
        self._idle: list[Wire] = []

    async def ask(self, method: str, path: str, headers: Headers, body: bytes) -> Reply:
        """Send a request and return the answer; UpstreamError when there is none."""
        self.in_flight += 1
        try:
            wire = await self._wire()
            try:
                return await self._exchange(wire, method, path, headers, body)
            except (OSError, EOFError, h11.RemoteProtocolError) as error:
                wire.writer.close()
                # Never sent again: what ended this server would end the next one.
                raise UpstreamError(str(error) or type(error).__name__) from None
            except BaseException:
                wire.writer.close()
                raise
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if not wire.reader.at_eof():
                return wire
            wire.writer.close()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=READ)
        except OSError as error:
            raise NotConnectedError(str(error)) from None
        return Wire(reader, writer, h11.Connection(h11.CLIENT))

    async def _exchange(self, wire: Wire, method: str, path: str, headers: Headers, body: bytes) -> Reply:
        state = wire.state
        fixed = [("host", f"127.0.0.1:{self.port}"), ("content-length", str(len(body)))]
        head = state.send(h11.Request(method=method, target=path, headers=[*fixed, *headers]))
        wire.writer.write(head or b"")
        # The body goes out as it is: h11 only counts it.
        state.send_with_data_passthrough(h11.Data(data=body))
        wire.writer.write(body)
        state.send(h11.EndOfMessage())
        await wire.writer.drain()
        reply = await self._reply(wire)
        if state.our_state is state.their_state is h11.DONE:
            state.start_next_cycle()
            self._idle.append(wire)
        else:
            wire.writer.close()
        return reply

    async def _reply(self, wire: Wire) -> Reply:
        head: h11.Response | None = None
        parts: list[bytes] = []
        while True:
            event = wire.state.next_event()
            if event is h11.NEED_DATA:
                data = await wire.reader.read(READ)
                if not data and head is None:
                    raise EOFError("the server closed the connection")
                wire.state.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and head:
                names = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                return Reply(head.status_code, names, b"".join(parts))
