"""One delivery on the local cloud: the pipeline from the source to production, as a commit starts it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from delivery import approval, local_stacks, raw_data, source
from delivery.cloud import UNREACHABLE, DeliveryError
from delivery.history import executions, traffic
from delivery.history.actions import action_records
from delivery.history.record import RUN, Record, cut_off, in_progress
from delivery.history.stack import stack_record
from delivery.history.training import training_execution
from delivery.inference import clients, rows, served
from delivery.inference.predictions import predict
from delivery.interrupts import delayed
from localcloud import clock
from localcloud.files import explained, write_whole

from container.data import table_files
from container.data.schema import Schema
from local.project import LocalError, Project
from pipeline.checks import list_deprecations
from pipeline.errors import SettingsError
from pipeline.reader import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localcloud import Cloud


POLL_SECONDS = 0.2
FOLLOW_SECONDS = 0.5
METRICS_PATIENCE = 10.0
AFTER = ("Predict", RUN)  # steps of our own that come after the pipeline's
# Where project.toml has Model Monitor for the engine: no more than a name, since its image runs on AWS alone.
ANALYZER = "sagemaker-model-monitor-analyzer"

T = TypeVar("T")


@dataclass
class Delivery:
    """One run: what it was given, its execution of the pipeline, and the steps that no service records.

    settings is the text of project.toml for this run. versions are those of the data files in the bucket, by
    key, until the execution is known to have been trained on them; keys are relative to the folder, if any.
    """

    cloud: Cloud
    project: Project
    data: tuple[Path, ...] = ()
    rows: int = 0
    approve: bool = False
    settings: str = ""
    execution_id: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    own: dict[str, Record | Callable[[], Record]] = field(default_factory=dict)
    seen: list[Record] = field(default_factory=list)
    analysis: str = ""
    violations: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    folder: Path | None = None
    # The version of the source that this command has uploaded: an interrupt stops the execution of it.
    source: str = ""

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return f"{self.project.slug}-pipeline"

    @property
    def endpoint_name(self) -> str:
        """The endpoint that serves: production's, or that of dev when there is none."""
        return served.in_service(self.cloud, self.project.slug)

    def records(self) -> list[Record]:
        """Read every step that has begun from the services' records; a cloud that ended says nothing new."""
        try:
            self.seen = self._read()
        except UNREACHABLE:
            self.seen = [cut_off(each) for each in self.seen]
        return self.seen

    def fail(self, error: Exception) -> None:
        """Keep why the run failed; as a step of its own where no step says so."""
        self.failure = explained(error)
        if not any(record.status == "Failed" for record in self.records()):
            spent = (datetime.now(UTC) - self.began).total_seconds()
            self.own[RUN] = Record(RUN, "Failed", spent, self.failure)

    def _read(self) -> list[Record]:
        deployed = stack_record(self.cloud, "Pipeline", self.project.stack("pipeline"), self.began)
        taken = action_records(self.cloud, self.pipeline, self.execution_id) if self.execution_id else []
        before = [record for name, record in self.own.items() if name not in AFTER]
        found = [deployed, *before, *taken, *map(self.own.get, AFTER)]
        return [record() if callable(record) else record for record in found if record]


def deprecations(project: Project) -> list[str]:
    """Return a warning for each former name in project.toml; none where the build will refuse the file."""
    try:
        return list_deprecations(read_settings(project.root / "project.toml"))
    except SettingsError:
        return []


def deliver(delivery: Delivery) -> None:
    """Deploy the pipeline, start it with the project's files, and follow it; raise LocalError if it fails."""
    reporting_lost_cloud(_deliver, delivery)


def follow(delivery: Delivery) -> None:
    """Follow the execution to its end; raise LocalError with the reason of the action that failed."""
    reporting_lost_cloud(_follow, delivery)


def reporting_lost_cloud(act: Callable[[Delivery], None], delivery: Delivery) -> None:
    """Do something with the local cloud; raise LocalError when it ends meanwhile."""
    try:
        act(delivery)
    except UNREACHABLE:
        raise LocalError(
            "The local cloud ended in the middle of the run; why may be in .local/logs/cloud.log. Run again."
        ) from None


def _deliver(delivery: Delivery) -> None:
    deploy_pipeline(delivery)
    run_stage(delivery, "Data", upload_data)
    write_whole(delivery.project.settings, delivery.settings)
    upload_source(delivery)
    delivery.execution_id = find_started(delivery)
    _follow(delivery)
    if delivery.rows:
        run_stage(delivery, "Predict", predict_test_rows)


