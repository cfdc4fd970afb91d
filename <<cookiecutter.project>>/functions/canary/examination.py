"""A new endpoint's answers held against what was recorded, against the truth and against the champion."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import scoring
from .asking import LATENCY_SHARE, Replies, ask_all

if TYPE_CHECKING:
    from .deadline import Deadline
    from .golden_file import Golden
    from .settings import Limits


class UnfitError(Exception):
    """The endpoint must get no traffic, and why."""


@dataclass(frozen=True)
class Findings:
    """What was measured; the errors are those of `scoring.error`."""

    requests: int
    latency_ms: float
    error: float
    champion_error: float | None
    champion_note: str

    def facts(self) -> dict[str, Any]:
        """Give them for a log line or an answer."""
        return asdict(self)


@dataclass(frozen=True)
class Examiner:
    """What every examination needs."""

    runtime: Any
    golden: Golden
    limits: Limits
    deadline: Deadline

    def examine(self, endpoint: str, champion: str | None) -> Findings:
        """Measure the endpoint; raise UnfitError for the first rule that it breaks.

        A champion that fails, because its columns are others or it is broken or slow, holds up no successor.
        """
        replies = self._ask(endpoint)
        check_answers(endpoint, replies, self.limits, self.golden.precision)
        latency = check_latency(endpoint, replies, self.limits)
        error = scoring.error(replies.rows, replies.answers)
        if champion is None or champion == endpoint:
            return Findings(len(replies.rows), latency, error, None, "no other endpoint serves")
        old = self._ask(champion)
        if old.problems or old.late:
            why = old.problems[0] if old.problems else "it is late"
            return Findings(len(replies.rows), latency, error, None, f"{champion} failed: {why}")
        old_error = scoring.error(old.rows, old.answers)
        check_error(error, old_error, champion, self.limits)
        return Findings(len(replies.rows), latency, error, old_error, champion)

    def _ask(self, endpoint: str) -> Replies:
        return ask_all(self.runtime, endpoint, self.golden, self.limits.latency_threshold_ms, self.deadline)


def check_answers(endpoint: str, replies: Replies, limits: Limits, precision: float) -> None:
    """Refuse an endpoint that fails, or that answers otherwise than the evaluated model did."""
    if replies.problems:
        raise UnfitError(f"{endpoint} failed golden requests: {'; '.join(replies.problems)}")
    for row, answer in zip(replies.rows, replies.answers, strict=True):
        if not scoring.same(row.answer, answer, limits.answer_tolerance, precision):
            told = f"{endpoint} answers {row.id} with {answer}, but the evaluated model with {row.answer}"
            raise UnfitError(f"{told}: another model is served, or it is served wrongly.")


def check_latency(endpoint: str, replies: Replies, limits: Limits) -> float:
    """Refuse an endpoint that answers late; give the time in milliseconds that most answers kept."""
    latency = scoring.percentile(replies.milliseconds, LATENCY_SHARE)
    if replies.late:
        took = f"{endpoint} took {latency:.0f} ms or more for a tenth of the golden requests"
        raise UnfitError(f"{took}, and {limits.latency_threshold_ms} ms are allowed.")
    return latency


def check_error(error: float, champion_error: float, champion: str, limits: Limits) -> None:
    """Refuse a model that is further from the labels than the champion by more than the tolerance."""
    if not error <= champion_error + limits.golden_tolerance:
        both = f"The error on the golden requests is {error:.4g}, and {champion}'s is {champion_error:.4g}"
        raise UnfitError(f"{both}: more than the tolerance of {limits.golden_tolerance:g} apart.")
