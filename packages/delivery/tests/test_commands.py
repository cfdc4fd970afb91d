"""The commands of `python -m local` as a person's shell and programs see them, without a project."""

from __future__ import annotations

import typer
from typer.main import get_command

from delivery.commands import application

WITH_JSON = {"deploy", "doctor", "infer", "jobs", "logs", "status", "train"}


def commands() -> dict[str, typer.core.TyperCommand]:
    """Return the commands by name."""
    app = typer.Typer()
    for group in application.GROUPS:
        group.register(app)
    return dict(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_option_json_is_the_same_everywhere() -> None:
    """Protects a person from one option with several descriptions."""
    found = {
        name: option.help
        for name, command in commands().items()
        for option in command.params
        if "--json" in option.opts
    }
    assert set(found) == WITH_JSON
    assert set(found.values()) == {"Print JSON, for programs."}
