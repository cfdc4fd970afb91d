"""Records of stages: the form in which a run shows what the services did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "Run"  # the step that failed where no other did
CLOUD_LOG = ".local/logs/cloud.log"  # logs are named from the project's folder


@dataclass(frozen=True)
class Record:
    """One stage as the services recorded it.

    status is Succeeded, Failed, Stopped or InProgress; seconds is the time so far while it is in progress.
    """

    name: str
    status: str
    seconds: float
    reason: str = ""
    log: str = ""


def in_progress(name: str, waits: Callable[[], str] = str) -> Callable[[], Record]:
    """Return what gives the record of a stage that begins now; `waits` says what it waits for."""
    began = datetime.now(UTC)
    return lambda: Record(name, "InProgress", seconds_since(began), waits())


def cut_off(record: Record) -> Record:
    """Mark a stage in progress as failed, since the cloud ended during the stage."""
    if record.status != "InProgress":
        return record
    return replace(record, status="Failed", reason="the local cloud ended", log=CLOUD_LOG)


def seconds_since(begin: datetime) -> float:
    """Return the time that something in progress has taken so far."""
    return (datetime.now(UTC) - begin).total_seconds()
