"""What is answered: paths, methods, limits, counts."""

from __future__ import annotations

import asyncio
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.payload.errors import Refusal
from container.serving.log import Limited
from container.serving.service import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from container.serving.http_protocol import Connection, Head, Request
    from container.serving.service import Headers, Service
    from container.serving.settings import Settings

DIRECT_BYTES = 32 * 1024  # a bigger body is scored in the thread, so that /ping is answered meanwhile
DIRECT_SECONDS = 0.005  # and so are all bodies while small ones take longer than this
WEIGHT = 0.1  # of the newest request in the moving average
BUFFERED = 16  # bodies of the greatest size that a worker holds at a time
OVERLOADED = 503


@dataclass(eq=False)
class Job:
    """Hold a request that the thread works on or will, until it is answered or given up, and who asked."""

    request: Request | None
    size: int
    connection: Connection
    started: float


class Application:
    """Answer `/ping` and `/invocations`.

    A small request of a quick model is scored in the event loop: a thread would cost more than the work.
    All else goes through one thread: the loop stays free, and a model never runs twice at a time here.
    """

    def __init__(self, service: Service, settings: Settings, on_jam: Callable[[], None]) -> None:
        self.service = service
        self.settings = settings
        self.on_jam = on_jam
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self.seconds = 0.0  # a small request takes, as a moving average
        self.waiting = 0  # requests that are being received in parts or wait for the thread
        self.threaded = 0  # of those, the ones that were given to the thread
        self.buffered = 0  # bytes of their bodies
        self.working = 0.0  # since when the thread scores a request; 0 when it does not
        self.crowded = False  # no more connections are taken
        self.stopping = False  # every answer closes its connection
        self.problems = Limited()
        # Of requests that came in, for those that begin with the same bytes.
        self.heads: dict[bytes, Head] = {}
        self.tick()

    def tick(self) -> None:
        """Read the clock, which is done now and then, and not for every request.

        A prediction cannot be stopped. When one takes too long the worker has to go, also if nobody waits.
        """
        self.now = time.monotonic()
        if self.working and self.now - self.working > self.settings.timeout:
            self.on_jam()
        self.date = time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()

    def answer(self, request: Request, connection: Connection) -> Answer | Job:
        """Answer a request, or give it to the thread, after which the connection gets the answer."""
        if request.path != b"/invocations" or request.method != b"POST":
            return self._elsewhere(request)
        self.service.totals.requests += 1
        try:
            if len(request.body) > DIRECT_BYTES or self.threaded or self.seconds > DIRECT_SECONDS:
                return self._give_to_thread(request, connection)
            return self._measured(request)
        except Exception as error:  # noqa: BLE001  a fault of the model is an answer, never a dead worker
            return self._failure(error)

    def abandon(self, job: Job) -> None:
        """Forget a job whose caller has gone: it is not begun, if it has not been."""
        job.request = None

    def give_up(self) -> Answer:
        """Count a request whose time is over; return the answer."""
        self.service.totals.failed += 1
        message = f"no answer within {self.settings.timeout} seconds; send fewer rows at a time"
        return self._refused(Refusal(503, "timeout", message))

    def refuse_early(self, refusal: Refusal) -> Answer:
        """Count a request that was refused before it had come in whole; return the answer."""
        totals = self.service.totals
        totals.requests += 1
        if refusal.code == "request-timeout":
            totals.failed += 1
        else:
            totals.refused += 1
        return self._refused(refusal)

    def hold(self, size: int, *, begins: bool) -> Refusal | None:
        """Account for more of a body that comes in parts; return a refusal when this is too much."""
        full = begins and self.waiting >= self.settings.queue
        self.waiting += begins
        self.buffered += size
        return _overloaded() if full or self.buffered > BUFFERED * self.settings.max_body else None

    def release(self, size: int) -> None:
        """Account for a body that is complete, answered or given up."""
        self.waiting -= 1
        self.buffered -= size

    def too_large(self) -> Refusal:
        """Return the refusal of a body above the limit."""
        limit = self.settings.max_body
        return Refusal(
            413, "too-large", f"the request is larger than {limit} bytes; send fewer rows at a time"
        )

    def _give_to_thread(self, request: Request, connection: Connection) -> Job:
        job = Job(request, len(request.body), connection, self.now)
        if (refusal := self.hold(job.size, begins=True)) is not None:
            self.release(job.size)
            raise refusal
        self.threaded += 1
        loop = asyncio.get_running_loop()
        self.thread.submit(self._work, job).add_done_callback(
            lambda result: loop.call_soon_threadsafe(self._finish, job, result)
        )
        return job

    def _work(self, job: Job) -> Answer | None:
        """Score a job in the thread; nothing of one that nobody waits for any more."""
        request = job.request
        if request is None:
            return None
        self.working = time.monotonic()
        try:
            return self._measured(request) if job.size <= DIRECT_BYTES else self._score(request)
        finally:
            self.working = 0.0

    def _finish(self, job: Job, result: Future[Answer | None]) -> None:
        """Deliver what the thread has done, if anyone still waits for it."""
        self.release(job.size)
        self.threaded -= 1
        if job.request is None:
            return
        try:
            answer = result.result()
        except Exception as error:  # noqa: BLE001  a fault of the model is an answer, never a dead worker
            answer = self._failure(error)
        if answer is not None:
            job.connection.deliver(job, answer)

    def _score(self, request: Request) -> Answer:
        headers = request.headers
        return self.service.answer(
            request.body, headers.get(b"content-type", b""), headers.get(b"accept", b"")
        )

    def _measured(self, request: Request) -> Answer:
        started = time.perf_counter()
        answer = self._score(request)
        self.seconds += WEIGHT * (time.perf_counter() - started - self.seconds)
        return answer

    def _failure(self, error: Exception) -> Answer:
        totals = self.service.totals
        if isinstance(error, Refusal):
            totals.refused += 1
            return self._refused(error)
        totals.failed += 1
        self.problems.log("failed", error=f"{type(error).__name__}: {error}", at=_place(error))
        return _error(Refusal(500, "model-error", "the model failed on this request; its log says why"))

    def _refused(self, refusal: Refusal) -> Answer:
        self.problems.log("refused", status=refusal.status, code=refusal.code, message=refusal.message)
        answer = _error(refusal)
        if refusal.status == OVERLOADED:
            answer.headers.append((b"retry-after", b"1"))
        return answer

    def _elsewhere(self, request: Request) -> Answer:
        allowed = {b"/ping": b"GET", b"/invocations": b"POST"}.get(request.path)
        if allowed is None:
            return _error(Refusal(404, "not-found", "there are GET /ping and POST /invocations"))
        if request.method == allowed:
            return Answer(200, [(b"content-length", b"0"), *self.service.form], b"")
        answer = _error(
            Refusal(405, "method-not-allowed", f"{request.path.decode()} takes {allowed.decode()}")
        )
        answer.headers.append((b"allow", allowed))
        return answer


def _error(refusal: Refusal) -> Answer:
    body = refusal.body()
    headers: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Answer(refusal.status, headers, body)


def _overloaded() -> Refusal:
    return Refusal(503, "overloaded", "more requests wait than this server takes; try again later")


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
