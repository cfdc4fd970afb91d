"""List the jobs of all kinds, and stop one."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delivery.commands.completion import complete_running
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.progress import progress
from delivery.commands.project import find_project, reach
from delivery.view import console, print_error, print_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.commands.project import LocalProject, Place
    from delivery.jobs.job import Job
    from delivery.jobs.kinds import Jobs
    from delivery.jobs.logs import Logs

WATCH_SECONDS = 1.0
JOBS_EXAMPLES = """Examples:

  python -m local jobs

  python -m local jobs --watch

  python -m local jobs --json | jq -r '.jobs[] | select(.state == "InProgress") | .id'"""
STOP_EXAMPLES = """Examples:

  python -m local stop my-training-2026-11-30

  python -m local stop demo-build:8f2c…  (a part of the id is enough when it names one job)"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=JOBS_EXAMPLES)(jobs)
    app.command(epilog=STOP_EXAMPLES)(stop)


def jobs(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    as_json: AsJson = False,
    lines: Annotated[
        int,
        typer.Option(
            "--lines", "-n", min=0, help="The number of lines to show from the end of each job's log."
        ),
    ] = 1,
) -> None:
    """List the jobs of all kinds, the latest last, with processes, parameters and the ends of their logs."""
    reader = Reader(find_project(context), lines)
    if not watch:
        with progress("Reading the jobs"):
            reader.read()
        reader.warn()
        print_json(reader.content(), indent=2, default=str) if as_json else reader.print_table()
    elif as_json or not console.is_terminal:
        reader.watch_lines(as_json=as_json)
    else:
        reader.watch_table()


def stop(
    context: typer.Context,
    job: Annotated[
        str,
        typer.Argument(
            help="The id of a job, as 'jobs' lists it, or a part that names one.",
            autocompletion=complete_running,
        ),
    ],
) -> None:
    """Stop a job and wait for its end: SIGTERM, and SIGKILL for what does not end in time."""
    from delivery.jobs.kinds import Jobs

    all_jobs = Jobs(reach(find_project(context)).cloud)
    found = all_jobs.find(job)
    if found.is_over:
        print_line(f"The {found.kind} {found.id} has ended before: {found.status}.")
        return
    with progress(f"Stopping {found.kind} {found.id}"):
        ended = all_jobs.stop(found)
    print_line(f"The {ended.kind} {ended.id} has ended: {ended.status}.")


class Reader:
    """The jobs of the project's cloud with their processes and logs, read again each time."""

    def __init__(self, project: LocalProject, lines: int) -> None:
        """Find the cloud; `lines` of each log are shown."""
        from delivery.jobs.kinds import Jobs

        self.place: Place = reach(project)
        self.logs: Logs = job_logs(project, self.place)
        self.lines = lines
        self.jobs: Jobs = Jobs(self.place.cloud, lenient=self.place.local is None)
        self.found: list[Job] = []
        self.processes: dict[str, dict[str, int]] | None = None

    def read(self) -> None:
        """Read all jobs, and the processes of the running ones."""
        self.found = self.jobs.all()
        self.processes = None if self.place.local is None else self.place.local.processes()

    def warn(self) -> None:
        """Name the services that did not answer, and whose jobs are missing therefore."""
        for kind, reason in self.jobs.missing.items():
            print_error(
                f"warning: no job of type {kind} is listed, since its service does not answer: {reason}",
                "red",
            )

    def content(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "endpoint": self.place.url,
            "jobs": [job.to_json(self.processes_of(job), self.tail(job)) for job in self.found],
            "missing": dict(self.jobs.missing),
        }

    def processes_of(self, job: Job) -> dict[str, int] | None:
        """Return the process ids of a job by instance; None where nobody knows them."""
        return None if self.processes is None else self.processes.get(job.arn, {})

    def tail(self, job: Job) -> list[str]:
        """Return the last lines of a job's log, those of several instances with their names."""
        if not self.lines:
            return []
        found = self.logs.tail(job, self.lines)
        return [f"{line.instance}: {line.text}" if job.instances > 1 else line.text for line in found]

    def print_table(self) -> None:
        """Print all as a table."""
        from delivery.jobs import view

        print_line(self.place.title if self.found else f"{self.place.title} It has no jobs.")
        if self.found:
            console.print(view.table(self.found, self.processes, self.tail, console.width))

    def watch_table(self) -> None:
        """Show the latest jobs that fit the terminal, until the command is interrupted."""
        from rich.live import Live

        from delivery.jobs import view

        self.read()
        self.warn()
        with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(view.screen(self.found, self.processes, self.tail, console), refresh=True)
                time.sleep(WATCH_SECONDS)
                self.read()

    def watch_lines(self, *, as_json: bool) -> None:
        """Print a line for each change of a state, or with `as_json` all jobs in a line at each change."""
        states: dict[tuple[str, str], str] = {}
        while True:
            self.read()
            if not states:
                self.warn()
            changed = [job for job in self.found if states.get((job.kind, job.id)) != job.status]
            states = {(job.kind, job.id): job.status for job in self.found}
            if as_json and changed:
                print_json(self.content(), default=str)
            for line in () if as_json else self._changes(changed):
                sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            time.sleep(WATCH_SECONDS)

    def _changes(self, changed: list[Job]) -> Iterator[str]:
        for job in changed:
            reason = f": {' '.join(job.reason.split())}" if job.reason else ""
            yield f"{datetime.now(UTC):%H:%M:%S} {job.kind} {job.id} {job.status}{reason}"


def job_logs(project: LocalProject, place: Place) -> Logs:
    """Return the logs of the jobs of a place: files of the local cloud, or CloudWatch Logs."""
    from delivery.jobs.logs import FileLogs, StreamLogs

    return StreamLogs(place.cloud) if place.local is None else FileLogs(project.state / "logs")
