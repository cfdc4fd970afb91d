"""Captured requests, which SageMaker writes to S3 some minutes later."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .deadline import Deadline

FIRST_POLL_SECONDS, POLL_SECONDS = 0.5, 5.0  # each pause is twice the last one, up to the second
FALSE_ALARM_PROBABILITY = 1e-9


def requests_needed(percentage: int) -> int:
    """Return how many requests make it improbable, at 1e-9, that none of them is sampled for capture."""
    share = percentage / 100
    return 1 if share >= 1 else math.ceil(math.log(FALSE_ALARM_PROBABILITY) / math.log1p(-share))


def wait_for_records(s3: Any, url: str, since: datetime, deadline: Deadline) -> int:
    """Poll until a file below the address has records since that time, and return their number in the file.

    Raises:
        DeadlineExceededError: the time ran out first.
    """
    began = since.astimezone(UTC).replace(microsecond=0)  # records have their time in whole seconds, in UTC
    seen: set[str] = set()
    pause = min(FIRST_POLL_SECONDS, POLL_SECONDS)
    while True:
        for bucket, key in _new_files(s3, url, began, seen):
            count = _count_records(s3, bucket, key, began)
            if count:
                return count
        deadline.pause(pause, f"no request since {began.isoformat()} was captured under {url}.")
        pause = min(2 * pause, POLL_SECONDS)


def _new_files(s3: Any, url: str, began: datetime, seen: set[str]) -> Iterator[tuple[str, str]]:
    parts = urlsplit(url)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=parts.netloc, Prefix=parts.path.lstrip("/"))
    for page in pages:
        for entry in page.get("Contents", []):
            if entry["Key"] not in seen and entry["LastModified"] >= began:
                seen.add(entry["Key"])
                yield parts.netloc, entry["Key"]


def _count_records(s3: Any, bucket: str, key: str, began: datetime) -> int:
    first = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines()
    times = (json.loads(line)["eventMetadata"]["inferenceTime"] for line in lines if line.strip())
    return sum(time >= first for time in times)
