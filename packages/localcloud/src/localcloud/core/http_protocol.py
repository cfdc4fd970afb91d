"""HTTP/1.1 as uvicorn speaks it, also for clients that offer another protocol by `Upgrade`.

Java's HttpClient and `curl --http2` offer HTTP/2 with their requests. HTTP lets a server ignore an offer, but
uvicorn's parser takes the bytes after such a head for the other protocol, and would lose the request's body.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OFFER = frozenset({b"upgrade", b"connection", b"http2-settings"})
INVALID = "Invalid HTTP request received."


class Protocol(HttpToolsProtocol):
    """Speak WebSocket with clients that request it, and HTTP/1.1 with all others, whatever they offer."""

    _offers = False  # whether the present request offers a protocol that is not spoken here

    def data_received(self, data: bytes) -> None:
        """Parse bytes, and refuse those that are not HTTP/1.1."""
        self._unset_keepalive_if_required()
        rest: bytes | memoryview = data
        try:
            while rest and self.parser is not None:
                rest = self._parse(rest)
        except httptools.HttpParserError:
            self.send_400_response(INVALID)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._offers = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the request is parsed again without its offer."""
        self._offers = self.parser.should_upgrade() and not self._should_upgrade()
        if not self._offers:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        if not self._offers:
            super().on_message_complete()

    def _should_upgrade(self) -> bool:
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse up to the end of a head with an offer, and that head without it; return what follows."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = memoryview(data)[upgrade.args[0] :]
        else:
            return b""
        if not self._offers:
            self.handle_websocket_upgrade()
            return b""
        if self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError(INVALID)
        head = self._without_offer()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn sets it
        self.parser.feed_data(head)
        return rest

    def _without_offer(self) -> bytes:
        """Return the head that was parsed, without an offer of another protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] not in OFFER]
        if not self.parser.should_keep_alive():
            lines.append(b"connection: close")
        return b"\r\n".join((*lines, b"", b""))
