"""Check this machine and the project's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from delivery.commands.jobs import JSON_HELP
from delivery.doctor import examine, report

EXAMPLES = """Examples:

  make doctor  (also before 'make setup', with any Python)

  python -m local doctor

  python -m local doctor --json"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EXAMPLES)(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help=JSON_HELP)] = False,
) -> None:
    """Check this machine: what prevents work, and the way out; the exit code is 1 when something does."""
    raise typer.Exit(report(examine(_root()), as_json=as_json))


def _root() -> Path:
    """Return the project's folder, or the working directory where none is found: that is then a problem."""
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "project.toml").is_file()), here)
