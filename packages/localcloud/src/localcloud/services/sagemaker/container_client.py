"""An HTTP client for one container's server: it keeps connections, and sends and reads whole messages."""

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
class ContainerResponse:
    """The response of a container."""

    status: int
    headers: dict[str, str]
    body: bytes
    # The body as the server sent it: a chunk each where it sends chunks.
    parts: Sequence[bytes] = ()

    def __post_init__(self) -> None:
        """Take a body without parts as one."""
        if not self.parts and self.body:
            self.parts = (self.body,)


class ContainerClientError(Exception):
    """The container's server can't be reached, or ends before the end of its response."""


class NotConnectedError(ContainerClientError):
    """The server can't be reached; it has not seen the request."""


@dataclass
class ContainerConnection:
    """A connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection


class ContainerClient:
    """A client of the server on a port of this machine, for use on the event loop only."""

    def __init__(self, port: int) -> None:
        """Keep the port; the first request connects."""
        self.port = port
        self.in_flight = 0
        self._idle: list[ContainerConnection] = []

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> ContainerResponse:
        """Send a request and return the response.

        Raises:
            ContainerClientError: the server gives no response; NotConnectedError if it has not seen the
                request.
        """
        self.in_flight += 1
        try:
            connection = await self._connect()
            try:
                return await self._exchange(connection, method, path, headers, body)
            except (OSError, EOFError, h11.RemoteProtocolError) as error:
                connection.writer.close()
                # The request is not sent again: if it has ended this server, it would end the next one too.
                raise ContainerClientError(str(error) or type(error).__name__) from None
            except BaseException:
                connection.writer.close()
                raise
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().writer.close()

    async def _connect(self) -> ContainerConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.writer.close()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=READ)
        except OSError as error:
            raise NotConnectedError(str(error)) from None
        return ContainerConnection(reader, writer, h11.Connection(h11.CLIENT))

    async def _exchange(
        self, connection: ContainerConnection, method: str, path: str, headers: Headers, body: bytes
    ) -> ContainerResponse:
        state = connection.state
        fixed = [("host", f"127.0.0.1:{self.port}"), ("content-length", str(len(body)))]
        head = state.send(h11.Request(method=method, target=path, headers=[*fixed, *headers]))
        connection.writer.write(head or b"")
        # h11 only counts the body, so that it is not copied.
        state.send_with_data_passthrough(h11.Data(data=body))
        connection.writer.write(body)
        state.send(h11.EndOfMessage())
        await connection.writer.drain()
        response = await self._read_response(connection)
        if state.our_state is state.their_state is h11.DONE:
            state.start_next_cycle()
            self._idle.append(connection)
        else:
            connection.writer.close()
        return response

    async def _read_response(self, connection: ContainerConnection) -> ContainerResponse:
        head: h11.Response | None = None
        parts: list[bytes] = []
        while True:
            event = connection.state.next_event()
            if event is h11.NEED_DATA:
                data = await connection.reader.read(READ)
                if not data and head is None:
                    raise EOFError("the server closed the connection")
                connection.state.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and head:
                names = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
                return ContainerResponse(head.status_code, names, b"".join(parts), parts)
