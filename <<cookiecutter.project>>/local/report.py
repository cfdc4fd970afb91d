"""The report of a run: .local/report.json, in the form that report.schema.json describes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delivery import local_stacks
from delivery.cloud import UNREACHABLE, DeliveryError
from delivery.history import governor, traffic
from delivery.history.actions import stack_action
from delivery.history.record import RUN, Record
from delivery.history.state_machines import execution_output
from delivery.history.training import beside_model, training_execution
from localcloud.files import write_whole

if TYPE_CHECKING:
    from local.project import Project
    from local.run import Delivery


STAGES = ("dev", "prd")
# What the evaluation wrote into intervals.json, by its name here.
UNCERTAINTY = {"rows": "rows", "classes": "classes", "intervals": "metrics", "differences": "differences"}
UNKNOWN: dict[str, Any] = {
    "importances": {},
    "learning_curve": [],
    **{name: {} for name in UNCERTAINTY},
    "warnings": [],
}
NOTHING: dict[str, Any] = {
    "data": {},
    "metrics": {},
    "evaluation": UNKNOWN,
    "deployments": [],
    "predictions": 0,
}


def write_report(delivery: Delivery) -> Path:
    """Read the services' records into .local/report.json; the file is never half-written."""
    path = report_path(delivery.project)
    write_whole(path, json.dumps(_report(delivery), indent=2, ensure_ascii=False) + "\n")
    return path


def write_failure(project: Project, began: datetime, reason: str) -> None:
    """Write the report of a run that failed before the local cloud was there."""
    seconds = (datetime.now(UTC) - began).total_seconds()
    content = {
        "seconds": {"install": _install_seconds(), "run": round(seconds, 3)},
        "stages": [_stage(Record(RUN, "Failed", seconds, reason))],
        **NOTHING,
        "loop": [],
    }
    write_whole(report_path(project), json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def forget_report(project: Project) -> None:
    """Remove the report of the last run: what can't be replaced would pass for this run's."""
    report_path(project).unlink(missing_ok=True)


def read_report(path: Path) -> dict[str, Any]:
    """Read a report."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def report_path(project: Project) -> Path:
    """Where the report of the last run is."""
    return project.state / "report.json"


def _report(delivery: Delivery) -> dict[str, Any]:
    seconds = (datetime.now(UTC) - delivery.began).total_seconds()
    return {
        "seconds": {"install": _install_seconds(), "run": round(seconds, 3)},
        "stages": [_stage(record) for record in delivery.records()],
        **_deployed(delivery),
        "loop": _loop(delivery),
    }


def _loop(delivery: Delivery) -> list[dict[str, Any]]:
    """Read what the governor decided during the run; nothing when the cloud has ended."""
    try:
        decided = governor.decisions(delivery.cloud, delivery.project.slug, delivery.began)
    except UNREACHABLE:
        return []
    return [
        asdict(each) | {"at": each.at.astimezone(UTC).isoformat(timespec="milliseconds")} for each in decided
    ]


def _deployed(delivery: Delivery) -> dict[str, Any]:
    """Read what serves now; nothing does when the cloud has ended."""
    try:
        return {
            "data": _prepared(delivery),
            "metrics": _promoted_metrics(delivery),
            "evaluation": _promoted_evaluation(delivery),
            "deployments": [each for stage in STAGES for each in _deployments(delivery, stage)],
            "predictions": _predictions(delivery),
        }
    except UNREACHABLE:
        return NOTHING


def _stage(record: Record) -> dict[str, Any]:
    return asdict(record) | {"seconds": round(max(record.seconds, 0.0), 3)}


def _deployments(delivery: Delivery, stage: str) -> list[dict[str, Any]]:
    """Read a stage's deployment of this run, if it has begun."""
    stack = delivery.project.stack(f"deploy-{stage}")
    if not delivery.execution_id:
        return []
    record = stack_action(delivery.cloud, delivery.pipeline, delivery.execution_id, stack)
    if record is None:
        return []
    version = _deployed_version(delivery, stage)
    shift = traffic.shift(delivery.cloud.deployments(), stack, delivery.began)
    own = {"stage": stage, "version": version, "result": record.status, "reason": record.reason}
    return [own | {"shift": shift}]


def _deployed_version(delivery: Delivery, stage: str) -> str:
    """Read the version from the stack itself: after a failure it is still the former one."""
    return local_stacks.parameters(delivery.cloud, delivery.project.stack(f"deploy-{stage}")).get(
        "ExecutionId", ""
    )


def _promoted_metrics(delivery: Delivery) -> dict[str, float]:
    """Read the metrics that the training left of the model that production serves."""
    version = _deployed_version(delivery, "prd")
    if not version:
        return {}
    execution = training_execution(delivery.cloud, delivery.project.slug, version)
    return dict(execution_output(delivery.cloud, execution).get("Metrics", {})) if execution else {}


def _promoted_evaluation(delivery: Delivery) -> dict[str, Any]:
    """Read what the evaluation found of the model that production serves, beside its metrics."""
    model = local_stacks.parameters(delivery.cloud, delivery.project.stack("deploy-prd")).get(
        "ModelDataUrl", ""
    )
    if not model:
        return UNKNOWN
    explained = beside_model(delivery.cloud, model, "explanation")
    methods = explained.get("explanations", {}).get("permutation_importance", {})
    importances: dict[str, float] = next((found["global_importances"] for found in methods.values()), {})
    curve = beside_model(delivery.cloud, model, "learning_curve")
    known = beside_model(delivery.cloud, model, "intervals")
    return {
        "importances": importances,
        "learning_curve": curve.get("points", []),
        **{name: known.get(theirs, {}) for name, theirs in UNCERTAINTY.items()},
        "warnings": known.get("warnings", []),
    }


def _prepared(delivery: Delivery) -> dict[str, Any]:
    """Read what `prepare` found in the data of this run, whether or not its model was promoted."""
    if not delivery.execution_id:
        return {}
    training = training_execution(delivery.cloud, delivery.project.slug, delivery.execution_id)
    if not training:
        return {}
    bucket = local_stacks.outputs(delivery.cloud, delivery.project.stack("pipeline"))["ArtifactBucket"]
    folder = f"s3://{bucket}/runs/{training.rpartition(':')[2]}/prepare/report/model.tar.gz"
    return beside_model(delivery.cloud, folder, "report")


def _predictions(delivery: Delivery) -> int:
    """Count what the endpoint in service answered; none may be."""
    try:
        return traffic.answered(delivery.cloud, delivery.endpoint_name)
    except DeliveryError:
        return 0


def _install_seconds() -> float | None:
    """Read what the Makefile noted when it installed the requirements."""
    noted = os.environ.get("INSTALL_SECONDS_FILE", "")
    try:
        return float(Path(noted).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
