"""Simulated users of a project's API, and the version that answers each request."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

# One row unlike any training row, among as many other rows as one request has.
BODY = "\n".join(["1000000.0,0.5,red", *(f"0.{row},0.5,green" for row in range(59))]).encode()
INVALID_ROW = b"no,such,columns,here"
# The answer to these rows is larger than a function may return.
MANY_ROWS = b"a\n" + b"1\n" * 500_000
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260101/eu-central-1/execute-api/aws4_request"
THINK_SECONDS = 0.1
LONG_THINK_SECONDS = 1.0  # for requests that need a processor for a while
TIMEOUT = 40.0


@dataclass(frozen=True)
class Answer:
    """One request: begin and end in seconds of the epoch, status, and version (empty after a failure)."""

    began: float
    ended: float
    status: int
    version: str


@dataclass
class Load:
    """Users at the API while the block runs, each with one request at a time.

    `key` is the id of the access key that the requests are signed with.
    """

    url: str
    key: str
    users: int
    body: bytes = BODY
    think: float = THINK_SECONDS
    answers: list[Answer] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def headers(self) -> dict[str, str]:
        return {
            "accept": "application/json",
            "authorization": SIGNED.format(self.key),
            "content-type": "text/csv",
        }

    def __enter__(self) -> Self:
        self.threads = [threading.Thread(target=self._use) for _ in range(self.users)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def _use(self) -> None:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
        while not self.over.wait(self.think):
            began = time.time()
            status, version = self._ask(connection, parts.path)
            self.answers.append(Answer(began, time.time(), status, version))
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
        try:
            connection.request("POST", path, self.body, self.headers)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return 0, ""
        return response.status, response.headers.get("x-model-version", "")


def count_answers(answers: Iterable[Answer]) -> dict[Any, int]:
    """Count the answers by version, and the failures by status."""
    return dict(Counter(each.version or each.status for each in answers))
