"""The outcome of a comparison: its files, and its message in the words that Model Monitor reads."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from container.monitor.capture import Counts
from container.monitor.files import write
from container.runtime.files import write_atomically

_MAX_VIOLATIONS = 20  # of a summary, which a state machine passes on
# Of each count that names something left out: its name in summary.json, and its words in the message.
_LEFT_OUT = {
    "unparsable": ("broken", "broken lines"),
    "corrupt": ("damaged", "damaged compressed files"),
    "other_files": ("other_files", "files that are neither .jsonl nor .gz"),
    "hidden_files": ("hidden_files", "hidden .jsonl or .gz files"),
    "synthetic": ("artificial", "golden or synthetic requests"),
    "out_of_window": ("outside", "requests outside the window"),
    "missing_body": ("without", "requests without a captured body"),
    "unreadable": ("unreadable", "requests that are not a table"),
    "too_few_columns": ("narrow", "rows with too few values"),
    "unlabelled": ("unlabelled", "requests without ground truth"),
    "mismatched": ("mismatched", "requests whose ground truth does not fit"),
    "unreadable_truth": ("broken_ground_truth", "broken lines of ground truth"),
    "relabelled": ("relabelled", "ids of ground truth with two different labels"),
    "unmatched": ("unmatched", "ground truth of no captured request"),
}


@dataclass(frozen=True)
class Outcome:
    """Hold how a comparison ended. `minimum` is the number of rows below which nothing is compared.

    `unmeasured` names the columns or metrics that have a baseline and could not be compared with it.
    """

    rows: int
    compared: bool
    violations: Sequence[Any]
    counts: Counts
    metrics: Sequence[str]
    minimum: int
    unmeasured: Sequence[str] = ()

    @property
    def status(self) -> str:
        """Return the final status of an execution of Model Monitor."""
        return "CompletedWithViolations" if self.violations else "Completed"

    @property
    def message(self) -> str:
        """Return the outcome in one line."""
        unmeasured = [f"not compared: {', '.join(self.unmeasured)}"] if self.unmeasured else []
        counted = [f"rows: {self.rows}", *left_out(self.counts, _LEFT_OUT), *unmeasured]
        return f"{self.status}: {self._verdict} ({'; '.join(counted)})."

    @property
    def _verdict(self) -> str:
        if self.compared:
            number = len(self.violations) or "no"
            return f"Job completed successfully with {number} violation{'' if number == 1 else 's'}"
        few = f"{self.rows} rows are too few, at least {self.minimum} are needed"
        causes = [violation.description for violation in self.violations]
        return f"Nothing was compared: {'; '.join([*causes, few])}"


def left_out(counts: Counts, names: Iterable[str]) -> list[str]:
    """Return those of the named counts that are not 0, in words."""
    counted = asdict(counts)
    return [f"{_LEFT_OUT[name][1]}: {counted[name]}" for name in names if counted[name]]


def write_outcome(output: Path, outcome: Outcome) -> None:
    """Write constraint_violations.json as the analyzer does, and summary.json, which is always small."""
    violations = [asdict(violation) for violation in outcome.violations]
    write(output / "constraint_violations.json", {"violations": violations})
    summary = {
        "status": outcome.status,
        "message": outcome.message,
        "compared": outcome.compared,
        "rows": outcome.rows,
        "not_compared": list(outcome.unmeasured),
        "counts": {"lines": outcome.counts.lines, **_counts_left_out(outcome.counts)},
        "violation_count": len(violations),
        "violations": violations[:_MAX_VIOLATIONS],
        "metrics": list(outcome.metrics),
    }
    write_atomically(output / "summary.json", json.dumps(summary, ensure_ascii=False, indent=1) + "\n")


def _counts_left_out(counts: Counts) -> dict[str, int]:
    """Return the counts by their names in summary.json, which are older than those of the fields."""
    return {name: getattr(counts, field) for field, (name, _) in _LEFT_OUT.items()}
