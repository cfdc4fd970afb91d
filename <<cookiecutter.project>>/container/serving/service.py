"""Services: a request's body is decoded, predicted and encoded, by a service for each kind of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.payload import fast_path, negotiation, number_parser
from container.payload.limits import MAX_RESPONSE_BYTES
from container.payload.requests import RequestDecoder
from container.payload.responses import CONTENT_TYPES, ResponseEncoder, count_headers
from container.serving.messages import Response

if TYPE_CHECKING:
    from container.model_artifact import ModelArtifact
    from container.runtime.typing import FloatArray
    from container.serving.messages import Headers

FAST_TYPES = frozenset({negotiation.JSON, negotiation.CSV})


@dataclass(slots=True)
class Totals:
    """Count the requests of one process, and their rows and values. The names are keys of the log."""

    requests: int = 0
    rows: int = 0
    refused: int = 0
    failed: int = 0
    missing: int = 0
    unknown: int = 0


class Service(ABC):
    """Respond to requests with one loaded model, independently of HTTP connections.

    A response has at most `max_bytes` bytes.
    """

    def __init__(self, artifact: ModelArtifact, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self.artifact = artifact
        self.form_headers: Headers = [
            (b"x-serving-form", artifact.form.encode()),
            (b"x-serving-form-reason", _header_value(artifact.reason)),
        ]
        self.encoder = ResponseEncoder(artifact.schema.target, max_bytes)
        self.totals = Totals()

    @abstractmethod
    def respond(self, body: bytes, content_type: bytes, accept: bytes) -> Response:
        """Return the predictions for a body of a `Content-Type`, encoded as `Accept` asks.

        Raises:
            RequestError: the request cannot be read, or the response cannot be written.
        """

    @abstractmethod
    def warm_up(self) -> None:
        """Predict once, so that the first caller does not pay for lazy imports."""


class TableService(Service):
    """Respond to requests with rows of a table."""

    def __init__(self, artifact: ModelArtifact, max_bytes: int = MAX_RESPONSE_BYTES) -> None:
        super().__init__(artifact, max_bytes)
        self.predict = artifact.model.predict
        parser = number_parser.create(len(artifact.schema.features))
        self.decoder = RequestDecoder(artifact.schema, parser)
        self.fast_path = fast_path.create(artifact.model) if self.decoder.is_plain else None

    def respond(self, body: bytes, content_type: bytes, accept: bytes) -> Response:
        """Return the predictions for a body of a `Content-Type`, encoded as `Accept` asks.

        Raises:
            RequestError: the request cannot be read, or the response cannot be written.
        """
        kind, header, response_kind = negotiation.negotiate(content_type, accept)
        rows, missing, unknown, extra, predictions = self._predict(body, kind, header, response_kind)
        encoded = self.encoder.encode(predictions, response_kind)
        totals = self.totals
        totals.rows += rows
        headers = [(b"content-type", CONTENT_TYPES[response_kind]), (b"content-length", b"%d" % len(encoded))]
        if missing or unknown or extra:
            totals.missing += missing
            totals.unknown += unknown
            headers += count_headers(
                ((b"x-missing-values", missing), (b"x-unknown-values", unknown), (b"x-extra-columns", extra))
            )
        return Response(200, headers, encoded)

    def _predict(
        self, body: bytes, kind: str, header: str, response_kind: str
    ) -> tuple[int, int, int, int, FloatArray]:
        """Return the numbers of rows, of missing and unknown values and of extra columns, and predictions."""
        if self.fast_path is not None and kind in FAST_TYPES and header != "present":
            predicted = self.fast_path.predict(body, is_json=kind == negotiation.JSON)
            if predicted is not None:
                predictions, missing = predicted
                return len(predictions), missing, 0, 0, predictions
        batch = self.decoder.decode(body, kind, header)
        self.encoder.check_rows(len(batch.rows), response_kind)
        return len(batch.rows), batch.missing, batch.unknown, batch.extra, self.predict(batch.rows)

    def warm_up(self) -> None:
        """Predict a row of missing values, so that the first caller does not pay for lazy imports."""
        self.respond(b",".join([b"NA"] * self.decoder.width), b"text/csv", b"")
        self.totals = Totals()


def _header_value(text: str) -> bytes:
    """Return a text in one line of printable ASCII, with ? for all other characters."""
    return bytes(byte if 32 <= byte < 127 else 63 for byte in " ".join(text.split()).encode())  # noqa: PLR2004 - printable ASCII, and ?
