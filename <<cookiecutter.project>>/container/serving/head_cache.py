"""A cache of parsed request heads, since a client sends the same head with each of its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from container.serving.messages import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

END_OF_HEAD = b"\r\n\r\n"
MAX_CACHED_HEADS, MAX_CACHED_BYTES = 256, 4096
# With one of these, the meaning of a request depends on more than its head and the length of its body.
UNCACHED_HEADERS = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection"})


class Head(NamedTuple):
    """Hold a parsed request line and headers, and the length of the body in bytes."""

    method: bytes
    path: bytes
    headers: Mapping[bytes, bytes]
    length: int


class HeadCache:
    """Map the bytes of request heads to what the parser has made of them.

    A cached head is safe to use without the parser because the parser would do the same with it again: it was
    parsed from exactly these bytes at the start of a message, in a packet that held one whole request; it
    keeps the connection open and does not change its protocol; and its content-length equals the length of
    the body that followed. So `find` takes a packet only if the same bytes are followed by a body of that
    length, and its caller asks only between two requests, when the parser holds nothing that it has not used.
    """

    def __init__(self) -> None:
        self.heads: dict[bytes, Head] = {}

    def find(self, packet: bytes, started: float) -> Request | None:
        """Return the request of a packet that holds one whole request, if its head is cached."""
        end = packet.find(END_OF_HEAD) + len(END_OF_HEAD)
        head = self.heads.get(packet[:end])
        if head is None or len(packet) != end + head.length:
            return None
        return Request(head.method, head.path, head.headers, packet[end:], keep_alive=True, started=started)

    def add(self, packet: bytes, request: Request, declared: int) -> None:
        """Cache the head of a request, if it came in one packet by itself and may be cached.

        `packet` is empty if the request came in several; `declared` is its content-length, 0 without one.
        """
        size = len(request.body)
        end = len(packet) - size
        if not (request.keep_alive and 0 < end <= MAX_CACHED_BYTES and declared == size):
            return
        # Were there a request before or behind this one, the packet would not be its head and its body.
        if packet.find(END_OF_HEAD) != end - len(END_OF_HEAD):
            return
        if not UNCACHED_HEADERS.isdisjoint(request.headers):
            return
        if len(self.heads) >= MAX_CACHED_HEADS:
            self.heads.clear()
        self.heads[packet[:end]] = Head(request.method, request.path, request.headers, size)
