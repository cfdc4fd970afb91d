"""Events of application/vnd.amazon.eventstream, the encoding of AWS's streamed responses."""

from __future__ import annotations

import struct
from zlib import crc32

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
MAX_PART_BYTES = 2**20
STRING = 7  # the type of a header's value
OVERHEAD = 16  # bytes of two lengths and two checksums


def payload_part(content: bytes) -> bytes:
    """Return the events PayloadPart that carry a part of a response."""
    starts = range(0, len(content), MAX_PART_BYTES)
    return b"".join(_event("PayloadPart", content[start : start + MAX_PART_BYTES]) for start in starts)


def _event(kind: str, payload: bytes) -> bytes:
    named = {
        ":event-type": kind,
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    headers = b"".join(_header(name, value) for name, value in named.items())
    lengths = struct.pack(">II", len(headers) + len(payload) + OVERHEAD, len(headers))
    message = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return message + struct.pack(">I", crc32(message))


def _header(name: str, value: str) -> bytes:
    return (
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", STRING, len(value)) + value.encode()
    )
