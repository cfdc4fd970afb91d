"""The part of MLflow's REST API that logs a run."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from .record import RunRecord

TIMEOUT_SECONDS = 10.0
NOT_FOUND, ALREADY_EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
MAX_MESSAGE_LENGTH = 300


class TrackingError(Exception):
    """The tracking server did not accept a call; `code` is MLflow's error code, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        """Keep MLflow's error code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TrackingServer:
    """A tracking server at an address."""

    mlflow_tracking_uri: str

    def get(self, path: str, **query: str) -> Any:
        """Call GET and return the response's JSON.

        Raises:
            TrackingError: the server refused the call or did not answer.
        """
        return self._call("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, **body: Any) -> Any:
        """Call POST and return the response's JSON.

        Raises:
            TrackingError: the server refused the call or did not answer.
        """
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the template takes http and https only
            f"{self.mlflow_tracking_uri.rstrip('/')}/api/2.0/mlflow/{path}",
            body,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise _tracking_error(self.mlflow_tracking_uri, path, error) from None
        except (OSError, ValueError) as error:
            raise TrackingError(f"{self.mlflow_tracking_uri} gave no answer to {path}: {error}.") from None


def _tracking_error(uri: str, path: str, error: urllib.error.HTTPError) -> TrackingError:
    """Describe an HTTP error, by the server's own code and message where it gave them."""
    text = error.read().decode(errors="replace")
    try:
        document = json.loads(text)
        code, message = str(document["error_code"]), str(document["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", text
    shortened = " ".join(message.split())[:MAX_MESSAGE_LENGTH]
    status = f"{uri} answered {error.code} to {path.partition('?')[0]}"
    return TrackingError(f"{status}: {code} {shortened}", code)


def log_run(server: TrackingServer, record: RunRecord) -> str:
    """Log the run and return its id; a run of the same name is completed, so that a retry adds no second.

    Raises:
        TrackingError: the server did not accept the run.
    """
    experiment = get_or_create_experiment(server, record.experiment)
    now_ms = int(time.time() * 1000)
    run = find_run(server, experiment, record.run)
    if run is None:
        created = server.post("runs/create", experiment_id=experiment, run_name=record.run, start_time=now_ms)
        run = str(created["run"]["info"]["run_id"])
    server.post(
        "runs/log-batch",
        run_id=run,
        params=_key_values(record.params),
        tags=_key_values(record.tags),
        metrics=[
            {"key": name, "value": value, "timestamp": now_ms, "step": 0}
            for name, value in record.metrics.items()
        ],
    )
    server.post("runs/update", run_id=run, status="FINISHED", end_time=now_ms)
    return run


def get_or_create_experiment(server: TrackingServer, name: str) -> str:
    """Return the id of the experiment, which is created if it does not exist.

    Raises:
        TrackingError: the server did not accept the call.
    """
    try:
        return _experiment_id(server, name)
    except TrackingError as error:
        if error.code != NOT_FOUND:
            raise
    try:
        return str(server.post("experiments/create", name=name)["experiment_id"])
    except TrackingError as error:
        if error.code != ALREADY_EXISTS:
            raise
    return _experiment_id(server, name)  # another training has created the experiment meanwhile


def _experiment_id(server: TrackingServer, name: str) -> str:
    found = server.get("experiments/get-by-name", experiment_name=name)
    return str(found["experiment"]["experiment_id"])


def find_run(server: TrackingServer, experiment: str, name: str) -> str | None:
    """Return the id of the run, or None if it does not exist; the name must not contain quotes."""
    found = server.post(
        "runs/search",
        experiment_ids=[experiment],
        filter=f"attributes.run_name = '{name}'",
        max_results=1,
    )
    runs = found.get("runs", [])
    return str(runs[0]["info"]["run_id"]) if runs else None


def _key_values(texts: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in texts.items()]
