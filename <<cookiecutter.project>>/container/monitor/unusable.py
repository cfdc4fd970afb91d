"""The shares of captured records and of ground truth that can't be used, which no other check sees."""

import math
from dataclasses import dataclass
from fractions import Fraction

from container.monitor.capture import Counts
from container.monitor.report import left_out

_OF_RECORDS = ("corrupt", "other_files", "unparsable", "missing_body", "unreadable", "too_few_columns")
_OF_GROUND_TRUTH = ("mismatched", "missing_body", "unreadable", "unreadable_truth", "relabelled", "unmatched")


@dataclass(frozen=True)
class UnusableShare:
    """Hold a share by the name of its metric, and its reasons."""

    metric: str
    subject: str
    share: float
    reasons: list[str]

    def description(self, limit: float) -> str:
        """Return the violation of a share above the limit."""
        found = (
            f"{_percent(self.share)} of the {self.subject} can't be used, at most {_percent(limit)} may be"
        )
        return f"{found} ({'; '.join(self.reasons)})"


def of_records(counts: Counts, rows: int) -> UnusableShare | None:
    """Return the share of what was captured in the window that can't be read; None when nothing was captured.

    A file, a record of a file, or a row of a record is lost; the share is the chance that one of them is.
    `rows` is the number of rows that were read.
    """
    files, captured = _files(counts), counts.lines - counts.synthetic - counts.out_of_window
    if not files[0] and not captured:
        return None
    records = counts.unparsable + counts.missing_body + counts.unreadable, captured
    share = _chance(files, records, (counts.too_few_columns, rows + counts.too_few_columns))
    reasons = left_out(counts, _OF_RECORDS)
    return UnusableShare("unusable_records_share", "captured data", share, reasons)


def of_ground_truth(counts: Counts, truth: Counts, minimum: int) -> UnusableShare | None:
    """Return the share of the ground truth of captured requests that has no prediction to be compared with.

    `truth` counts the files, lines and ids of ground truth; None without any. Ids that no captured request
    has do not count alone, since not every request is captured, nor do requests without ground truth, which
    may come later. As many as there are of both are pairs whose ids differ, if there are `minimum` ids. An id
    with two labels counts, as one is wrong. Where no captured request has one of the ids, the share is 1.
    """
    files = _files(truth)
    if not files[0] and not truth.lines and not counts.labelled:
        return None
    unusable = counts.mismatched + counts.missing_body + counts.unreadable + truth.unparsable
    apart = min(counts.unmatched, counts.unlabelled) if truth.labelled >= minimum else 0
    labels = (unusable, counts.labelled + truth.unparsable), (truth.relabelled, truth.labelled)
    share = _chance(files, *labels, (apart, counts.labelled + apart))
    if truth.labelled and counts.unmatched == truth.labelled and not counts.labelled:
        share = 1.0 if counts.lines > counts.synthetic else share
    reasons = [*left_out(truth, ("corrupt", "other_files")), *left_out(counts, _OF_GROUND_TRUTH)]
    reasons += left_out(counts, ("unlabelled",)) if apart else []
    return UnusableShare("unusable_ground_truth_share", "ground truth", share, reasons)


def _files(counts: Counts) -> tuple[int, int]:
    return counts.corrupt + counts.other_files, counts.files + counts.other_files


def _chance(*parts: tuple[int, int]) -> float:
    """Return the chance that one of some independent parts is lost, each a number of lost ones and of all."""
    return float(1 - math.prod(1 - Fraction(lost, total) for lost, total in parts if total))


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
