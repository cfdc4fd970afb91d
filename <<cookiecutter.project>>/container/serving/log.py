"""What keeps a server's log short: one line a problem, and not one a request."""

from __future__ import annotations

import logging
import time

from container.runtime.log import log


class Limited:
    """Write at most `per_second` lines, and say how many were left out."""

    def __init__(self, per_second: int = 10) -> None:
        self.per_second = per_second
        self.second = 0.0
        self.written = 0
        self.left_out = 0

    def log(self, event: str, **facts: object) -> None:
        """Write the line, unless this second has had its share."""
        now = time.monotonic()
        if now - self.second >= 1:
            self.second, self.written = now, 0
        if self.written >= self.per_second:
            self.left_out += 1
            return
        self.written += 1
        if self.left_out:
            facts, self.left_out = facts | {"left_out": self.left_out}, 0
        log(event, **facts)


class Handler(logging.Handler):
    """Pass what libraries log on as one line each, without their tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's message."""
        error = record.exc_info[1] if record.exc_info else None
        facts = {"error": f"{type(error).__name__}: {error}"} if error else {}
        log("http", level=record.levelname.lower(), message=record.getMessage(), **facts)
