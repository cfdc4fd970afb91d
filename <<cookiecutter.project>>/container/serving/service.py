"""A request passes through decode, predict, encode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from container.payload import fast_path, negotiation, number_parser
from container.payload.requests import Requests
from container.payload.responses import Answers, content_type, count_headers
from container.serving.settings import MAX_ANSWER

if TYPE_CHECKING:
    from container.model_artifact import ModelArtifact
    from container.runtime.typing import FloatArray

TEXT = frozenset({negotiation.JSON, negotiation.CSV})  # the forms that most requests have
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Totals:
    """Count what one process has answered."""

    requests: int = 0
    rows: int = 0
    refused: int = 0
    failed: int = 0
    missing: int = 0
    unknown: int = 0


class Answer(NamedTuple):
    """Hold what goes back to the caller."""

    status: int
    headers: Headers
    body: bytes


class Service(ABC):
    """Answer requests with one loaded model; knows nothing of sockets."""

    def __init__(self, artefact: ModelArtifact, most: int = MAX_ANSWER) -> None:
        """Answer in at most so many bytes."""
        self.artefact = artefact
        self.form: Headers = [
            (b"x-serving-form", artefact.form.encode()),
            (b"x-serving-form-reason", _header(artefact.reason)),
        ]
        self.answers = Answers(artefact.schema.target, most)
        self.totals = Totals()

    @abstractmethod
    def answer(self, body: bytes, content: bytes, accept: bytes) -> Answer:
        """Score a body of a `Content-Type` and write it as `Accept` asks. Raises `Refusal`."""

    @abstractmethod
    def warm_up(self) -> None:
        """Predict once, so that the first caller does not pay for lazy imports."""


class TableService(Service):
    """Answer requests about rows of a table."""

    def __init__(self, artefact: ModelArtifact, most: int = MAX_ANSWER) -> None:
        super().__init__(artefact, most)
        self.predict = artefact.model.predict
        self.requests = Requests(artefact.schema, number_parser.reader(len(artefact.schema.features)))
        self.scorer = fast_path.scorer(artefact.model) if self.requests.plain else None

    def answer(self, body: bytes, content: bytes, accept: bytes) -> Answer:
        """Score a body of a `Content-Type` and write it as `Accept` asks. Raises `Refusal`."""
        kind, header, answer_kind = negotiation.forms(content, accept)
        rows, missing, unknown, extra, predicted = self._predict(body, kind, header, answer_kind)
        written = self.answers.write(predicted, answer_kind)
        totals = self.totals
        totals.rows += rows
        headers = [(b"content-type", content_type(answer_kind)), (b"content-length", b"%d" % len(written))]
        if missing or unknown or extra:
            totals.missing += missing
            totals.unknown += unknown
            headers += count_headers(
                (
                    (b"x-missing-values", missing),
                    (b"x-unknown-values", unknown),
                    (b"x-extra-columns", extra),
                )
            )
        return Answer(200, headers, written)

    def _predict(
        self, body: bytes, kind: str, header: str, answer_kind: str
    ) -> tuple[int, int, int, int, FloatArray]:
        """Return how many rows there are, how much is missing, unknown and extra, and the predictions."""
        if self.scorer is not None and kind in TEXT and header != "present":
            found = self.scorer.score(body, is_json=kind == negotiation.JSON)
            if found is not None:
                predicted, missing = found
                return len(predicted), missing, 0, 0, predicted
        batch = self.requests.read(body, kind, header)
        self.answers.check(len(batch.rows), answer_kind)
        return len(batch.rows), batch.missing, batch.unknown, batch.extra, self.predict(batch.rows)

    def warm_up(self) -> None:
        """Score a row of missing values, so that the first caller does not pay for lazy imports."""
        self.answer(b",".join([b"NA"] * self.requests.width), b"text/csv", b"")
        self.totals = Totals()


def _header(text: str) -> bytes:
    """Return a text as a header's value: printable ASCII, in one line."""
    return bytes(byte if 32 <= byte < 127 else 63 for byte in " ".join(text.split()).encode())  # noqa: PLR2004
