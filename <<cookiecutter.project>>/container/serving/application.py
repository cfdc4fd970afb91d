"""Requests to responses: paths, methods, limits, counts, and the thread for slow predictions."""

from __future__ import annotations

import asyncio
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING

from container.payload.errors import RequestError
from container.serving.head_cache import HeadCache
from container.serving.log import RateLimitedLog
from container.serving.messages import Job, Response

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from container.serving.messages import Headers, Request, Responder
    from container.serving.service import Service
    from container.serving.settings import Settings

MAX_DIRECT_BYTES = 32 * 1024  # a larger body goes to the thread, so that /ping is answered meanwhile
MAX_DIRECT_SECONDS = 0.005  # all bodies go to the thread while small ones take longer on average
NEWEST_WEIGHT = 0.1  # of the newest request in the moving average
MAX_BUFFERED_BODIES = 16  # bodies of the greatest size that a worker buffers at a time


class Application:
    """Respond to `/ping` and `/invocations`.

    A small request of a quick model is predicted in the event loop, where a thread would cost more than the
    work. All others go through one thread: the loop stays free, and a process never runs its model twice at a
    time.
    """

    def __init__(self, service: Service, settings: Settings, on_stuck: Callable[[], None]) -> None:
        self.service = service
        self.settings = settings
        self.on_stuck = on_stuck
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self.average_seconds = 0.0  # that a small request takes
        self.waiting = 0  # requests that are being received in parts, or are with the thread
        self.in_thread = 0  # requests that are with the thread
        self.buffered = 0  # bytes of the bodies of waiting requests
        self.predicting_since = 0.0  # in monotonic seconds; 0 while the thread does not predict
        self.is_full = False  # no more connections are accepted
        self.stopping = False  # every response closes its connection
        self.rate_limited = RateLimitedLog()
        self.head_cache = HeadCache()
        self.update_clock()

    def update_clock(self) -> None:
        """Read the clock, twice a second instead of for each request.

        A prediction cannot be stopped. When one takes too long, the worker has to end, even if its caller has
        gone.
        """
        self.now = time.monotonic()
        if self.predicting_since and self.now - self.predicting_since > self.settings.timeout:
            self.on_stuck()
        self.date_header = time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()

    def handle(self, request: Request, responder: Responder) -> Response | Job:
        """Return the response, or the job of the thread, which will deliver the response to the responder."""
        if request.path != b"/invocations" or request.method != b"POST":
            return self._handle_other(request)
        self.service.totals.requests += 1
        try:
            if (
                len(request.body) > MAX_DIRECT_BYTES
                or self.in_thread
                or self.average_seconds > MAX_DIRECT_SECONDS
            ):
                return self._submit(request, responder)
            return self._respond_timed(request)
        except Exception as error:  # noqa: BLE001 - an error of the model is a response, and never ends the worker
            return self._failure(error)

    def cancel(self, job: Job) -> None:
        """Cancel a job whose caller has gone: it is not begun, if it has not been."""
        job.request = None

    def time_out(self) -> Response:
        """Count a request that took too long, and return its response."""
        self.service.totals.failed += 1
        message = f"no answer within {self.settings.timeout} seconds; send fewer rows at a time"
        return self._rejection(RequestError(503, "timeout", message))

    def reject_early(self, error: RequestError) -> Response:
        """Count a request that is rejected before it has arrived completely, and return its response."""
        totals = self.service.totals
        totals.requests += 1
        if error.code == "request-timeout":
            totals.failed += 1
        else:
            totals.refused += 1
        return self._rejection(error)

    def reserve(self, size: int, *, is_first: bool) -> RequestError | None:
        """Account for `size` more bytes of a body that comes in parts; return an error for too many."""
        is_full = is_first and self.waiting >= self.settings.queue
        self.waiting += is_first
        self.buffered += size
        return _overloaded() if is_full or self.buffered > self._max_buffered() else None

    def release(self, size: int) -> None:
        """Account for a body of `size` reserved bytes that is complete, answered or cancelled."""
        self.waiting -= 1
        self.buffered -= size

    def too_large(self) -> RequestError:
        """Return the error for a body above the limit."""
        limit = self.settings.max_body
        message = f"the request is larger than {limit} bytes; send fewer rows at a time"
        return RequestError(413, "too-large", message)

    def _max_buffered(self) -> int:
        return MAX_BUFFERED_BODIES * self.settings.max_body

    def _submit(self, request: Request, responder: Responder) -> Job:
        job = Job(request, len(request.body), responder, self.now)
        if (error := self.reserve(job.size, is_first=True)) is not None:
            self.release(job.size)
            raise error
        self.in_thread += 1
        loop = asyncio.get_running_loop()
        self.thread.submit(self._run, job).add_done_callback(
            lambda result: loop.call_soon_threadsafe(self._finish, job, result)
        )
        return job

    def _run(self, job: Job) -> Response | None:
        """Respond to a job in the thread, unless it is cancelled."""
        request = job.request
        if request is None:
            return None
        self.predicting_since = time.monotonic()
        try:
            return self._respond_timed(request) if job.size <= MAX_DIRECT_BYTES else self._respond(request)
        finally:
            self.predicting_since = 0.0

    def _finish(self, job: Job, result: Future[Response | None]) -> None:
        """Deliver the thread's response, if the caller still waits for it."""
        self.release(job.size)
        self.in_thread -= 1
        if job.request is None:
            return
        try:
            response = result.result()
        except Exception as error:  # noqa: BLE001 - an error of the model is a response, and never ends the worker
            response = self._failure(error)
        if response is not None:
            job.responder.deliver(job, response)

    def _respond(self, request: Request) -> Response:
        headers = request.headers
        return self.service.respond(
            request.body, headers.get(b"content-type", b""), headers.get(b"accept", b"")
        )

    def _respond_timed(self, request: Request) -> Response:
        started = time.perf_counter()
        response = self._respond(request)
        self.average_seconds += NEWEST_WEIGHT * (time.perf_counter() - started - self.average_seconds)
        return response

    def _failure(self, error: Exception) -> Response:
        totals = self.service.totals
        if isinstance(error, RequestError):
            totals.refused += 1
            return self._rejection(error)
        totals.failed += 1
        self.rate_limited.log("failed", error=f"{type(error).__name__}: {error}", at=_location(error))
        message = "the model failed on this request; its log says why"
        return _error_response(RequestError(500, "model-error", message))

    def _rejection(self, error: RequestError) -> Response:
        self.rate_limited.log("refused", status=error.status, code=error.code, message=error.message)
        response = _error_response(error)
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers.append((b"retry-after", b"1"))
        return response

    def _handle_other(self, request: Request) -> Response:
        allowed = {b"/ping": b"GET", b"/invocations": b"POST"}.get(request.path)
        if allowed is None:
            message = "there are GET /ping and POST /invocations"
            return _error_response(RequestError(404, "not-found", message))
        if request.method == allowed:
            return Response(200, [(b"content-length", b"0"), *self.service.form_headers], b"")
        message = f"{request.path.decode()} takes {allowed.decode()}"
        response = _error_response(RequestError(405, "method-not-allowed", message))
        response.headers.append((b"allow", allowed))
        return response


def _error_response(error: RequestError) -> Response:
    body = error.body()
    headers: Headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Response(error.status, headers, body)


def _overloaded() -> RequestError:
    message = "more requests wait than this server takes; try again later"
    return RequestError(503, "overloaded", message)


def _location(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"
