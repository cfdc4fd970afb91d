"""HTTP/1.1 on one connection, between llhttp's parser and the application.

A framework's tasks, queues and dictionaries for each request cost several times what a linear model does.
What is here is what two paths need, and every limit is enforced while a request arrives: of its head, of its
body, of its time, and of what waits beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from container.payload.errors import Refusal
from container.runtime.log import log
from container.serving.service import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container.serving.application import Application, Job

MAX_HEAD = 64 * 1024  # bytes of a request's line and headers, behind the packet that it begins in
FRAMING = 8  # bytes that one of a body may take when it is sent in chunks
HEAD_SECONDS = 10.0  # in which a request's line and headers come: they fit into a packet or a few
LINGER = 2.0  # seconds in which a refused caller may read the answer while it still sends
KEEP_ALIVE = 75.0  # seconds that an idle connection is kept: longer than callers' pools keep theirs
CROWDED = 2.0  # and when no more are taken: others wait for its place
DRAINED = 10  # times the greatest size: what a refused caller may still send before it is cut off
IDLE, HEAD, BODY = range(3)  # what of a request has come
END_OF_HEAD = b"\r\n\r\n"
MOST_HEADS, LONGEST_HEAD = 256, 4096  # that are remembered, and the bytes of one
# A head with one of these is never remembered.
NEVER_KNOWN = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection"})
OFFER = frozenset({b"upgrade", b"connection", b"http2-settings"})  # of another protocol
# They may follow a header's value. The parser leaves them on, and refuses a tab behind chunked.
BLANKS = b" \t"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LINES = {
    status: f"HTTP/1.1 {status} {reason}\r\n".encode()
    for status, reason in {
        200: "OK",
        400: "Bad Request",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        408: "Request Timeout",
        413: "Content Too Large",
        415: "Unsupported Media Type",
        431: "Request Header Fields Too Large",
        500: "Internal Server Error",
        503: "Service Unavailable",
    }.items()
}


class Request(NamedTuple):
    """Hold one request that has come in whole."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    keeps: bool  # the connection, for a further request
    started: float


