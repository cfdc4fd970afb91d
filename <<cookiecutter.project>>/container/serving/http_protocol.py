"""HTTP/1.1 on one connection, between llhttp's parser and the application.

The tasks, queues and dictionaries of a framework would cost several times what a linear model does for each
request. This module has only what two paths need. It enforces every limit while a request arrives: of its
head, its body, its time, and of the memory that all requests take together.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from container.payload.errors import RequestError
from container.runtime.log import log
from container.serving.messages import Request, Response

if TYPE_CHECKING:
    from container.serving.application import Application
    from container.serving.messages import Job

MAX_HEAD_BYTES = 64 * 1024  # of a request's line and headers, without the packet that they begin in
MAX_FRAMING_RATIO = 8  # bytes received for one byte of a body that is sent in chunks
MAX_DRAIN_RATIO = 10  # times the greatest body: a rejected request that is larger closes its connection
HEAD_TIMEOUT = 10.0  # seconds; a request's line and headers fit into one packet or a few
CLOSE_TIMEOUT = 2.0  # seconds in which a caller that still sends may read the last response
KEEP_ALIVE = 75.0  # seconds of an idle connection: longer than the pools of clients keep theirs
KEEP_ALIVE_WHEN_FULL = 2.0  # seconds, while others wait to be accepted
IDLE, HEAD, BODY = range(3)  # the part of a request that is arriving
UPGRADE_HEADERS = frozenset({b"upgrade", b"connection", b"http2-settings"})
# They may follow a header's value. The parser leaves them on, and rejects a tab behind chunked.
BLANKS = b" \t"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RENAMED = {413: "Content Too Large"}  # in RFC 9110; Python before 3.13 has the former phrase
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {RENAMED.get(status.value, status.phrase)}\r\n".encode()
    for status in HTTPStatus
}


class Rejected(NamedTuple):
    """Hold a request that was rejected before it had arrived completely, and its response."""

    request: Request
    response: Response


class Connection(asyncio.Protocol):
    """Read requests one after another, and respond to them in their order.

    The connection is in the set `connections` from its start to its end.
    """

    transport: asyncio.Transport
    parser: httptools.HttpRequestParser | None

    def __init__(self, application: Application, connections: set[Connection]) -> None:
        self.application = application
        self.connections = connections
        self.settings = application.settings
        # Of the connection.
        self.state_since = application.now  # by the application's coarse clock
        self.is_closing = False  # nothing that arrives is read any more
        self.is_half_closed = False  # the caller has closed its side
        self.is_write_paused = False  # the caller does not read its responses
        self.job: Job | None = None  # the request that is with the thread
        self.queue: deque[Request | Rejected] = deque()  # those that arrived after it
        # Of the request that is arriving.
        self.stage = IDLE
        self.url, self.headers, self.body_parts = b"", dict[bytes, bytes](), list[bytes]()
        self.packet = b""  # that the request began with, while it is the only one
        self.body_size = self.received = 0  # bytes: of the body, and of all packets but the first
        self.reserved: int | None = None  # bytes of the body that the application accounts for
        self.started = 0.0
        self.keep_alive = True
        self.is_rejected = False  # the rest of the request is dropped
        self.offers_upgrade = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base class
        self.parser = httptools.HttpRequestParser(self)
        self.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel the requests whose responses nobody will read."""
        del error
        self.connections.discard(self)
        self.parser = None  # it refers back to this object
        self.is_closing = True
        self.queue.clear()
        self._release()
        if self.job is not None:
            self.application.cancel(self.job)

    def data_received(self, data: bytes) -> None:
        """Parse a packet; the parser's callbacks respond to requests that are complete.

        Raises:
            Exception: a callback has failed, as it would without the parser in between.
        """
        if self.is_closing or self.parser is None:
            return
        if self.stage == IDLE:
            started = time.perf_counter() if self.settings.access_log else 0.0
            request = self.application.head_cache.find(data, started)
            if request is not None:  # `HeadCache` says why the parser need not see it
                self.state_since = self.application.now
                self._accept(request)
                return
            self.packet = data
        else:
            self.packet = b""
            self.received += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # a fault of this module, not of the request
        except httptools.HttpParserError:
            self._reject(RequestError(400, "invalid-http", "the request is not HTTP/1.1"), keep_alive=False)
        if self.stage != IDLE and not self.is_closing:
            self._check_limits()

    def eof_received(self) -> bool:
        """Keep the connection open for responses to a caller that has closed only its side."""
        self.is_half_closed = True
        return self.job is not None or bool(self.queue)

    def pause_writing(self) -> None:
        """Stop reading from a caller who does not read."""
        self.is_write_paused = True
        self.state_since = self.application.now
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self.is_write_paused = False
        if not (self.queue or self.transport.is_closing()):
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        """Start a request."""
        self.state_since = self.application.now
        self.started = time.perf_counter() if self.settings.access_log else 0.0
        self.stage, self.is_rejected, self.offers_upgrade, self.keep_alive = HEAD, False, False, True
        self.url, self.headers, self.body_parts = b"", {}, []
        self.body_size = self.received = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one in the trailer of a chunked body comes too late to matter, and is ignored."""
        if self.stage == HEAD:
            name = name.lower()
            if name == b"transfer-encoding" and name in self.headers:
                value = self.headers[name] + b"," + value
            self.headers[name] = value

    def on_headers_complete(self) -> None:
        """Reject a body that is declared too large before it is sent."""
        assert self.parser is not None  # noqa: S101 - it calls this method
        self.stage = BODY
        self.state_since = self.application.now
        self.offers_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self.offers_upgrade:
            return  # `_parse` begins the request again without the offer
        is_current = self.parser.get_http_version() == "1.1"
        self.keep_alive = is_current and self.parser.should_keep_alive() and not self.parser.should_upgrade()
        if self.headers.get(b"transfer-encoding", b"chunked").rstrip(BLANKS).lower() != b"chunked":
            error = RequestError(400, "invalid-http", "of transfer encodings, chunked is read")
            self._reject(error, keep_alive=False)
            return
        declared = self._declared_size()
        if declared > self.settings.max_body:
            # A caller that waits for 100 Continue may not send the body, so its end could not be found.
            drains = declared <= MAX_DRAIN_RATIO * self.settings.max_body and b"expect" not in self.headers
            self._reject(self.application.too_large(), keep_alive=self.keep_alive and drains)
        elif b"expect" in self.headers and is_current and not (self.queue or self.job or self.is_closing):
            self.transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if self.is_rejected:
            return
        self.body_size += len(part)
        if self.body_size > self.settings.max_body:
            self._reject(self.application.too_large(), keep_alive=False)
            return
        self.body_parts.append(part)

    def on_message_complete(self) -> None:
        """Respond to the request, or queue it behind the one that is with the thread."""
        if self.offers_upgrade:
            return
        self.stage = IDLE
        self.state_since = self.application.now
        if self.reserved is not None:
            self._release()
        if not (self.is_rejected or self.is_closing):
            request = self._request()
            self.application.head_cache.add(self.packet, request, self._declared_size())
            self._accept(request)

    def deliver(self, job: Job, response: Response) -> None:
        """Send the response of the thread, and continue with the requests that arrived after it."""
        self.job = None
        self.state_since = self.application.now
        request, job.request = job.request, None
        assert request is not None  # noqa: S101 - a job is delivered once
        self._send(request, response)
        while self.queue and self.job is None and not self.is_closing:
            self._begin(self.queue.popleft())
        if self.queue or self.job is not None or self.is_closing:
            return
        if self.is_half_closed:
            self._close()
        elif not self.is_write_paused:
            self.transport.resume_reading()

    def close_when_idle(self) -> None:
        """Close now, or after the request that is arriving or being answered."""
        if self.stage == IDLE and self.job is None and not self.queue:
            self._close()

    def enforce_timeouts(self) -> None:
        """End what has taken too long; called twice a second, since a timer for each request costs more."""
        now = self.application.now
        if self.job is not None and not (self.is_closing or self.is_write_paused):
            if now - self.job.started > self.settings.timeout:
                self.deliver(self.job, self.application.time_out())
            return
        timeout = self._timeout()
        if now - self.state_since <= timeout:
            return
        if self.is_closing or self.is_write_paused:
            self.transport.abort()
        elif self.stage == IDLE or self.is_rejected:
            self._close()
        else:
            part = "request's head" if self.stage == HEAD else "request"
            message = f"the {part} was not complete within {timeout:g} seconds"
            self._reject(RequestError(408, "request-timeout", message), keep_alive=False)

    def _timeout(self) -> float:
        """Return how many seconds the present state may last."""
        timeout = self.settings.timeout
        if self.is_closing and self.stage != IDLE and not self.is_write_paused:
            return CLOSE_TIMEOUT
        if self.is_closing or self.is_write_paused:
            return timeout
        if self.stage == IDLE:
            return KEEP_ALIVE_WHEN_FULL if self.application.is_full else KEEP_ALIVE
        return min(HEAD_TIMEOUT, timeout) if self.stage == HEAD else timeout

    def _parse(self, data: bytes) -> None:
        """Parse a packet.

        After the head of a request that offers another protocol, the parser stops: it takes the rest for that
        protocol. Such an offer is ignored, as HTTP allows, and the request may have a body. So the head is
        parsed again without the offer, and then the rest.
        """
        rest: bytes | memoryview = data
        while self.parser is not None:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if not self.offers_upgrade or self.is_closing:
                    return  # CONNECT, or behind the last request: the connection closes after the response
                rest = memoryview(rest)[upgrade.args[0] :]
            else:
                return
            self.packet = b""  # the head that is parsed now is not the one that arrived
            head = self._head_without_offer(self.parser)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)

    def _head_without_offer(self, parser: httptools.HttpRequestParser) -> bytes:
        """Return the head that the parser has read, as HTTP/1.x without an offer of another protocol."""
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self.url, parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers.items() if header[0] not in UPGRADE_HEADERS]
        if not parser.should_keep_alive():
            lines.append(b"connection: close")
        return b"\r\n".join((*lines, b"", b""))

    def _accept(self, item: Request | Rejected) -> None:
        """Respond to a request in its turn."""
        if self.job is None and not self.queue:
            self._begin(item)
            return
        self.queue.append(item)
        self.transport.pause_reading()

    def _begin(self, item: Request | Rejected) -> None:
        if isinstance(item, Rejected):
            self._send(*item)
            return
        result = self.application.handle(item, self)
        if isinstance(result, Response):
            self._send(item, result)
        else:
            self.job = result

    def _send(self, request: Request, response: Response) -> None:
        closes = not request.keep_alive or self.application.stopping
        headers = [*response.headers, (b"connection", b"close")] if closes else response.headers
        lines = [STATUS_LINES[response.status], self.application.date_header]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", b"" if request.method == b"HEAD" else response.body)
        self.transport.write(b"".join(lines))
        if request.started:
            _log(request, response.status)
        if closes:
            self._close()

    def _close(self) -> None:
        """Close when the last response is sent; a caller that still sends gets a moment to read it.

        A socket that is closed with unread data sends a reset, on which the caller's system may drop the
        response.
        """
        if self.is_closing:
            return
        self.is_closing, self.state_since = True, self.application.now
        if self.stage == IDLE or self.is_half_closed:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def _request(self) -> Request:
        assert self.parser is not None  # noqa: S101 - it calls on_message_complete
        body = self.body_parts[0] if len(self.body_parts) == 1 else b"".join(self.body_parts)
        self.body_parts = []
        method, path = self.parser.get_method(), self.url
        if path != b"/invocations":
            path = _path(path)
        return Request(method, path, self.headers, body, self.keep_alive, self.started)

    def _declared_size(self) -> int:
        """Return the content-length in bytes, or 0 without one."""
        length = self.headers.get(b"content-length", b"").rstrip(BLANKS)
        return int(length) if length.isdigit() else 0

    def _reject(self, error: RequestError, *, keep_alive: bool) -> None:
        """Respond to a request before it is complete; the rest of it is dropped."""
        self.is_rejected, self.body_parts = True, []
        self._release()
        if self.is_closing:
            return  # the request is behind the last one that gets a response
        request = Request(b"", b"", self.headers, b"", keep_alive, self.started)
        self._accept(Rejected(request, self.application.reject_early(error)))

    def _check_limits(self) -> None:
        """Check the size of a request that comes in parts, and reserve memory for its body."""
        if self.is_rejected:
            return
        if self.received > MAX_HEAD_BYTES + MAX_FRAMING_RATIO * self.body_size:
            message = f"what the request has besides its body is larger than {MAX_HEAD_BYTES} bytes"
            self._reject(RequestError(431, "head-too-large", message), keep_alive=False)
            return
        if self.stage == HEAD:
            return
        error = self.application.reserve(
            self.body_size - (self.reserved or 0), is_first=self.reserved is None
        )
        self.reserved = self.body_size
        if error is not None:
            self._reject(error, keep_alive=self.keep_alive)

    def _release(self) -> None:
        if self.reserved is not None:
            self.application.release(self.reserved)
            self.reserved = None


def _log(request: Request, status: int) -> None:
    seconds = f"{time.perf_counter() - request.started:.6f}"
    method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
    log("request", method=method, path=path, status=status, seconds=seconds)


def _path(url: bytes) -> bytes:
    """Return a target's path, without a query, and without the host that proxies may put before it."""
    try:
        return httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        return url
