"""The logs of jobs: files of the local cloud, or streams of CloudWatch Logs at another endpoint."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError, is_missing, pages
from delivery.jobs.kinds import OF_JOBS
from delivery.logs import decode_lines, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from delivery.cloud import Cloud
    from delivery.jobs.job import Job
    from delivery.jobs.kinds import Jobs

INSTANCE = re.compile(r"algo-\d+")
READ_SECONDS = 0.2  # between two looks for new lines
DESCRIBE_SECONDS = 0.5  # between two looks whether the job has ended
LATEST_BYTES = 1_000_000  # of one read: a log of gigabytes is not held in memory


class Line(NamedTuple):
    """A line of a log, and the instance that wrote it."""

    instance: str
    text: str

    def is_of(self, instance: str) -> bool:
        """Return whether the instance wrote it; every line is of the empty name."""
        return instance in ("", self.instance)


class Logs(Protocol):
    """A source of the lines of jobs; it remembers what of each log has been read."""

    def tail(self, job: Job, lines: int) -> list[Line]:
        """Return the last lines of each instance."""

    def new(self, job: Job, lines: int, *, last: bool) -> list[Line]:
        """Return the lines since the last call, at first `lines` of each instance.

        A line without its end is returned by the last call only.
        """


@dataclass
class FileLogs:
    """The logs that the local cloud writes below a folder."""

    folder: Path
    _read: dict[Path, int] = field(default_factory=dict)

    def paths(self, job: Job) -> dict[str, Path]:
        """Return the job's logs by instance; none where the job has none yet, or never."""
        if job.kind == "build":
            path = self.folder / "builds" / f"{job.id.replace(':', '-', 1)}.log"
            return {"build": path} if path.is_file() else {}
        return {
            path.stem: path for path in sorted((self.folder / "jobs" / job.id).glob("*.log"), key=_number)
        }

    def tail(self, job: Job, lines: int) -> list[Line]:
        """Return the last lines of each instance."""
        return [Line(name, text) for name, path in self.paths(job).items() for text in tail(path, lines)]

    def new(self, job: Job, lines: int, *, last: bool) -> list[Line]:
        """Return the lines since the last call, at first `lines` of each instance."""
        return [
            Line(name, text)
            for name, path in self.paths(job).items()
            for text in self.new_of(path, lines, last=last)
        ]

    def new_of(self, path: Path, lines: int, *, last: bool) -> list[str]:
        """Return the lines of one file since the last call; a file that is shorter than before began anew."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if path not in self._read:
                self._read[path] = _start_of_last(path, size, lines)
            begin = self._read[path] if self._read[path] <= size else 0
            file.seek(begin)
            content = file.read(size - begin)
        whole = content if last else content[: content.rfind(b"\n") + 1]
        self._read[path] = begin + len(whole)
        return decode_lines(whole)


def _number(path: Path) -> tuple[int, str]:
    """Order algo-2 before algo-10."""
    digits = path.stem.rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, path.stem)


def _start_of_last(path: Path, size: int, lines: int) -> int:
    """Return the place in the file where its last lines begin."""
    with path.open("rb") as file:
        file.seek(max(0, size - LATEST_BYTES))
        content = file.read(LATEST_BYTES)
    kept = content.splitlines(keepends=True)[-lines:]
    return size - sum(len(line) for line in kept)


@dataclass
class StreamLogs:
    """The logs that a service has written into CloudWatch Logs."""

    cloud: Cloud
    _tokens: dict[str, str] = field(default_factory=dict)

    def tail(self, job: Job, lines: int) -> list[Line]:
        """Return the last lines of each instance."""
        return [
            Line(_instance(stream), event["message"])
            for group, stream in self._streams(job)
            for event in self._events(group, stream, {"startFromHead": False, "limit": lines})["events"]
        ]

    def new(self, job: Job, lines: int, *, last: bool) -> list[Line]:  # noqa: ARG002 - events are whole lines
        """Return the lines since the last call, at first `lines` of each instance."""
        return [
            Line(_instance(stream), message)
            for group, stream in self._streams(job)
            for message in self._new_of(group, stream, lines)
        ]

    def _new_of(self, group: str, stream: str, lines: int) -> Iterator[str]:
        first: dict[str, Any] = {"startFromHead": False, "limit": lines}
        token = self._tokens.get(stream)
        while True:
            answer = self._events(
                group, stream, {"startFromHead": True, "nextToken": token} if token else first
            )
            yield from (event["message"] for event in answer["events"])
            following = answer["nextForwardToken"]
            self._tokens[stream] = following
            if following == token or not answer["events"]:
                return
            token = following

    def _streams(self, job: Job) -> list[tuple[str, str]]:
        place = OF_JOBS[job.kind].log_streams(job)
        if place is None:
            return []
        group, prefix = place
        found = pages(
            self.cloud.client("logs"),
            "describe_log_streams",
            "logStreams",
            logGroupName=group,
            logStreamNamePrefix=prefix,
        )
        return [(group, one["logStreamName"]) for one in found]

    def _events(self, group: str, stream: str, options: dict[str, Any]) -> dict[str, Any]:
        try:
            return dict(
                self.cloud.client("logs").get_log_events(logGroupName=group, logStreamName=stream, **options)
            )
        except ClientError as error:
            if is_missing(error):
                return {"events": [], "nextForwardToken": ""}
            raise


def _instance(stream: str) -> str:
    """Return the name of the instance in a stream's name (`JOB/algo-1-1700000000`), or the stream's own."""
    name = stream.rpartition("/")[2]
    return found[0] if (found := INSTANCE.match(name)) else name


@dataclass
class Following:
    """A job whose log is followed to the job's end."""

    job: Job
    read: Callable[[Job], Job | None]
    logs: Logs

    def lines(self, lines: int, settle_seconds: float = 0.0) -> Iterator[tuple[Job, Line]]:
        """Yield the last lines, then each new line, until the job has ended; `job` is then as it ended.

        `settle_seconds` is how long to wait for late lines after the job's end.

        Raises:
            DeliveryError: the job was deleted.
        """
        described = quiet_since = time.monotonic()
        while True:
            over = self.job.is_over
            if new := self.logs.new(self.job, lines, last=over):
                quiet_since = time.monotonic()
                yield from ((self.job, line) for line in new)
            if over and time.monotonic() - quiet_since >= settle_seconds:
                return
            time.sleep(READ_SECONDS)
            if not over and time.monotonic() - described >= DESCRIBE_SECONDS:
                described = quiet_since = time.monotonic()
                self.job = self._described()

    def _described(self) -> Job:
        return _read_again(self.job, self.read)


