"""A training becomes one finished run of an MLflow server, or it is said why not.

MLFLOW_TRACKING_URI names a real server that the same tests run against as well.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from functions.experiments import handler
from functions.experiments.record import RunRecord
from functions.experiments.tracking import TrackingError, TrackingServer, log_run
from tests.functions.aws import Call, Context, Reply, says, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = re.compile(r"[A-Za-z0-9_. :/-]{1,250}")


class RefusedError(Exception):
    """An error response of MLflow."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


@dataclass
class Mlflow:
    """The part of MLflow's REST API that a run needs, with its rules."""

    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, call: Call) -> Reply:
        """Answer a request."""
        parts = urlsplit(call.path)
        query = {key: value for key, (value,) in parse_qs(parts.query).items()}
        path = parts.path.removeprefix("/api/2.0/mlflow/")
        act = getattr(self, "_" + path.replace("/", "_").replace("-", "_"), None)
        if act is None:
            return Reply(404, b"<html>Not Found</html>", {"content-type": "text/html"})
        try:
            return says(act(**(query or call.json())))
        except RefusedError as error:
            return says({"error_code": error.code, "message": f"no, {path}"}, error.status)

    def _experiments_get_by_name(self, experiment_name: str) -> Any:
        if experiment_name not in self.experiments:
            raise RefusedError("RESOURCE_DOES_NOT_EXIST", 404)
        return {"experiment": {"experiment_id": self.experiments[experiment_name], "name": experiment_name}}

    def _experiments_create(self, name: str) -> Any:
        if name in self.experiments:
            raise RefusedError("RESOURCE_ALREADY_EXISTS")
        self.experiments[name] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[name]}

    def _runs_search(self, experiment_ids: list[str], filter: str, max_results: int) -> Any:  # noqa: A002 - MLflow's
        (name,) = re.findall(r"attributes\.run_name = '(.+)'", filter)
        found = [
            {"info": run["info"]}
            for run in self.runs.values()
            if run["info"]["run_name"] == name and run["info"]["experiment_id"] in experiment_ids
        ]
        return {"runs": found[:max_results]} if found else {}

    def _runs_create(self, experiment_id: str, run_name: str, start_time: int) -> Any:
        run = {"run_id": uuid.uuid4().hex, "run_name": run_name, "experiment_id": experiment_id}
        run |= {"status": "RUNNING", "start_time": str(start_time)}
        data: dict[str, dict[str, Any]] = {"params": {}, "metrics": {}, "tags": {}}
        self.runs[run["run_id"]] = {"info": run, "data": data}
        return {"run": {"info": run}}

    def _runs_log_batch(self, run_id: str, **kinds: list[dict[str, Any]]) -> Any:
        for kind, most, longest in (("params", 100, 6000), ("tags", 100, 8000), ("metrics", 1000, None)):
            entries = {entry["key"]: entry["value"] for entry in kinds[kind]}
            odd = [name for name in entries if not NAME.fullmatch(name)]
            long = [value for value in entries.values() if longest and len(value) > longest]
            known = self.runs[run_id]["data"][kind]
            changed = [
                name
                for name in entries
                if kind == "params" and known.get(name, entries[name]) != entries[name]
            ]
            if odd or long or changed or len(entries) > most:
                raise RefusedError("INVALID_PARAMETER_VALUE")
            known |= entries
        return {}

    def _runs_update(self, run_id: str, status: str, end_time: int) -> Any:
        self.runs[run_id]["info"] |= {"status": status, "end_time": str(end_time)}
        return {"run_info": self.runs[run_id]["info"]}

    def _runs_get(self, run_id: str) -> Any:
        run = self.runs[run_id]
        data = {kind: [{"key": k, "value": v} for k, v in run["data"][kind].items()] for kind in run["data"]}
        return {"run": {"info": run["info"], "data": data}}


@pytest.fixture(params=["stand-in", "real"])
def tracking(request: pytest.FixtureRequest) -> Iterator[TrackingServer]:
    """Return a tracking server: the stand-in, and a real one if its address is set."""
    if request.param == "real":
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            pytest.skip("MLFLOW_TRACKING_URI names no server")
        yield TrackingServer(uri)
        return
    with serving(Mlflow().answer) as server:
        yield TrackingServer(server.url)


