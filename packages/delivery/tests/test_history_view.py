"""Protects people who answer an approval in a small terminal: the question is never cut."""

from __future__ import annotations

import io

from rich.console import Console

from delivery.history import view
from delivery.history.record import Record
from delivery.status import Fact

QUESTION = "Promote the model? " * 10 + "'python -m local approve' or 'reject' answers."


def test_the_earliest_stages_make_room_for_the_question() -> None:
    stages = [Record(f"stage-{number}", "Succeeded", 1.0) for number in range(30)]
    terminal = io.StringIO()
    console = Console(width=80, height=12, file=terminal)
    console.print(view.stages([*stages, Record("Approve", "InProgress", 1.0, QUESTION)], console))
    shown = terminal.getvalue()
    assert len(shown.splitlines()) <= console.height
    assert " ".join(shown.split()).endswith("'python -m local approve' or 'reject' answers.")
    assert "25 earlier stages" in shown
    assert "stage-25 " in shown
    assert "stage-24 " not in shown


def test_stages_are_shown_with_the_reason_of_a_failure() -> None:
    """Names and reasons are shown as they are, without the markup of the terminal."""
    sink = io.StringIO()
    console = Console(file=sink, width=100)
    failed = Record("Make", "Failed", 2.04, "[bold] is no colour", ".local/logs/builds/1")
    console.print(view.stages([Record("[Take]", "Succeeded", 1.0), failed]))
    console.print(view.facts([Fact("stack", "p-pipeline", "CREATE_COMPLETE")]))
    assert [" ".join(line.split()) for line in sink.getvalue().splitlines()] == [
        "stage state seconds",
        "[Take] ✓ Succeeded 1.0",
        "Make ✗ Failed 2.0",
        "Make: [bold] is no colour",
        "log: .local/logs/builds/1",
        "stack p-pipeline CREATE_COMPLETE",
    ]
