"""What a comparison leaves: its files, and its outcome in the words that Model Monitor reads."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from container.monitor.capture import Counts
from container.monitor.files import write, write_text

_SHOWN = 20  # violations of a summary, which a state machine passes on
_WORDS = {
    "broken": "broken lines",
    "damaged": "damaged compressed files",
    "artificial": "golden or synthetic requests",
    "outside": "requests outside the window",
    "without": "requests without a captured body",
    "unreadable": "requests that are no table",
    "narrow": "rows with too few values",
    "unlabelled": "requests without ground truth",
    "mismatched": "requests whose ground truth does not fit",
}


@dataclass(frozen=True)
class Outcome:
    """Hold how a comparison ended."""

    rows: int
    compared: bool
    violations: Sequence[Any]
    counts: Counts
    metrics: Sequence[str]
    minimum: int

    @property
    def status(self) -> str:
        """Return the word that an execution of Model Monitor ends with."""
        return "CompletedWithViolations" if self.violations else "Completed"

    @property
    def message(self) -> str:
        """Return the outcome in one line."""
        counted = asdict(self.counts)
        left_out = [f"{words}: {counted[name]}" for name, words in _WORDS.items() if counted[name]]
        return f"{self.status}: {self._verdict} ({'; '.join([f'rows: {self.rows}', *left_out])})."

    @property
    def _verdict(self) -> str:
        if not self.compared:
            return f"Nothing was compared: {self.rows} rows are too few, at least {self.minimum} are needed"
        number = len(self.violations) or "no"
        return f"Job completed successfully with {number} violation{'' if number == 1 else 's'}"


def write_outcome(output: Path, outcome: Outcome) -> None:
    """Write constraint_violations.json as the analyzer does, and summary.json, which is always small."""
    violations = [asdict(violation) for violation in outcome.violations]
    write(output / "constraint_violations.json", {"violations": violations})
    summary = {
        "status": outcome.status,
        "message": outcome.message,
        "compared": outcome.compared,
        "rows": outcome.rows,
        "counts": asdict(outcome.counts),
        "violation_count": len(violations),
        "violations": violations[:_SHOWN],
        "metrics": list(outcome.metrics),
    }
    write_text(output / "summary.json", json.dumps(summary, ensure_ascii=False, indent=1) + "\n")