def an_event(**more: Any) -> dict[str, Any]:
    """Return the state machine's input, for an experiment of its own."""
    return {
        "Experiment": f"house-{uuid.uuid4().hex[:8]}",
        "Run": str(uuid.uuid4()),
        "Params": {"model": "gradient_boosting", "seed": "42", "TARGET": "price"},
        "Metrics": {"rmse": 0.45, "naive_rmse": 1.15, "test_rows": 4128},
        "Tags": {"commit": "3f2a91c", "champion": "none"},
        **more,
    }


def seen(tracking: TrackingServer, run: str) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Read a run."""
    found = tracking.get("runs/get", run_id=run)["run"]
    data = {
        kind: {entry["key"]: entry["value"] for entry in found["data"].get(kind, [])}
        for kind in ("params", "metrics", "tags")
    }
    return found["info"], data


def test_a_training_is_a_finished_run(tracking: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its parameters, metrics and tags, in the project's experiment."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.mlflow_tracking_uri)
    event = an_event()
    info, data = seen(tracking, handler.handler(event, Context())["RunId"])
    assert (info["run_name"], info["status"]) == (event["Run"], "FINISHED")
    assert int(info["end_time"]) >= int(info["start_time"]) > 0
    assert (data["params"], data["metrics"]) == (event["Params"], event["Metrics"])
    assert data["tags"].items() >= event["Tags"].items()


def test_a_repeated_call_writes_no_second_run(tracking: TrackingServer) -> None:
    """Lambda may run twice for one state; another training is another run of the same experiment."""
    event = an_event()
    first = log_run(tracking, RunRecord.read(event))
    assert log_run(tracking, RunRecord.read(event)) == first
    other = log_run(tracking, RunRecord.read({**event, "Run": str(uuid.uuid4())}))
    assert other != first
    assert seen(tracking, other)[0]["experiment_id"] == seen(tracking, first)[0]["experiment_id"]


def test_entries_that_mlflow_refuses_are_cut(tracking: TrackingServer) -> None:
    """One odd name or long value would cost the whole batch."""
    event = an_event(
        Params={"odd name (x)": 1, "long": "x" * 9000} | {f"p{number:03}": number for number in range(200)},
        Metrics={"rmse": 0.5, "r2": None, "auc": float("nan"), "flag": True},
        Tags={"data": "é" * 9000},
    )
    _, data = seen(tracking, log_run(tracking, RunRecord.read(event)))
    assert data["metrics"] == {"rmse": 0.5}
    assert len(data["params"]) == 100
    assert (data["params"]["odd name _x_"], len(data["params"]["long"])) == ("1", 6000)


def test_an_experiment_that_is_created_meanwhile_is_used() -> None:
    """Two trainings may be the first of a project."""
    mlflow, hidden = Mlflow(), ["once"]

    def answer(call: Call) -> Reply:
        if "get-by-name" in call.path and hidden:
            hidden.clear()
            mlflow.experiments["house"] = "7"
            return says({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}, 404)
        return mlflow.answer(call)

    with serving(answer) as server:
        run = log_run(TrackingServer(server.url), RunRecord.read(an_event(Experiment="house")))
    assert mlflow.runs[run]["info"]["experiment_id"] == "7"


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            says({"error_code": "PERMISSION_DENIED", "message": "not\nyours"}, 403),
            "403 to experiments/get-by-name: PERMISSION_DENIED not yours",
        ),
        (Reply(502, b"<html>Bad Gateway</html>"), "answered 502 to experiments/get-by-name"),
        (Reply(200, b"<html>a login page</html>"), "gave no answer to experiments/get-by-name"),
        (Reply(200, None), "gave no answer to experiments/get-by-name"),
    ],
)
def test_a_refusal_of_the_server_is_reported(reply: Reply, words: str) -> None:
    """In one sentence with the server's address and message."""
    with serving(lambda _: reply) as server, pytest.raises(TrackingError) as raised:
        log_run(TrackingServer(server.url), RunRecord.read(an_event()))
    assert str(raised.value).startswith(server.url)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
