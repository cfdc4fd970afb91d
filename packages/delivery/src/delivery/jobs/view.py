"""Jobs in a terminal: a table, which on a screen holds the latest jobs that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console, RenderableType

    from delivery.jobs.job import Job

    Processes = Mapping[str, Mapping[str, int]] | None
    Tail = Callable[[Job], list[str]]

STYLE = {
    "Completed": "green",
    "Failed": "bold red",
    "Stopped": "yellow",
    "Stopping": "yellow",
    "InProgress": "cyan",
}
HEAD = ("type", "state", "process", "started", "time")
WIDE = 120  # columns from which on an id and what belongs to it fit beside the rest
INDENT = 4
ROWS_OF_FRAME = 3  # the header, the line of the jobs that are left out, and the cursor's
MINUTE, HOUR, DAY = 60, 3600, 86400


def table(jobs: Sequence[Job], processes: Processes, tail: Tail, width: int) -> RenderableType:
    """Draw jobs, each with its parameters, the reason of a failure, and the end of its log.

    In a narrow terminal these are below the job, since an id alone takes most of a line.
    """
    if width < WIDE:
        return Group(*[part for job in jobs for part in _block(job, processes, tail)])
    drawn = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in HEAD:
        drawn.add_column(name, no_wrap=True, justify="right" if name == "time" else "left")
    drawn.add_column("id, parameters, log", ratio=1, overflow="fold")
    for job in jobs:
        drawn.add_row(*_head(job, processes), Group(*_details(job, tail(job))))
    return drawn


def _block(job: Job, processes: Processes, tail: Tail) -> list[RenderableType]:
    kind, state, ids, started, took = _head(job, processes)
    head = Text(f"{kind}  ", no_wrap=True, overflow="ellipsis").append_text(state)
    head.append(f"  {started}  {took}" + (f"  process {ids}" if ids else ""))
    return [head, *(Padding(each, (0, 0, 0, INDENT)) for each in _details(job, tail(job)))]


def _head(job: Job, processes: Processes) -> tuple[str, Text, str, str, str]:
    """Return the texts of the columns in HEAD."""
    ids = "?" if processes is None else " ".join(map(str, processes.get(job.arn, {}).values()))
    started = f"{job.started.astimezone():%m-%d %H:%M:%S}"
    return job.kind, Text(job.status, STYLE.get(job.status, "")), ids, started, duration(job.seconds())


def screen(jobs: Sequence[Job], processes: Processes, tail: Tail, console: Console) -> RenderableType:
    """Draw the latest jobs that fit the console's height, and say how many are left out."""
    if not jobs:
        return Text("No jobs yet.")
    room, shown = console.height - ROWS_OF_FRAME, list[Any]()
    tails: dict[str, list[str]] = {}
    for job in reversed(jobs):
        tails[job.arn or job.id] = tail(job)
        room -= len(_details(job, tails[job.arn or job.id]))
        if room < 0 and shown:
            break
        shown.insert(0, job)
    while True:  # an id that is folded takes more rows than were counted
        drawn = table(shown, processes, lambda job: tails[job.arn or job.id], console.width)
        if rest := len(jobs) - len(shown):
            drawn = Group(Text(f"earlier jobs: {rest}", "dim"), drawn)
        if len(shown) == 1 or len(console.render_lines(drawn)) < console.height:
            return drawn
        del shown[0]


def _details(job: Job, lines: Sequence[str]) -> list[Text]:
    parameters = " ".join(f"{name}={value}" for name, value in job.parameters.items() if value != "")
    reason = " ".join(job.reason.split())
    return [
        Text(job.id, overflow="fold"),
        *([_line(parameters, "dim")] if parameters else []),
        *([Text(reason, "red", overflow="fold")] if reason else []),
        *(_line(f"| {line}", "dim") for line in lines),
    ]


def _line(text: str, style: str) -> Text:
    return Text(text.replace("\t", " "), style, no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """Return a duration in the two largest units."""
    whole = int(seconds)
    if whole < MINUTE:
        return f"{seconds:.1f} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"
