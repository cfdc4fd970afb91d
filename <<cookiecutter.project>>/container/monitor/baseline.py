"""Suggest a baseline: what later data is compared with."""

from pathlib import Path

from container.errors import UserError
from container.monitor.constraints import suggest
from container.monitor.files import constraints_document, statistics_document, write
from container.monitor.settings import THRESHOLD
from container.monitor.statistics import TableProfile


def write_baseline(profile: TableProfile, output: Path, threshold: float = THRESHOLD) -> str:
    """Write statistics.json and constraints.json; return the outcome in one line."""
    if not profile.rows:
        raise UserError("there are no rows in the data: a baseline needs at least one")
    write(output / "statistics.json", statistics_document(profile))
    suggested = [suggest(column) for column in profile.columns.values()]
    write(output / "constraints.json", constraints_document(suggested, threshold))
    return f"Completed: a baseline of {profile.rows} rows and {len(profile.columns)} columns was suggested."
