"""ministack as services call it: its application, objects, metrics, events and topics."""

from __future__ import annotations

import contextlib
import contextvars
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from localcloud.core import account
from localcloud.core.errors import ServiceError
from localcloud.core.patches import uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from localcloud.core.service import Json

APP = uses("ministack.app", "app", "AUTH", "SERVICE_HANDLERS", "SERVICE_REGISTRY")
_RESPONSES = uses("ministack.core.responses", "request_scope")
_IAM = uses("ministack.core.iam_evaluator", "find_iam_access_key_account")
_STS = uses("ministack.services.sts", "_sessions")
_S3 = uses("ministack.services.s3", "_buckets", "_get_object_data", "_put_object")
_METRICS = uses("ministack.services.cloudwatch", "_put_metric_data")
_LOGS = uses(
    "ministack.services.cloudwatch_logs", "_create_log_group", "_create_log_stream", "_put_log_events"
)
_EVENTS = uses("ministack.services.eventbridge", "_put_events")
_TOPICS = uses("ministack.services.sns", "_fanout")
_CUSTOM_RESOURCES = uses("ministack.services.cloudformation.custom_resource", "_pending")
_WAIT_CONDITIONS = uses("ministack.services.cloudformation.wait_conditions", "has_handle")


# Set when something has changed that should be saved soon.
CHANGED = threading.Event()


def application() -> Any:
    """Return ministack's ASGI application."""
    return APP["app"]


def in_context(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return the function bound to the present account and region, for a thread."""
    context = contextvars.copy_context()
    return lambda: context.run(function)


@contextlib.contextmanager
def scope(region: str) -> Iterator[None]:
    """Act for the one account and the project's region, which a thread of ours can't take from a request."""
    with _RESPONSES["request_scope"](account.ACCOUNT, region):
        yield


def issued(identifier: str) -> bool:
    """Whether an access key's id is of a session of STS or of a user of IAM, both of this cloud."""
    if identifier in _STS["_sessions"]:
        return True
    return _IAM["find_iam_access_key_account"](identifier) is not None


def awaited(path: str) -> bool:
    """Whether CloudFormation waits for an answer at the path, whose token is the credential.

    On AWS these are presigned URLs: of a custom resource's response, and of a wait condition's signal.
    """
    address, _, token = path.rpartition("/")
    if address == "/_ministack/cfn-response":
        return token in _CUSTOM_RESOURCES["_pending"]
    if address == "/_ministack/cfn-signal":
        return bool(_WAIT_CONDITIONS["has_handle"](token))
    return False


def object_keys(bucket: str) -> dict[str, int] | None:
    """Return the keys of a bucket with the objects' sizes in bytes, or None without such a bucket."""
    stored = _S3["_buckets"].get(bucket)
    return None if stored is None else {key: value["size"] for key, value in stored["objects"].copy().items()}


def get_object(bucket: str, key: str) -> bytes | None:
    """Return an object's content, or None without such an object."""
    content: bytes | None = _S3["_get_object_data"](bucket, key)
    return content


def put_object(bucket: str, key: str, content: bytes, headers: Mapping[str, str]) -> None:
    """Store an object whole, with its event.

    Raises:
        ServiceError: S3 refuses the object.
    """
    status, _, body = _S3["_put_object"](bucket, key, content, dict(headers))
    if status >= 300:  # noqa: PLR2004 - the first status that is not a success
        raise ServiceError(
            "S3Error", f"s3://{bucket}/{key} can't be written: {body.decode(errors='replace')}"
        )


def put_metrics(namespace: str, data: list[Json]) -> None:
    """Store metrics, written as PutMetricData takes them."""
    _METRICS["_put_metric_data"](
        {}, {"Namespace": namespace, "MetricData": data}, is_cbor=False, is_json=True
    )


def put_logs(group: str, stream: str, lines: list[str], *, create: bool) -> None:
    """Add lines to a log stream; with `create` the stream, and its group, are made where they are missing."""
    names = {"logGroupName": group, "logStreamName": stream}
    if create:
        _LOGS["_create_log_group"]({"logGroupName": group})
        _LOGS["_create_log_stream"](names)
    moment = int(time.time() * 1000)
    events = [{"timestamp": moment, "message": line} for line in lines]
    _LOGS["_put_log_events"]({**names, "logEvents": events})


def put_event(source: str, detail_type: str, detail: Json, resources: list[str]) -> None:
    """Send an event as the service `source` of AWS, whose state has changed."""
    CHANGED.set()
    entry = {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
    }
    _EVENTS["_put_events"]({"Entries": [entry]}, allow_aws_source=True)


def publish(topic: str, message: str, subject: str) -> None:
    """Publish to a topic; a topic that is gone is not an error of the publisher."""
    _TOPICS["_fanout"](topic, str(uuid.uuid4()), message, subject)