def run_stage(
    delivery: Delivery, stage: str, act: Callable[[Delivery], T], waits: Callable[[], str] = str
) -> T:
    """Do what no local service records, keep what became of it or what it waits for, and return it."""
    began = time.monotonic()
    delivery.own[stage] = in_progress(stage, waits)
    try:
        given = act(delivery)
    except Exception as error:
        delivery.own[stage] = Record(stage, "Failed", time.monotonic() - began, explained(error))
        raise
    delivery.own[stage] = Record(stage, "Succeeded", time.monotonic() - began)
    return given


def deploy_pipeline(delivery: Delivery) -> None:
    """Deploy the pipeline's stack, and wait for the end of the execution that a new pipeline starts."""
    parameters = {"Project": delivery.project.slug, "SourceType": "S3", "AnalyzerImageUri": ANALYZER}
    settings = local_stacks.StackSettings(parameters, {"project": delivery.project.slug})
    template = delivery.project.root / "pipeline" / "pipeline.yml"
    local_stacks.deploy(delivery.cloud, delivery.project.stack("pipeline"), template, settings)
    # A new pipeline runs at once, as on AWS, and finds no source; ours must not be taken by that execution.
    clock.wait_until(
        delivery.cloud, lambda: _settled_first(delivery), "The pipeline's first execution does not end."
    )


def _settled_first(delivery: Delivery) -> bool:
    return all(
        execution["status"] != "InProgress"
        for execution in executions.list_executions(delivery.cloud, delivery.pipeline)
        if execution["trigger"]["triggerType"] == "CreatePipeline"
    )


def upload_data(delivery: Delivery) -> None:
    """Put this run's data into the bucket, and keep their versions."""
    project = delivery.project
    delivery.versions = raw_data.upload(
        delivery.cloud, project.slug, project.data_prefix, delivery.data, delivery.folder
    )


def upload_source(delivery: Delivery) -> None:
    """Upload the project's files as the source, which starts an execution of the pipeline."""
    bucket, _, key = pipeline_outputs(delivery)["SourceLocation"].removeprefix("s3://").partition("/")
    body = source.pack(delivery.project.root, delivery.project.settings)
    s3 = delivery.cloud.client("s3")
    with delayed():
        delivery.source = s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]


def find_started(delivery: Delivery) -> str:
    """Return the execution that the upload of the source has started."""
    started = clock.wait_until(
        delivery.cloud,
        lambda: executions.executions_of(delivery.cloud, delivery.pipeline, delivery.source),
        f"The upload of the source, version {delivery.source}, started no execution of {delivery.pipeline}.",
    )
    return started[0]


def _follow(delivery: Delivery) -> None:
    with clock.Follower(delivery.cloud) as follower:
        while True:
            status = executions.execution_status(delivery.cloud, delivery.pipeline, delivery.execution_id)
            _check_data(delivery)
            if status == "Succeeded":
                return
            if status not in executions.UNDER_WAY:
                raise LocalError(_why(delivery, status))
            if delivery.approve:
                _answer(delivery)
            follower.pause(FOLLOW_SECONDS)


def _check_data(delivery: Delivery) -> None:
    """See that the execution is trained on this run's data, before its model is approved; once is enough."""
    if not delivery.versions:
        return
    try:
        if raw_data.check(delivery.cloud, delivery.project.slug, delivery.execution_id, delivery.versions):
            delivery.versions = {}
    except DeliveryError as error:
        delivery.own["Data"] = Record("Data", "Failed", 0.0, str(error))
        raise


def _answer(delivery: Delivery) -> None:
    """Approve our execution; an older one that nobody answered makes room, as if superseded."""
    pending = approval.find(delivery.cloud, delivery.pipeline)
    if pending is None:
        return
    if pending.execution_id == delivery.execution_id:
        approval.answer(delivery.cloud, pending, "Approved", "run --approve")
    elif executions.waits_for(delivery.cloud, delivery.pipeline, delivery.execution_id, pending.stage):
        approval.answer(delivery.cloud, pending, "Rejected", f"run --approve of {delivery.execution_id}")


def _why(delivery: Delivery, status: str) -> str:
    failed = next((record for record in delivery.records() if record.status == "Failed"), None)
    if failed is None:
        return f"The execution {delivery.execution_id} ended as {status}."
    return f"{failed.name}: {failed.reason}"