@dataclass
class FollowingExecution:
    """An execution of a state machine, whose jobs' logs are followed to its end; `job` is the execution."""

    job: Job
    jobs: Jobs
    logs: Logs
    _quiet_since: dict[str, float] = field(default_factory=dict)  # of jobs that have ended

    def lines(self, lines: int, settle_seconds: float = 0.0) -> Iterator[tuple[Job, Line]]:
        """Yield the last lines of each job, then each new line, until the execution and its jobs have ended.

        `settle_seconds` is how long to wait for late lines after a job's end.

        Raises:
            DeliveryError: the execution was deleted.
        """
        while True:
            self.job = _read_again(self.job, self.jobs.read)
            found = self.jobs.named_after(self.job)
            for job in found:
                if not self._is_read(job, settle_seconds):
                    yield from ((job, line) for line in self._new(job, lines))
            if self.job.is_over and all(self._is_read(job, settle_seconds) for job in found):
                return
            time.sleep(DESCRIBE_SECONDS)

    def _new(self, job: Job, lines: int) -> list[Line]:
        new = self.logs.new(job, lines, last=job.is_over)
        if job.is_over and (new or job.id not in self._quiet_since):
            self._quiet_since[job.id] = time.monotonic()
        return new

    def _is_read(self, job: Job, settle_seconds: float) -> bool:
        """Return whether the job's end has been seen, and no line for that time since then."""
        since = self._quiet_since.get(job.id)
        return since is not None and time.monotonic() - since >= settle_seconds


def _read_again(job: Job, read: Callable[[Job], Job | None]) -> Job:
    now = read(job)
    if now is None:
        raise DeliveryError(f"{job.id} does not exist any more: it was deleted while it was followed.")
    return now