class Head(NamedTuple):
    """Hold what the parser made of a request's line and headers, and the length of the body behind them."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    length: int


class Refused(NamedTuple):
    """Hold a request that was refused before it had come in whole, and its answer."""

    request: Request
    answer: Answer


class Connection(asyncio.Protocol):
    """Read requests one after another, and answer them in their order."""

    transport: asyncio.Transport
    parser: httptools.HttpRequestParser | None

    def __init__(self, application: Application, everyone: set[Connection]) -> None:
        """Belong to everyone until the connection is lost."""
        self.application = application
        self.everyone = everyone
        self.settings = application.settings
        self.since = application.now  # when the present state began, by the application's coarse clock
        self.stage = IDLE
        self.url, self.headers, self.parts = b"", dict[bytes, bytes](), list[bytes]()
        self.whole = b""  # what came in last, if a request began with it
        self.size = self.received = self.buffered = 0  # bytes of the body, of all behind the first packet
        self.held = False  # what is buffered counts among what all connections hold
        self.started = 0.0
        self.keeps = True
        self.refused = False  # the request that is coming in: what is left of it is dropped
        self.offers = False  # the request that is coming in: another protocol
        self.job: Job | None = None  # the request that the thread has
        self.queue: deque[Request | Refused] = deque()  # those that came in behind it
        self.ending = False  # nothing that comes in is read any more
        self.half = False  # the caller has closed its side
        self.stalled = False  # the caller does not read its answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self.parser = httptools.HttpRequestParser(self)
        self.everyone.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what the caller will not read any more."""
        del error
        self.everyone.discard(self)
        self.parser = None  # whose callbacks hold this object
        self.ending = True
        self.queue.clear()
        self._leave()
        if self.job is not None:
            self.application.abandon(self.job)

    def data_received(self, data: bytes) -> None:
        """Parse; requests that are complete are answered meanwhile."""
        if self.ending or self.parser is None:
            return
        if self.stage == IDLE:
            if self._take_known(data):
                return
            self.whole = data
        else:
            self.whole = b""
            self.received += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None  # a fault of ours, and not of the request
        except httptools.HttpParserError:
            self._refuse(Refusal(400, "invalid-http", "the request is not HTTP/1.1"), keeps=False)
        if self.stage != IDLE and not self.ending:
            self._wait_for_more()

    def eof_received(self) -> bool:
        """Answer a caller that only closed its side."""
        self.half = True
        return self.job is not None or bool(self.queue)

    def pause_writing(self) -> None:
        """Read nothing more from a caller who does not read."""
        self.stalled = True
        self.since = self.application.now
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self.stalled = False
        if not (self.queue or self.transport.is_closing()):
            self.transport.resume_reading()

    def on_message_begin(self) -> None:
        """Start a request."""
        self.since = self.application.now
        self.started = time.perf_counter() if self.settings.access_log else 0.0
        self.stage, self.refused, self.offers, self.keeps = HEAD, False, False, True
        self.url, self.headers, self.parts = b"", {}, []
        self.size = self.received = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that stands behind a body in chunks says nothing that is still to be heard."""
        if self.stage == HEAD:
            name = name.lower()
            if name == b"transfer-encoding" and name in self.headers:
                value = self.headers[name] + b"," + value
            self.headers[name] = value

    def on_headers_complete(self) -> None:
        """Refuse what is declared too large before it is sent."""
        assert self.parser is not None  # noqa: S101  it is calling
        self.stage = BODY
        self.since = self.application.now
        self.offers = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self.offers:
            return  # the request begins anew, without the offer
        current = self.parser.get_http_version() == "1.1"
        self.keeps = current and self.parser.should_keep_alive() and not self.parser.should_upgrade()
        if self.headers.get(b"transfer-encoding", b"chunked").rstrip(BLANKS).lower() != b"chunked":
            self._refuse(Refusal(400, "invalid-http", "of transfer encodings, chunked is read"), keeps=False)
            return
        declared = self.declared()
        if declared > self.settings.max_body:
            drained = declared <= DRAINED * self.settings.max_body and b"expect" not in self.headers
            self._refuse(self.application.too_large(), keeps=self.keeps and drained)
        elif b"expect" in self.headers and current and not (self.queue or self.job or self.ending):
            self.transport.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        if self.refused:
            return
        self.size += len(part)
        if self.size > self.settings.max_body:
            self._refuse(self.application.too_large(), keeps=False)
            return
        self.parts.append(part)

    def on_message_complete(self) -> None:
        """Answer the request, or put it behind the one that is being answered."""
        if self.offers:
            return
        self.stage = IDLE
        self.since = self.application.now
        if self.held:
            self._leave()
        if not (self.refused or self.ending):
            request = self._request()
            self._remember(request)
            self._take(request)

    def declared(self) -> int:
        """Return the length that the request says its body has, 0 when it does not say."""
        length = self.headers.get(b"content-length", b"").rstrip(BLANKS)
        return int(length) if length.isdigit() else 0

    def answer(self, request: Request, answer: Answer) -> None:
        """Send an answer."""
        closes = not request.keeps or self.application.stopping
        headers = [*answer.headers, (b"connection", b"close")] if closes else answer.headers
        lines = [LINES[answer.status], self.application.date]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        lines += (b"\r\n", b"" if request.method == b"HEAD" else answer.body)
        self.transport.write(b"".join(lines))
        if request.started:
            self._log(request, answer.status)
        if closes:
            self.close()

    def deliver(self, job: Job, answer: Answer) -> None:
        """Send the answer that the thread gave, and go on with the requests behind it."""
        self.job = None
        self.since = self.application.now
        request, job.request = job.request, None
        assert request is not None  # noqa: S101  it is answered once
        self.answer(request, answer)
        while self.queue and self.job is None and not self.ending:
            self._begin(self.queue.popleft())
        if self.queue or self.job is not None or self.ending:
            return
        if self.half:
            self.close()
        elif not self.stalled:
            self.transport.resume_reading()

    def close(self) -> None:
        """End the connection when its last answer is sent; who still sends gets a moment to read it."""
        if self.ending:
            return
        self.ending, self.since = True, self.application.now
        if self.stage == IDLE or self.half:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def retire(self) -> None:
        """Close now, or after the request that is under way."""
        if self.stage == IDLE and self.job is None and not self.queue:
            self.close()

    def sweep(self) -> None:
        """End what has taken too long; called now and then, for a timer a request would cost too much."""
        now = self.application.now
        if self.job is not None and not (self.ending or self.stalled):
            if now - self.job.started > self.settings.timeout:
                self.deliver(self.job, self.application.give_up())
            return
        patience = self._patience()
        if now - self.since <= patience:
            return
        if self.ending or self.stalled:
            self.transport.abort()
        elif self.stage == IDLE or self.refused:
            self.close()
        else:
            what = "request's head" if self.stage == HEAD else "request"
            message = f"the {what} was not complete within {patience:g} seconds"
            self._refuse(Refusal(408, "request-timeout", message), keeps=False)

    def _patience(self) -> float:
        """Return how many seconds the present state may last."""
        timeout = self.settings.timeout
        if self.ending and self.stage != IDLE and not self.stalled:
            return LINGER
        if self.ending or self.stalled:
            return timeout
        if self.stage == IDLE:
            return CROWDED if self.application.crowded else KEEP_ALIVE
        return min(HEAD_SECONDS, timeout) if self.stage == HEAD else timeout

    def _parse(self, data: bytes) -> None:
        """Parse what came in.

        Behind the head of a request that offers another protocol, the parser stops: it takes what follows for
        that protocol. Such an offer is ignored, as HTTP allows, and the request may have a body. So the head
        is parsed again without the offer, and then what follows.
        """
        rest: bytes | memoryview = data
        while self.parser is not None:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                if not self.offers or self.ending:
                    return  # CONNECT, whose connection closes behind the answer, or behind the last request
                rest = memoryview(rest)[upgrade.args[0] :]
            else:
                return
            self.whole = b""  # what is remembered is a head that came in like this
            head = self._without_offer(self.parser)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(head)

    def _without_offer(self, parser: httptools.HttpRequestParser) -> bytes:
        """Return the head that the parser has read, as HTTP/1.x without an offer of another protocol."""
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self.url, parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers.items() if header[0] not in OFFER]
        if not parser.should_keep_alive():
            lines.append(b"connection: close")
        return b"\r\n".join((*lines, b"", b""))

    def _take(self, item: Request | Refused) -> None:
        """Answer a request in its turn."""
        if self.job is None and not self.queue:
            self._begin(item)
            return
        self.queue.append(item)
        self.transport.pause_reading()

    def _begin(self, item: Request | Refused) -> None:
        if isinstance(item, Refused):
            self.answer(*item)
            return
        result = self.application.answer(item, self)
        if isinstance(result, Answer):
            self.answer(item, result)
        else:
            self.job = result

    def _request(self) -> Request:
        assert self.parser is not None  # noqa: S101  it is calling
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        self.parts = []
        method, path = self.parser.get_method(), self.url
        if path != b"/invocations":
            path = _path(path)
        return Request(method, path, self.headers, body, self.keeps, self.started)

    def _take_known(self, data: bytes) -> bool:
        """Take a whole request whose head came before, byte for byte: the parser would say the same again."""
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        head = self.application.heads.get(data[:end])
        if head is None or len(data) != end + head.length:
            return False
        self.since = self.application.now
        started = time.perf_counter() if self.settings.access_log else 0.0
        self._take(Request(head.method, head.path, head.headers, data[end:], keeps=True, started=started))
        return True

    def _remember(self, request: Request) -> None:
        """Remember the head of a request that came in at once, and by itself."""
        whole, heads, size = self.whole, self.application.heads, len(request.body)
        end = len(whole) - size
        if (
            not request.keeps
            or not 0 < end <= LONGEST_HEAD
            or whole.find(END_OF_HEAD) != end - len(END_OF_HEAD)
        ):
            return
        if self.declared() != size or not NEVER_KNOWN.isdisjoint(request.headers):
            return
        if len(heads) >= MOST_HEADS:
            heads.clear()
        heads[whole[:end]] = Head(request.method, request.path, request.headers, size)

    def _refuse(self, refusal: Refusal, *, keeps: bool) -> None:
        """Answer a request before it is complete; what is left of it is dropped."""
        self.refused, self.parts = True, []
        self._leave()
        if self.ending:
            return  # it came behind the last that is answered here
        request = Request(b"", b"", self.headers, b"", keeps, self.started)
        self._take(Refused(request, self.application.refuse_early(refusal)))

    def _wait_for_more(self) -> None:
        """Account for a request that comes in parts."""
        if self.refused:
            return
        if self.received > MAX_HEAD + FRAMING * self.size:
            message = f"what the request has besides its body is larger than {MAX_HEAD} bytes"
            self._refuse(Refusal(431, "head-too-large", message), keeps=False)
            return
        if self.stage == HEAD:
            return
        refusal = self.application.hold(self.size - self.buffered, begins=not self.held)
        self.held, self.buffered = True, self.size
        if refusal is not None:
            self._refuse(refusal, keeps=self.keeps)

    def _leave(self) -> None:
        if self.held:
            self.application.release(self.buffered)
            self.held, self.buffered = False, 0

    def _log(self, request: Request, status: int) -> None:
        seconds = f"{time.perf_counter() - request.started:.6f}"
        method, path = request.method.decode("latin-1"), request.path.decode("latin-1")
        log("request", method=method, path=path, status=status, seconds=seconds)


def _path(url: bytes) -> bytes:
    """Return a target's path, without a query, and without the host that proxies may put before it."""
    try:
        return httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        return url
