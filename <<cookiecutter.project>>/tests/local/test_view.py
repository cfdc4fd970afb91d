"""Protects people who answer an approval in a small terminal: the question is never cut."""

import io

from rich.console import Console

from local import view
from local.history import Record

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
