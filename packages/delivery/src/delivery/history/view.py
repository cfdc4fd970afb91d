"""The view of a run in a terminal: each stage with its state, its time and the reason of a failure."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from delivery.approval import HOW
from delivery.cloud import UNREACHABLE
from delivery.view import as_typed, print_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console, RenderableType

    from delivery.history.record import Record
    from delivery.status import Fact

HEAD_ROWS = 2  # the table's header, and the row that counts what is left out
STYLE = {"Succeeded": "green", "Failed": "bold red", "Stopped": "yellow", "InProgress": "cyan"}
MARK = {"Succeeded": "✓", "Failed": "✗", "Stopped": "■", "InProgress": "…"}


def follow(console: Console, read: Callable[[], list[Record]]) -> Live:
    """Show the stages that `read` gives, until the context ends: twice a second in a terminal.

    Elsewhere only questions are shown, and a read is work for the cloud too, so the stages are read every two
    seconds. A thread reads them. Where the cloud does not answer it, the latest stages stay; a caller who
    waits in the context gets the error of its own calls.
    """
    latest: list[Record] = []
    asked: set[str] = set()

    def show() -> RenderableType:
        with contextlib.suppress(ClientError, BotoCoreError, ResponseParserError, *UNREACHABLE):
            latest[:] = read()
        if not console.is_terminal:
            ask([record.reason for record in latest], asked)
        return stages(latest, console)

    rate = 2 if console.is_terminal else 0.5
    return Live(console=console, get_renderable=show, refresh_per_second=rate, transient=True)


def ask(reasons: Iterable[str], asked: set[str]) -> None:
    """Print what waits for a person, once: without a terminal nothing else is shown until the end."""
    for reason in reasons:
        if reason.endswith(HOW) and reason not in asked:
            asked.add(reason)
            print_error(reason)


def stages(found: list[Record], console: Console | None = None) -> RenderableType:
    """Draw the stages as a table, and below it why and where a stage failed, or what it asks.

    With a console, the table leaves out the earliest stages that do not fit its height: `Live` cuts the end,
    which is where a person is asked.
    """
    said = [_failure(record) for record in found if record.reason]
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    left_out = max(0, len(found) - _rows_that_fit(said, console)) if console else 0
    if left_out:
        table.add_row(f"{left_out} earlier stages", "", "")
    for record in found[left_out:]:
        state = Text(f"{MARK[record.status]} {record.status}", STYLE[record.status])
        table.add_row(Text(record.name), state, f"{record.seconds:.1f}")
    return Group(table, *said)


def _rows_that_fit(said: list[Text], console: Console) -> int:
    lines = sum(len(each.wrap(console, console.width)) for each in said)
    return max(0, console.height - lines - HEAD_ROWS)


def _failure(record: Record) -> Text:
    where = f"\n  log: {record.log}" if record.log else ""
    return Text(as_typed(f"{record.name}: {record.reason}{where}"), STYLE[record.status])


def facts(found: list[Fact]) -> RenderableType:
    """Draw what a cloud holds."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for fact in found:
        table.add_row(fact.kind, fact.name, fact.state)
    return table
