"""Check this machine and the project's folder."""

from __future__ import annotations

from pathlib import Path

import typer

from delivery.commands.json_output import AsJson  # noqa: TC001 - typer reads the annotations
from delivery.doctor import examine, report

EXAMPLES = """Examples:

  make doctor  (also before 'make setup', with any Python)

  python -m local doctor

  python -m local doctor --json"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EXAMPLES)(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: what prevents work, and the way out; the exit code is 1 when something does."""
    raise typer.Exit(report(examine(_root()), as_json=as_json))


def _root() -> Path:
    """Return the project's folder, or the working directory where none is found: that is then a problem."""
    here = Path.cwd().resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "project.toml").is_file()), here)
