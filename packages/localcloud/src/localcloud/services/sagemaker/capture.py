"""Data capture: requests and responses of an endpoint as JSON lines in S3, in SageMaker's layout."""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from localcloud.core import object_store
from localcloud.core.clock import CAPTURE_FLUSH, iso, now

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.core.service import Json

LINES_PER_FILE = 5_000
BYTES_PER_FILE = 4 * 1024 * 1024
Payload = tuple[str, bytes]  # content type and body


@dataclass
class DataCapture:
    """The capture of one variant of one endpoint: it samples, collects lines and writes files."""

    endpoint: str
    variant: str
    config: Json
    clock: Clock
    lines: list[str] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read the configuration's modes and content types."""
        self.modes = {option["CaptureMode"] for option in self.config["CaptureOptions"]}
        headers = self.config.get("CaptureContentTypeHeader", {})
        self.csv = {_media_type(kind) for kind in headers.get("CsvContentTypes", [])}
        self.json = {_media_type(kind) for kind in headers.get("JsonContentTypes", [])}

    @property
    def enabled(self) -> bool:
        """Whether capture is enabled."""
        return bool(self.config.get("EnableCapture", True))

    def samples_next(self) -> bool:
        """Return whether the next request is captured, by chance."""
        percentage = self.config["InitialSamplingPercentage"]
        return self.enabled and random.random() * 100 < percentage  # noqa: S311 - a sample, not a secret

    def add(self, request: Payload, response: Payload, inference_id: str | None) -> None:
        """Capture a request and its response, a pair of content type and body each."""
        line = json.dumps(self._record(request, response, inference_id), separators=(",", ":"))
        with self.lock:
            if not self.lines:
                self.since = now()
            self.lines.append(line)
            self.size += len(line)
        if len(self.lines) >= LINES_PER_FILE or self.size >= BYTES_PER_FILE:
            self.flush()

    def _record(self, request: Payload, response: Payload, inference_id: str | None) -> Json:
        """Return the captured record of a request and its response."""
        data = {}
        if "Input" in self.modes or "InputAndOutput" in self.modes:
            data["endpointInput"] = self._side("INPUT", *request)
        if "Output" in self.modes or "InputAndOutput" in self.modes:
            data["endpointOutput"] = self._side("OUTPUT", *response)
        identified = {"inferenceId": inference_id} if inference_id else {}
        metadata = {"eventId": str(uuid.uuid4()), **identified, "inferenceTime": iso(now())}
        return {"captureData": data, "eventMetadata": metadata, "eventVersion": "0"}

    def _side(self, mode: str, content_type: str, body: bytes) -> Json:
        """Return a request or a response: as text for the configured content types, else as base64."""
        kind = _media_type(content_type)
        encoding = "CSV" if kind in self.csv else "JSON" if kind in self.json else "BASE64"
        try:
            data = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode()
        except UnicodeDecodeError:
            encoding, data = "BASE64", base64.b64encode(body).decode()
        return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}

    def flush_due(self) -> float | None:
        """Return the simulated time at which the collected lines become a file; None without lines.

        That is after an interval, or when the hour is over by which files are named.
        """
        if not self.lines:
            return None
        if iso(now())[:13] != iso(self.since)[:13]:
            return self.clock.to_simulated(self.since)
        return self.clock.to_simulated(self.since) + CAPTURE_FLUSH

    def flush_if_due(self) -> bool:
        """Write a file if one is due; return whether it was."""
        due = self.flush_due()
        is_due = due is not None and due <= self.clock.simulated()
        if is_due:
            self.flush()
        return is_due

    def flush(self) -> None:
        """Write the collected lines into one file."""
        with self.lock:
            lines, since = self.lines, self.since
            self.lines, self.size = [], 0
        if lines:
            content = "\n".join([*lines, ""]).encode()
            object_store.upload(self._url(since), content, self.config.get("KmsKeyId"))

    def _url(self, since: float) -> str:
        """Return a file's URL: …/endpoint/variant/yyyy/mm/dd/hh/mm-ss-mmm-uuid.jsonl."""
        moment = datetime.fromtimestamp(since, UTC)
        name = f"{moment:%M-%S}-{moment.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        prefix = self.config["DestinationS3Uri"].rstrip("/")
        return f"{prefix}/{self.endpoint}/{self.variant}/{moment:%Y/%m/%d/%H}/{name}"


def _media_type(content_type: str) -> str:
    """Return a content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()
