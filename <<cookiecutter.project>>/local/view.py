"""The view of a run in a terminal: each stage with its state, its time and the reason of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rich.console import Console, RenderableType

    from local.history import Record
    from local.status import Fact

STYLE = {"Succeeded": "green", "Failed": "bold red", "Stopped": "yellow", "InProgress": "cyan"}
MOST_FEATURES = 5
MOST_FINDINGS = 10
MARK = {"Succeeded": "✓", "Failed": "✗", "Stopped": "■", "InProgress": "…"}


def follow(console: Console, read: Callable[[], list[Record]]) -> Live:
    """Show the stages that `read` gives, twice a second, until the context ends."""
    return Live(console=console, get_renderable=lambda: stages(read()), refresh_per_second=2, transient=True)


def stages(found: list[Record]) -> RenderableType:
    """Draw the stages as a table, and below it why and where a stage failed."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    for record in found:
        state = Text(f"{MARK[record.status]} {record.status}", STYLE[record.status])
        table.add_row(Text(record.name), state, f"{record.seconds:.1f}")
    return Group(table, *(_failure(record) for record in found if record.reason))


def _failure(record: Record) -> Text:
    where = f"\n  log: {record.log}" if record.log else ""
    return Text(f"{record.name}: {record.reason}{where}", STYLE[record.status])


def loop(analysis: str, violations: list[str], decisions: list[dict[str, str]]) -> RenderableType:
    """Say how an analysis ended, what the monitor found, and what the governor decided."""
    said = [Text(f"monitor: {analysis}")] if analysis else []
    found = [Text(f"violation: {each}", "yellow") for each in violations]
    decided = [
        Text(f"governor: {each['event']} {each['of']}: {each['decision']}, {each['reason']}")
        for each in decisions
    ]
    return Group(*said, *found, *decided)


def scores(metrics: Mapping[str, float], intervals: Mapping[str, Any] | None = None) -> RenderableType:
    """Draw metrics by name, with their intervals where these are known."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in metrics.items():
        ends = (intervals or {}).get(name)
        table.add_row(
            name, f"{value:,.6g}", f"95 %: {ends['low']:,.4g} to {ends['high']:,.4g}" if ends else ""
        )
    return table


def data(found: Mapping[str, Any]) -> RenderableType:
    """Say what `prepare` did with the data: what it left out, took as missing, and guessed."""
    read = found.get("rows") or found.get("pictures")
    if not read:
        return Group()
    left = found["left_out"]
    if isinstance(left, dict):  # of images
        said = [found["labels"]] if found.get("labels") else []
        said += [f"{count} images left out: {reason}" for reason, count in left["counts"].items()]
    else:
        said = [f"left out: '{each['column']}', {each['reason']}" for each in left]
        said += [
            f"missing: {each['cells']} of '{each['column']}', first '{each['text']}' in {each['first']}"
            for each in found.get("taken_as_missing", [])
        ]
        said += [f"guess: '{each['column']}': {each['guess']}" for each in found.get("guesses", [])]
        copies = found.get("duplicates", 0)  # a container of an earlier release does not count them
        said += [f"{copies} rows equal an earlier one"] if copies else []
    more = (
        [f"and {len(said) - MOST_FINDINGS} more in data of report.json"] if len(said) > MOST_FINDINGS else []
    )
    total = f"data: {read['read']:,} read, {read['kept']:,} kept"
    return Group(Text(total), *(Text(f"  {each}") for each in said[:MOST_FINDINGS] + more))


def warnings(found: list[str]) -> RenderableType:
    """Say what makes the metrics uncertain, or suspicious."""
    return Group(*(Text(f"warning: {each}", "yellow") for each in found))


def importances(found: Mapping[str, float]) -> RenderableType:
    """Name the features that the model leans on most, with what it loses without each."""
    first = (f"{name} ({value:,.3g})" for name, value in list(found.items())[:MOST_FEATURES])
    return Group(*([Text(f"most important: {', '.join(first)}")] if found else []))


def facts(found: list[Fact]) -> RenderableType:
    """Draw what the local cloud holds."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for fact in found:
        table.add_row(fact.kind, fact.name, fact.state)
    return table
