"""CloudWatch Logs of ministack, with the streams that FilterLogEvents is asked for."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from localcloud.core.patches import patch, uses
from localcloud.core.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

    Call = Callable[..., Any]

MODULE = "ministack.services.cloudwatch_logs"
NAMES, PREFIX = "logStreamNames", "logStreamNamePrefix"
_LOGS = uses(MODULE, "_log_groups", "_resolve_log_group_name", "error_response_json")


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="logs", install=install)


def install() -> None:
    """Apply the patch."""
    _filter_by_prefix.apply()


@patch(
    MODULE,
    "_filter_log_events",
    version="1.5.33",
    behaviour="logStreamNamePrefix is ignored: the answer has the events of all streams",
    reason="the jobs of an account share a log group, and a job's name is the prefix of its streams",
)
def _filter_by_prefix(original: Call, data: Json) -> Any:
    prefix = data.get(PREFIX)
    if not prefix:
        return original(data)
    if data.get(NAMES):
        words = f"{NAMES} and {PREFIX} are mutually exclusive"
        return _LOGS["error_response_json"]("InvalidParameterException", words, HTTPStatus.BAD_REQUEST)
    group = _LOGS["_log_groups"].get(_LOGS["_resolve_log_group_name"](data), {"streams": {}})
    # No names at all would mean every stream; the empty name is the name of none.
    chosen = [name for name in group["streams"] if name.startswith(prefix)] or [""]
    return original({**data, NAMES: chosen})
