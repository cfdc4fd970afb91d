"""Protects people who answer an approval in a small terminal: the question is never cut."""

from __future__ import annotations

import io
import shutil
import sys
import threading

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.parsers import ResponseParserError
from rich.console import Console

from delivery.approval import HOW
from delivery.history import results, view
from delivery.history.record import Record
from delivery.status import Fact
from delivery.view import as_typed

QUESTION = "Promote the model? " * 10 + HOW


def test_the_earliest_stages_make_room_for_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: sys.executable)  # so that the text is as long everywhere
    stages = [Record(f"stage-{number}", "Succeeded", 1.0) for number in range(30)]
    terminal = io.StringIO()
    console = Console(width=80, height=12, file=terminal)
    console.print(view.stages([*stages, Record("Approve", "InProgress", 1.0, QUESTION)], console))
    shown = terminal.getvalue()
    assert len(shown.splitlines()) <= console.height
    assert " ".join(shown.split()).endswith(as_typed(HOW))
    assert "25 earlier stages" in shown
    assert "stage-25 " in shown
    assert "stage-24 " not in shown


def test_a_question_is_asked_once_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Protects a person who runs it in the background, or in CI, from a command that only seems to hang."""
    asked: set[str] = set()
    for _ in range(3):
        view.ask(["Job 1 of 3 runs.", QUESTION], asked)
    assert " ".join(capsys.readouterr().err.split()) == " ".join(as_typed(QUESTION).split())


@pytest.mark.parametrize(
    "error", [EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), ResponseParserError("not XML")]
)
def test_the_end_of_the_cloud_leaves_the_latest_stages(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Protects the sentence that the command ends with from the traceback of a thread, or of a last read."""
    tracebacks: list[object] = []
    monkeypatch.setattr(threading, "excepthook", tracebacks.append)
    read_again = threading.Event()
    answers = iter([[Record("Train", "InProgress", 1.0)]])

    def read() -> list[Record]:
        for answer in answers:
            return answer
        read_again.set()
        raise error

    terminal = io.StringIO()
    console = Console(file=terminal, width=80, force_terminal=True)
    with pytest.raises(ValueError, match="the end"), view.follow(console, read):  # noqa: PT012 - as a command
        assert read_again.wait(5)
        raise ValueError("the end")
    assert not tracebacks
    assert "Train" in terminal.getvalue()


def test_stages_are_shown_with_the_reason_of_a_failure() -> None:
    """Names and reasons are shown as they are, without the markup of the terminal."""
    sink = io.StringIO()
    console = Console(file=sink, width=100)
    failed = Record("Make", "Failed", 2.04, "[bold] is not a colour", ".local/logs/builds/1")
    console.print(view.stages([Record("[Take]", "Succeeded", 1.0), failed]))
    console.print(view.facts([Fact("stack", "p-pipeline", "CREATE_COMPLETE")]))
    assert [" ".join(line.split()) for line in sink.getvalue().splitlines()] == [
        "stage state seconds",
        "[Take] ✓ Succeeded 1.0",
        "Make ✗ Failed 2.0",
        "Make: [bold] is not a colour",
        "log: .local/logs/builds/1",
        "stack p-pipeline CREATE_COMPLETE",
    ]


def test_a_column_that_is_nearly_numbers_is_named_before_all_others() -> None:
    """Protects from a model that takes 93.6 % of numbers for names."""
    terminal = io.StringIO()
    reason = "93.6% of its cells are numbers, fewer than 95%; the first other text is 'tbd', a.csv: row 3"
    found = {
        "rows": {"read": 9, "kept": 9},
        "left_out": [{"column": "id", "reason": "it has one value"}],
        "kinds": [
            {"column": "Weight", "kind": "numeric", "reason": "99.5% of its cells are numbers"},
            {"column": "Amount", "kind": "categorical", "reason": reason},
        ],
    }
    Console(width=120, file=terminal).print(results.data(found))
    assert [line.strip() for line in terminal.getvalue().splitlines()] == [
        "data: 9 read, 9 kept",
        f"taken for text: 'Amount', {reason}",
        "left out: 'id', it has one value",
    ]
