"""What a person sees: what was done, or would be, and why something was not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

    from scripts.delivery.inventory import Item
    from scripts.delivery.stacks import Outcome

STYLE = {"Add": "green", "Modify": "yellow", "Replace": "bold red", "Remove": "red"}
WIDE = 200  # columns of what is no terminal: names stay whole, to be searched for
console = Console(width=None if sys.stdout.isatty() else WIDE)
errors = Console(stderr=True)


def say(text: str) -> None:
    """Write a sentence."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def outcome(found: Outcome) -> None:
    """Say what became of a stack, which resources changed, and what it gives."""
    say(f"{found.stack}: {found.result}")
    if found.changes:
        table = Table(box=None, pad_edge=False)
        for column in ("action", "resource", "type"):
            table.add_column(column)
        for change in found.changes:
            table.add_row(Text(change.action, STYLE.get(change.action, "")), change.resource, change.kind)
        console.print(table)
    for name, value in found.outputs.items():
        say(f"  {name} = {value}")


def items(found: Sequence[Item]) -> None:
    """Draw what is there to be removed, in the order in which that would be done."""
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "note"):
        table.add_column(column, overflow="fold")
    for item in found:
        table.add_row(item.kind, Text(item.name), Text(item.note))
    console.print(table)


def run(app: typer.Typer, name: str) -> None:
    """Run a command; an expected fault ends in one sentence and exit code 1."""
    try:
        app(prog_name=name)
    except (BotoCoreError, ClientError, DeliveryError, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
