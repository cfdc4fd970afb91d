"""Validation of an endpoint's answers: by the recorded ones, by the labels and by the champion's."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import scoring
from .golden_requests import LATENCY_QUANTILE, Responses, send_all

if TYPE_CHECKING:
    from .deadline import Deadline
    from .golden_set import GoldenSet
    from .settings import Limits


class ValidationFailedError(Exception):
    """An endpoint must not get traffic; the message says why."""


@dataclass(frozen=True)
class ValidationResult:
    """The measurements of a validation; both errors are those of `scoring.error`."""

    requests: int
    latency_ms: float
    error: float
    champion_error: float | None
    champion_note: str

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements for a log line or an answer."""
        return asdict(self)


@dataclass(frozen=True)
class EndpointValidator:
    """Validates endpoints by one golden set."""

    runtime: Any
    golden: GoldenSet
    limits: Limits
    deadline: Deadline

    def validate(self, endpoint: str, champion: str | None) -> ValidationResult:
        """Measure the endpoint, and compare its error with that of the champion's endpoint.

        A champion that fails does not block its successor: it may have other columns, be broken or slow.

        Raises:
            ValidationFailedError: the endpoint breaks a rule; the first one is named.
            DeadlineExceededError: the time ran out.
        """
        new = self._send(endpoint)
        check_answers(endpoint, new, self.limits, self.golden.absolute_tolerance)
        latency = check_latency(endpoint, new, self.limits)
        error = scoring.error(new.requests, new.answers)
        if champion is None or champion == endpoint:
            return ValidationResult(len(new.requests), latency, error, None, "no other endpoint serves")
        old = self._send(champion)
        if old.failures or old.is_late:
            why = old.failures[0] if old.failures else "it is late"
            return ValidationResult(len(new.requests), latency, error, None, f"{champion} failed: {why}")
        champion_error = scoring.error(old.requests, old.answers)
        check_error(error, champion_error, champion, self.limits)
        return ValidationResult(len(new.requests), latency, error, champion_error, champion)

    def _send(self, endpoint: str) -> Responses:
        return send_all(self.runtime, endpoint, self.golden, self.limits.latency_threshold_ms, self.deadline)


def check_answers(endpoint: str, responses: Responses, limits: Limits, absolute_tolerance: float) -> None:
    """Check that the endpoint answers every request as the evaluated model did.

    Raises:
        ValidationFailedError: a request failed, or an answer differs from the recorded one.
    """
    if responses.failures:
        failures = "; ".join(responses.failures)
        raise ValidationFailedError(f"{endpoint} failed golden requests: {failures}")
    for request, answer in zip(responses.requests, responses.answers, strict=True):
        if not scoring.matches(request.answer, answer, limits.answer_tolerance, absolute_tolerance):
            both = f"{endpoint} answers {request.id} with {answer}, but the evaluated model with"
            message = f"{both} {request.answer}: another model is served, or it is served wrongly."
            raise ValidationFailedError(message)


def check_latency(endpoint: str, responses: Responses, limits: Limits) -> float:
    """Return the latency's quantile in milliseconds, after checking that the endpoint is not late.

    Raises:
        ValidationFailedError: the quantile exceeds the threshold.
    """
    latency = scoring.percentile(responses.latencies_ms, LATENCY_QUANTILE)
    if responses.is_late:
        took = f"{endpoint} took {latency:.0f} ms or more for a tenth of the golden requests"
        raise ValidationFailedError(f"{took}, and {limits.latency_threshold_ms} ms are allowed.")
    return latency


def check_error(error: float, champion_error: float, champion: str, limits: Limits) -> None:
    """Check that the model's error exceeds the champion's by at most the tolerance.

    Raises:
        ValidationFailedError: the model is worse than that.
    """
    # Negated, so that an error that is not a number fails as well.
    if not error <= champion_error + limits.golden_tolerance:
        both = f"The error on the golden requests is {error:.4g}, and {champion}'s is {champion_error:.4g}"
        message = f"{both}: more than the tolerance of {limits.golden_tolerance:g} apart."
        raise ValidationFailedError(message)
