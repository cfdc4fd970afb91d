"""Logging of a server: one line for a problem, and a limited number of lines a second."""

from __future__ import annotations

import logging
import time

from container.runtime.log import log


class RateLimitedLog:
    """Write at most `per_second` lines, and report how many were left out."""

    def __init__(self, per_second: int = 10) -> None:
        self.per_second = per_second
        self.second_started = 0.0  # in monotonic seconds
        self.written = 0
        self.left_out = 0

    def log(self, event: str, **fields: object) -> None:
        """Write the line, unless this second has had its lines."""
        now = time.monotonic()
        if now - self.second_started >= 1:
            self.second_started, self.written = now, 0
        if self.written >= self.per_second:
            self.left_out += 1
            return
        self.written += 1
        if self.left_out:
            fields, self.left_out = fields | {"left_out": self.left_out}, 0
        log(event, **fields)


class OneLineHandler(logging.Handler):
    """Write the log records of libraries as one line each, without their tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's message."""
        error = record.exc_info[1] if record.exc_info else None
        fields = {"error": f"{type(error).__name__}: {error}"} if error else {}
        log("http", level=record.levelname.lower(), message=record.getMessage(), **fields)
