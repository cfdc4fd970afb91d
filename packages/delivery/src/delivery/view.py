"""Output for a person: results, lists and errors."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import typer

    from delivery.cloud import Project
    from delivery.inventory import Item
    from delivery.stacks import Outcome

STYLE = {"Add": "green", "Modify": "yellow", "Replace": "bold red", "Remove": "red"}
WIDE = 200  # columns of a file or pipe, in which names are not broken and can be searched for
COMMAND = re.compile(r"(?<![\w./-])python -m local(?![\w.-])")
SPECIAL = re.compile(r"([^\w@%+=:,./-])")  # characters that a shell does not take as they are
console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
errors = Console(stderr=True)


def print_line(text: str) -> None:
    """Print a line, which is not wrapped."""
    console.print(as_typed(text), markup=False, highlight=False, soft_wrap=True)


def print_error(text: str, style: str = "") -> None:
    """Print a line to the standard error, which is not wrapped."""
    errors.print(as_typed(text), style=style, markup=False, highlight=False, soft_wrap=True)


def as_typed(text: str) -> str:
    """Return a text whose commands can be pasted: where `python` is another one, they name the project's."""
    return COMMAND.sub(lambda _: f"{_python()} -m local", text)


def _python() -> str:
    own, found = Path(sys.executable), shutil.which("python")
    if found and Path(found).absolute() == own:
        return "python"
    near = own.is_relative_to(Path.cwd())
    # Messages quote commands, so the path is not quoted: a shell takes a backslash before each character too.
    return SPECIAL.sub(r"\\\1", str(own.relative_to(Path.cwd()) if near else own))


def print_outcome(outcome: Outcome) -> None:
    """Print the result of a deployment, the changed resources, and the stack's outputs."""
    print_line(f"{outcome.stack}: {outcome.result}")
    if outcome.changes:
        table = Table(box=None, pad_edge=False)
        for column in ("action", "resource", "type"):
            table.add_column(column)
        for change in outcome.changes:
            table.add_row(Text(change.action, STYLE.get(change.action, "")), change.resource, change.kind)
        console.print(table)
    for name, value in outcome.outputs.items():
        print_line(f"  {name} = {value}")


def print_items(items: Sequence[Item]) -> None:
    """Print the items that teardown removes, in its order."""
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "note"):
        table.add_column(column, overflow="fold")
    for item in items:
        table.add_row(item.kind, Text(item.name), Text(item.note))
    console.print(table)


def run(app: typer.Typer, name: str, open_project: Callable[[], Project]) -> None:
    """Run a command, which reads its project by that function; an expected error ends in code 1."""
    try:
        app(prog_name=name, obj=open_project)
    except (BotoCoreError, ClientError, DeliveryError, OSError) as error:
        print_error(f"error: {error}", "red")
        sys.exit(1)
