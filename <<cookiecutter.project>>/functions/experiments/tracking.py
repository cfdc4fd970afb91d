"""MLflow's REST API, as far as a run needs it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from .record import Record

PATIENCE_SECONDS = 10.0
NOT_THERE, THERE_ALREADY = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
SHOWN = 300


class TrackingError(Exception):
    """Says what the tracking server did not do."""

    def __init__(self, message: str, code: str = "") -> None:
        """Keep MLflow's own error code, if there is one."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Tracking:
    """A tracking server by its address."""

    mlflow_tracking_uri: str

    def get(self, path: str, **query: str) -> Any:
        """Ask for something."""
        return self._call("GET", f"{path}?{urlencode(query)}", None)

    def post(self, path: str, **body: Any) -> Any:
        """Send something."""
        return self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the template takes http and https only
            f"{self.mlflow_tracking_uri.rstrip('/')}/api/2.0/mlflow/{path}",
            body,
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise refused(self.mlflow_tracking_uri, path, error) from None
        except (OSError, ValueError) as error:
            raise TrackingError(f"{self.mlflow_tracking_uri} gave no answer to {path}: {error}.") from None


def refused(uri: str, path: str, error: urllib.error.HTTPError) -> TrackingError:
    """Tell what the server refused, in its own words where it has some."""
    text = error.read().decode(errors="replace")
    try:
        said = json.loads(text)
        code, message = str(said["error_code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", text
    shown = " ".join(message.split())[:SHOWN]
    return TrackingError(f"{uri} answered {error.code} to {path.partition('?')[0]}: {code} {shown}", code)


def log(tracking: Tracking, record: Record) -> str:
    """Write the run down and return its id; one of the same name is completed, not made twice."""
    experiment = find_experiment(tracking, record.experiment)
    moment = int(time.time() * 1000)
    run = find_run(tracking, experiment, record.run)
    if run is None:
        created = tracking.post(
            "runs/create", experiment_id=experiment, run_name=record.run, start_time=moment
        )
        run = str(created["run"]["info"]["run_id"])
    tracking.post(
        "runs/log-batch",
        run_id=run,
        params=pairs(record.params),
        tags=pairs(record.tags),
        metrics=[
            {"key": name, "value": value, "timestamp": moment, "step": 0}
            for name, value in record.metrics.items()
        ],
    )
    tracking.post("runs/update", run_id=run, status="FINISHED", end_time=moment)
    return run


def find_experiment(tracking: Tracking, name: str) -> str:
    """Return the experiment's id; make it if there is none."""
    try:
        found = tracking.get("experiments/get-by-name", experiment_name=name)
    except TrackingError as error:
        if error.code != NOT_THERE:
            raise
        return make_experiment(tracking, name)
    return str(found["experiment"]["experiment_id"])


def make_experiment(tracking: Tracking, name: str) -> str:
    """Make an experiment, unless somebody has in the meantime."""
    try:
        return str(tracking.post("experiments/create", name=name)["experiment_id"])
    except TrackingError as error:
        if error.code != THERE_ALREADY:
            raise
    found = tracking.get("experiments/get-by-name", experiment_name=name)
    return str(found["experiment"]["experiment_id"])


def find_run(tracking: Tracking, experiment: str, name: str) -> str | None:
    """Return the id of the run of a name, which holds no quotes, or None."""
    found = tracking.post(
        "runs/search",
        experiment_ids=[experiment],
        filter=f"attributes.run_name = '{name}'",
        max_results=1,
    )
    runs = found.get("runs", [])
    return str(runs[0]["info"]["run_id"]) if runs else None


def pairs(texts: dict[str, str]) -> list[dict[str, str]]:
    """Write texts as MLflow has them."""
    return [{"key": name, "value": value} for name, value in texts.items()]