def predict_test_rows(delivery: Delivery) -> None:
    """Send rows of the held-out test split to the endpoint that serves, one request a row."""
    table = read_split(delivery, delivery.execution_id, "test").head(delivery.rows)
    ask = clients.invoke(delivery.cloud, delivery.endpoint_name, table.content_type)
    predict(table, ask, rows_a_request=1)
    _await_metrics(delivery, len(table.rows))


def _await_metrics(delivery: Delivery, requests: int) -> None:
    """Give the endpoint's metrics, which come late, time to count the requests."""
    deadline = time.monotonic() + METRICS_PATIENCE
    while traffic.answered(delivery.cloud, delivery.endpoint_name) < requests and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def read_split(delivery: Delivery, version: str, split: str) -> rows.Table:
    """Read a split (train, test) that the training of a model has made."""
    execution = training_execution(delivery.cloud, delivery.project.slug, version)
    suffix = "zip" if delivery.project.is_image else "csv"
    key = f"runs/{execution.rpartition(':')[2]}/prepare/{split}/{split}.{suffix}"
    stored = delivery.cloud.client("s3").get_object(
        Bucket=pipeline_outputs(delivery)["ArtifactBucket"], Key=key
    )
    content = stored["Body"].read()
    if delivery.project.is_image:
        return rows.read_pictures(content)
    table = rows.read_table(content.decode(), delivery.project.served_target)
    # the splits have plain numbers
    return replace(table, formats=prepared_schema(delivery, execution).number_formats)


def prepared_schema(delivery: Delivery, execution: str) -> Schema:
    """Read how an execution of the training reads tables."""
    stored = delivery.cloud.client("s3").get_object(
        Bucket=pipeline_outputs(delivery)["ArtifactBucket"],
        Key=f"runs/{execution.rpartition(':')[2]}/prepare/schema/schema.json",
    )
    return Schema.from_json(json.loads(stored["Body"].read()))


def pipeline_outputs(delivery: Delivery) -> dict[str, str]:
    """Give the outputs of the pipeline's stack."""
    return local_stacks.outputs(delivery.cloud, delivery.project.stack("pipeline"))


def resolve_settings(project: Project, target: str | None) -> tuple[Project, str]:
    """Give the project and the text of project.toml for this run, with another target when one is given.

    Raises DeliveryError where project.toml has no target to replace.
    """
    text = (project.root / "project.toml").read_text(encoding="utf-8")
    return replace(project, target=target or project.target), source.settled(text, target)


def data_files(path: Path) -> tuple[tuple[Path, ...], str]:
    """Return the files to upload, and a sentence on those of a folder that are not tables.

    They are the file at the path, or the folder's files at any depth that are not hidden: `prepare` decides
    which are tables, here as on AWS, and reports the others.

    Raises:
        LocalError: there is no table, a link leads nowhere or to a folder, or S3 does not take a name.
    """
    if not path.exists():
        raise LocalError(f"{path} does not exist; name a CSV or Parquet file, or a folder of such files.")
    if path.is_file() and not table_files.suffix(path.name):
        raise LocalError(
            f"{path} is not called .csv, .csv.gz or .parquet, and only such files are data: rename it if so."
        )
    everything = [path] if path.is_file() else sorted(path.rglob("*"))
    if linked := [each for each in everything if each.is_symlink() and not each.is_file()]:
        raise LocalError(f"{linked[0]} is a link to a folder, or to nothing: copy the files themselves.")
    folder = path.parent if path.is_file() else path
    found = [each for each in everything if each.is_file()]
    files = tuple(each for each in found if not table_files.is_hidden(each.relative_to(folder).as_posix()))
    tables = [each for each in files if table_files.suffix(each.name)]
    if not tables:
        raise LocalError(f"{path} is neither a CSV or Parquet file nor a folder with such files.")
    for file in files:
        _check_name(file)
    hidden, others = len(found) - len(files), len(files) - len(tables)
    left = f"{len(tables)} tables and {others} other files are uploaded, and {hidden} hidden files are not."
    return files, left if hidden or others else ""


def _check_name(file: Path) -> None:
    """Refuse a name that is not UTF-8, and so cannot be the key of an object in S3."""
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise LocalError(f"{file.name!r} is not UTF-8, as names in S3 have to be; rename the file.") from None
