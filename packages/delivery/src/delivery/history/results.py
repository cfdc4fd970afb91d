"""The view of a run's results in a terminal: data, scores, importances, and what the monitor found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

MOST_FEATURES = 5
MOST_FINDINGS = 10
NEARLY = ", fewer than "  # in the reason of a column of text that is nearly of another kind


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
        shown = f"95 %: {ends['low']:,.4g} to {ends['high']:,.4g}" if ends else ""
        table.add_row(name, f"{value:,.6g}", shown)
    return table


def data(found: Mapping[str, Any]) -> RenderableType:
    """Say what `prepare` did with the data: what it left out, took as missing, and guessed."""
    read = found.get("rows") or found.get("pictures")
    if not read:
        return Group()
    left = found["left_out"]
    if isinstance(left, dict):  # of images
        said = [found["labels"]] if found.get("labels") else []
        said += [f"images left out: {count}, {reason}" for reason, count in left["counts"].items()]
    else:
        nearly = [each for each in found.get("kinds", []) if NEARLY in each["reason"]]
        said = [f"taken for text: '{each['column']}', {each['reason']}" for each in nearly]
        said += [f"left out: '{each['column']}', {each['reason']}" for each in left]
        said += [
            f"missing: {each['cells']} of '{each['column']}', first '{each['text']}' in {each['first']}"
            for each in found.get("taken_as_missing", [])
        ]
        said += [f"guess: '{each['column']}': {each['guess']}" for each in found.get("guesses", [])]
        copies = found.get("duplicates", 0)  # a container of an earlier release does not count them
        said += [f"{copies} rows equal an earlier one"] if copies else []
    others = len(said) - MOST_FINDINGS
    more = [f"and {others} more in data of report.json"] if others > 0 else []
    total = f"data: {read['read']:,} read, {read['kept']:,} kept"
    return Group(Text(total), *(Text(f"  {each}") for each in said[:MOST_FINDINGS] + more))


def warnings(found: list[str]) -> RenderableType:
    """Say what makes the metrics uncertain, or suspicious."""
    return Group(*(Text(f"warning: {each}", "yellow") for each in found))


def importances(found: Mapping[str, float]) -> RenderableType:
    """Name the most important features, with how much worse the model is without each."""
    first = (f"{name} ({value:,.3g})" for name, value in list(found.items())[:MOST_FEATURES])
    return Group(*([Text(f"most important: {', '.join(first)}")] if found else []))
