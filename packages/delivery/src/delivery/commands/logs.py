"""Show the logs of jobs, endpoints and the local cloud, and follow one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import localcloud
import typer

from delivery.cloud import DeliveryError
from delivery.commands.jobs import job_logs
from delivery.commands.json_output import AsJson, print_json
from delivery.commands.project import find_project, other_endpoint, reach
from delivery.logs import find_logs, is_log, list_logs, tail
from delivery.view import console, print_error

if TYPE_CHECKING:
    from pathlib import Path

    from delivery.commands.project import LocalProject, Place
    from delivery.jobs.job import Job
    from delivery.jobs.logs import Following, FollowingExecution, Line

STOPPED_CODE = 3  # of `logs --follow` for a stopped job; a failed one has 1, and a wrong call 2
SETTLE_SECONDS = 5.0  # how late CloudWatch Logs may show a job's last lines
MOST_OTHERS = 5  # names of logs in a message
ENDS = {"Completed": 0, "Failed": 1, "Stopped": STOPPED_CODE}
EXAMPLES = """Examples:

  python -m local logs

  python -m local logs my-training-2026-11-30 -n 20

  python -m local logs my-training-2026-11-30 --follow && echo completed

  python -m local logs my-training-2026-11-30/algo-2"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EXAMPLES)(logs)


def complete_name(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of logs that begin so, for the shell's completion."""
    folder = find_project(context).state / "logs"
    return [name for name, _ in list_logs(folder) if name.startswith(incomplete)]


def logs(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            help="The name of a job or an endpoint, a part of it, or 'cloud'.", autocompletion=complete_name
        ),
    ] = None,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="The number of lines, from the end.")
    ] = 50,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            "-f",
            help="Show new lines until the job ends. The exit code is 0 for a Completed job, 1 for a "
            "Failed one and 3 for a Stopped one. An execution of a state machine shows the logs of its jobs.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the end of a log, or list the logs; --follow shows new lines until the job ends."""
    project = find_project(context)
    if follow and (as_json or name is None):
        raise typer.BadParameter("--follow takes the NAME of a log, and no --json.")
    if follow and name is not None:
        raise typer.Exit(follow_log(project, name, lines))
    if other_endpoint(project) is not None:
        content = _logs_of_jobs(project, name, lines)
    else:
        content = _logs_of_files(project.state / "logs", name, lines)
    if as_json:
        print_json(content, indent=2)
        return
    if name is None and not content["logs"]:
        print_error("No logs yet: the first job, build or endpoint writes one.")
    for line in [one["name"] for one in content["logs"]] if name is None else content["lines"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)  # as it was written


def _logs_of_files(folder: Path, name: str | None, lines: int) -> dict[str, Any]:
    if name is None:
        found = [(each, path, path.stat()) for each, path in list_logs(folder)]
        return {
            "logs": [
                {"name": each, "path": str(path), "bytes": stat.st_size, "modified": round(stat.st_mtime, 3)}
                for each, path, stat in found
            ]
        }
    path = _latest(folder, name)
    return {"path": str(path), "lines": tail(path, lines)}


def _latest(folder: Path, name: str) -> Path:
    """Return the latest log of a name, and say which it is where there are others."""
    *others, (latest, path) = find_logs(folder, name)
    if others:
        listed = ", ".join(each for each, _ in others[-MOST_OTHERS:])
        print_error(
            f"{name!r} names {len(others) + 1} logs: this is the latest, {latest}; others are {listed}."
        )
    return path


def _logs_of_jobs(project: LocalProject, name: str | None, lines: int) -> dict[str, Any]:
    """Return the logs of another endpoint, which has those of jobs only."""
    from delivery.jobs.kinds import Jobs

    place = reach(project)
    jobs = Jobs(place.cloud, lenient=True)
    if name is None:
        return {
            "logs": [
                {"name": job.id} for job in jobs.all() if job.kind in ("training", "processing", "build")
            ]
        }
    job_name, _, instance = name.partition("/")
    job = jobs.find(job_name)
    found = job_logs(project, place).tail(job, lines)
    if not found:
        raise DeliveryError(f"{place.url} has no lines of a log of the {job.kind} {job.id}.")
    return {"lines": [_shown(line, job) for line in found if line.is_of(instance)]}


def follow_log(project: LocalProject, name: str, lines: int) -> int:
    """Print a log's end and each new line until the job or the local cloud ends; return the exit code.

    Raises:
        DeliveryError: the name finds no log, or several jobs: the exit code is that of one.
    """
    from delivery.jobs.kinds import Jobs

    place, folder = reach(project), project.state / "logs"
    job_name, _, instance = name.partition("/")
    jobs = Jobs(place.cloud, lenient=place.local is None)
    found = jobs.candidates(job_name)
    # the name of an endpoint, or 'cloud', may be a part of a job's
    is_part = not any(job_name in job.names for job in found)
    if place.local is not None and is_part and (not found or is_log(folder, name)):
        _follow_file(project, _latest(folder, name), lines)
        return 0
    return _follow_job(project, place, jobs.only(job_name, found), instance, lines)


def _follow_job(project: LocalProject, place: Place, job: Job, instance: str, lines: int) -> int:
    following = _following(project, place, job)
    settle = SETTLE_SECONDS if place.local is None else 0.0
    for of, line in following.lines(lines, settle):
        if line.is_of(instance):
            head = "" if of.arn == job.arn else f"{of.id} | "
            sys.stdout.write(f"{head}{_shown(line, of)}\n")
            sys.stdout.flush()
    ended = following.job
    reason = f": {ended.reason}" if ended.reason else "."
    print_error(f"The {ended.kind} {ended.id} has ended: {ended.status}{reason}")
    return ENDS[ended.status]


def _following(project: LocalProject, place: Place, job: Job) -> Following | FollowingExecution:
    from delivery.jobs.executions import MachineExecutions
    from delivery.jobs.kinds import OF_JOBS, Jobs
    from delivery.jobs.logs import Following, FollowingExecution

    jobs, source = Jobs(place.cloud), job_logs(project, place)
    if OF_JOBS[job.kind].log_streams(job) is not None:
        return Following(job, jobs.read, source)
    if job.kind != MachineExecutions.kind or (job.is_over and not jobs.named_after(job)):
        raise DeliveryError(
            f"The {job.kind} {job.id} has no log of its own: 'python -m local jobs' lists jobs and builds, "
            "which have logs."
        )
    name = job.id.rpartition(":")[2]
    print_error(
        f"The {job.kind} {job.id} has no log of its own; its jobs, whose names have {name}, have logs:"
    )
    return FollowingExecution(job, jobs, source)


def _shown(line: Line, job: Job) -> str:
    return f"{line.instance} | {line.text}" if job.instances > 1 else line.text


def _follow_file(project: LocalProject, path: Path, lines: int) -> None:
    """Print a log of the cloud or of an endpoint until the local cloud ends."""
    from delivery.jobs.logs import READ_SECONDS, FileLogs

    source = FileLogs(path.parent)
    while True:
        over = localcloud.find(project.cloud) is None
        for text in source.new_of(path, lines, last=over):
            sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        if over:
            return
        time.sleep(READ_SECONDS)
