"""The table of jobs on a screen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console

from delivery.jobs import view
from delivery.jobs.job import Job


@pytest.mark.parametrize("width", [60, 200])
def test_the_latest_jobs_are_on_the_screen(width: int) -> None:
    """A terminal cuts what does not fit at its end, where the latest job is; ids are folded, never cut."""
    jobs = [
        Job(
            "training",
            f"a-training-with-a-long-name-{number:040}",
            f"arn:{number}",
            "InProgress",
            datetime.now(UTC),
        )
        for number in range(30)
    ]
    console = Console(width=width, height=16, force_terminal=True, color_system=None, record=True)
    console.print(view.screen(jobs, {"arn:29": {"algo-1": 4711}}, lambda _: ["last line"], console))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert len(lines) < console.height
    assert lines[0].startswith("earlier jobs: ")
    assert lines[-1].endswith("| last line")
    text = "".join(line.split()[-1] for line in lines)
    assert jobs[-1].id in text
    assert any("4711" in line for line in lines)


@pytest.mark.parametrize("width", [60, 200])
def test_the_reason_of_a_failure_is_shown_whole(width: int) -> None:
    """Its end is the way out."""
    reason = " ".join(f"word{number}" for number in range(40))
    job = Job("training", "job", "arn", "Failed", datetime.now(UTC), reason=reason)
    console = Console(width=width, record=True)
    console.print(view.table([job], {}, lambda _: [], width))
    assert " ".join(console.export_text().split()).endswith(reason)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.96, "60.0 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90000, "1 d 1 h")],
)
def test_a_duration_has_two_units(seconds: float, text: str) -> None:
    assert view.duration(seconds) == text
