"""Users of a project's API: who asks again and again, and which version answered."""

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

# A row unlike any that the model was trained on, among others as many as one of its requests has.
BODY = "\n".join(["1000000.0,0.5,red", *(f"0.{row},0.5,green" for row in range(59))]).encode()
MISTAKE = b"no,such,columns,here"
# So many rows that the answer would be larger than what a function may return.
TOO_MANY = b"a\n" + b"1\n" * 500_000
SIGNED = "AWS4-HMAC-SHA256 Credential={}/20260101/eu-central-1/execute-api/aws4_request"
THINK_SECONDS = 0.1
SELDOM = 1.0  # for requests that take a processor for as long
TIMEOUT = 40.0


@dataclass(frozen=True)
class Answer:
    """One request: when, on the clock of the epoch, and how it ended; a version that failed is not named."""

    began: float
    ended: float
    status: int
    version: str


@dataclass
class Load:
    """Users at the API for as long as the block runs, each with one request at a time.

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


def counted(answers: Iterable[Answer]) -> dict[Any, int]:
    """Count the answers by version, and what failed by its status."""
    return dict(Counter(each.version or each.status for each in answers))
