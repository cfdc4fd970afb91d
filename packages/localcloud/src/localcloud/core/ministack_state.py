"""The state of ministack's services as JSON, without secrets."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from localcloud.core.patches import patch, uses

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

# The stores of two services by the names of their states; they copy them all to return one, which takes long.
CLOUDFORMATION = {
    "stacks": "_stacks",
    "stack_events": "_stack_events",
    "exports": "_exports",
    "change_sets": "_change_sets",
}
CLOUDWATCH = {
    "metrics": "_metrics",
    "alarms": "_alarms",
    "composite_alarms": "_composite_alarms",
    "composite_triggers": "_composite_triggers",
    "alarm_history": "_alarm_history",
    "dashboards": "_dashboards",
    "resource_tags": "_resource_tags",
}
_APP = uses("ministack.app", "_build_persistence_save_dict", "_get_module", "_state_map")
_CODEC = uses("ministack.core.persistence", "_json_default", "_json_object_hook")
_COPYING = {
    "cloudformation": (CLOUDFORMATION, uses("ministack.services.cloudformation", *CLOUDFORMATION.values())),
    "cloudwatch": (CLOUDWATCH, uses("ministack.services.cloudwatch", *CLOUDWATCH.values())),
}
# Stacks and executions first: what they name is then in the state of the others, which are read later.
FIRST = ("cloudformation", "stepfunctions")
# Nothing secret is written that was in memory only: service, store, and what a person calls its entries.
SECRETS = {
    "iam": {
        "access_keys": "access keys",
        "login_profiles": "passwords of users",
        "mfa_devices": "MFA devices",
    },
    "secretsmanager": {"secrets": "secrets"},
    "cognito": {"user_pools": "user pools", "identity_pools": "identity pools"},
}
SECURE = "SecureString"
# Service, store, and what a person calls its entries.
COUNTED = {
    "cloudformation": ("stacks", "stacks"),
    "lambda": ("functions", "functions"),
    "s3": ("buckets_meta", "buckets"),
    "stepfunctions": ("executions", "executions of state machines"),
}
# Of a KMS key, which is refused afterwards where its material is needed.
MATERIAL = (
    "_hmac_key_b64",
    "_import_token_b64",
    "_import_wrapping_key_pem",
    "_private_key_pem",
    "_public_key_der_b64",
    "_symmetric_key_b64",
)
# The newest of each list are kept, or the file would grow for as long as a project is worked on.
MOST_EXECUTIONS, MOST_POINTS, MOST_LINES, MOST_EVENTS = 50, 100, 2000, 1000
# Of a group of a Lambda function's logs; others, such as those of jobs, have more.
MOST_LINES_OF_JOBS = 20_000
LAMBDA_LOGS = "/aws/lambda/"
# The values of metrics within this time are all kept, because alarms compute with them: seconds of AWS.
ALARMS_WINDOW = 7200.0
TRIES = 5
T = TypeVar("T")
_unreferenced: list[set[str]] = []


def install() -> None:
    """Apply the patch of this module."""
    _prune.apply()


@patch(
    "ministack.services.lambda_svc",
    "_prune_orphan_code_blobs",
    version="1.5.33",
    behaviour="reading the state deletes the code that no function has any more",
    reason="the file that is written already may name it, and is read again after a crash",
)
def _prune(_original: Callable[[set[str]], None], referenced: set[str]) -> None:
    _unreferenced[:] = [referenced]


def prune() -> None:
    """Delete the code of functions that the file, now written, does not name."""
    for referenced in _unreferenced:
        _prune.original(referenced)
    _unreferenced.clear()


def names() -> list[str]:
    """Return the names of the services that have been used, in the order in which they are to be read."""
    used = _APP["_build_persistence_save_dict"]()
    return [*(name for name in FIRST if name in used), *(name for name in used if name not in FIRST)]


def save(name: str, counts: dict[str, int], dropped: dict[str, int], since: float) -> str:
    """Return the state of a service as JSON; count what is in it, and in `dropped` what is left out.

    The values of metrics since that time (epoch seconds) are all in it.
    """
    if name in _COPYING:
        return stable(partial(_save_uncopied, name, counts, since))
    state = stable(_APP["_build_persistence_save_dict"]()[name])
    if state is None:
        return "null"
    for store, noun in SECRETS.get(name, {}).items():
        if entries := state.pop(store, None):
            dropped[noun] = len(entries._data)  # noqa: SLF001 - of all accounts
    if name == "ssm":
        _drop_secure(state, dropped)
    if name == "kms":
        _drop_material(state, dropped)
    if name in NEWEST:
        NEWEST[name](state)
    _count(name, state, counts)
    return json.dumps(state, default=_CODEC["_json_default"])


def _drop_secure(state: Json, dropped: dict[str, int]) -> None:
    parameters, history = (state[store]._data for store in ("parameters", "parameter_history"))  # noqa: SLF001 - of all accounts
    secure = [key for key, one in parameters.items() if one.get("Type") == SECURE]
    for key in secure:
        parameters.pop(key)
        history.pop(key, None)
    if secure:
        dropped["SecureString parameters"] = len(secure)


def _drop_material(state: Json, dropped: dict[str, int]) -> None:
    keys = list(state["keys"]._data.values())  # noqa: SLF001 - of all accounts
    for key in keys:
        for member in MATERIAL:
            key.pop(member, None)
    if keys:
        dropped["KMS keys' material"] = len(keys)


def _newest_executions(state: Json) -> None:
    executions = state["executions"]._data  # noqa: SLF001 - of all accounts
    by_machine: dict[str, list[Any]] = {}
    for key, execution in executions.items():
        by_machine.setdefault(execution["stateMachineArn"], []).append(key)
    for keys in by_machine.values():
        for key in keys[:-MOST_EXECUTIONS]:
            del executions[key]


def _save_uncopied(name: str, counts: dict[str, int], since: float) -> str:
    """Return the state of a service that would copy its stores, as JSON made of the stores themselves."""
    names, module = _COPYING[name]
    state = {key: copy.copy(module[store]) for key, store in names.items()}
    newest: dict[str, Callable[[list[Json]], list[Json]]] = {
        "metrics": partial(_newest_points, since),
        "alarm_history": _newest_entries,
        "stack_events": _newest_entries,
    }
    for store in newest.keys() & state.keys():
        kept = {key: newest[store](entries) for key, entries in state[store]._data.items()}  # noqa: SLF001 - of all accounts
        state[store]._data = kept  # noqa: SLF001 - of all accounts
    _count(name, state, counts)
    return json.dumps(state, default=_CODEC["_json_default"])


def _count(name: str, state: Json, counts: dict[str, int]) -> None:
    if name not in COUNTED:
        return
    store, noun = COUNTED[name]
    if count := len(state[store]._data):  # noqa: SLF001 - of all accounts
        counts[noun] = count


def _newest_points(since: float, points: list[Json]) -> list[Json]:
    first = max(0, len(points) - MOST_POINTS)
    while first and points[first - 1]["Timestamp"] >= since:
        first -= 1
    return points[first:]


def _newest_entries(entries: list[Json]) -> list[Json]:
    return entries[-MOST_EVENTS:]


def _newest_lines(state: Json) -> None:
    for key, group in state["log_groups"]._data.items():  # noqa: SLF001 - of all accounts
        left = MOST_LINES if str(key[-1]).startswith(LAMBDA_LOGS) else MOST_LINES_OF_JOBS
        for name, stream in reversed(list(group["streams"].items())):
            if left <= 0:
                del group["streams"][name]
                continue
            del stream["events"][:-left]
            left -= max(1, len(stream["events"]))


NEWEST: dict[str, Callable[[Json], None]] = {
    "cloudwatch_logs": _newest_lines,
    "stepfunctions": _newest_executions,
}


def load(name: str, state: Any) -> None:
    """Put the state of a service back."""
    decoded = json.loads(json.dumps(state), object_hook=_CODEC["_json_object_hook"])
    if decoded:
        _APP["_get_module"](_APP["_state_map"][name]).load_persisted_state(decoded)


def stable(read: Callable[[], T]) -> T:
    """Return what `read` returns, again when a table has changed while it was read.

    Raises:
        RuntimeError: a table has changed each time.
    """
    for _ in range(TRIES - 1):
        try:
            return read()
        except RuntimeError:
            continue
    return read()
