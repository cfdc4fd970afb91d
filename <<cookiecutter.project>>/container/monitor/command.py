"""From data, or from the partial profiles of several instances, to a baseline or to a comparison with one."""

from collections.abc import Iterator, Mapping

from container.data import dialects, table_files
from container.data.schema import Schema
from container.monitor import baseline_file, checks, metrics, partial_profile, report, shards, unusable
from container.monitor.baseline import write_baseline
from container.monitor.baseline_file import Baseline
from container.monitor.checks import Comparison, Violation
from container.monitor.files import statistics_document, write
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.monitor.reading import counted_texts, readers
from container.monitor.report import Outcome
from container.monitor.settings import Settings
from container.monitor.tables import batches
from container.monitor.unusable import UnusableShare
from container.monitor.worker import Task
from container.monitor.worker_pool import WorkerPool
from container.runtime.errors import UserError
from container.runtime.files import write_atomically
from container.runtime.paths import ResourceConfig


def run(settings: Settings, resources: ResourceConfig, pool: WorkerPool) -> str:
    """Do what the settings ask for, with the processes of a worker pool; return the outcome in one line."""
    if settings.ground_truth:
        from container.monitor import quality  # noqa: PLC0415 - scikit-learn takes a second, and data does not need it

        return quality.run(settings, resources)
    baseline = _baseline(settings)
    if settings.partial_source:
        return _conclude(_merge(settings, baseline), baseline, settings)
    is_alone = len(resources.hosts) == 1
    profiled = (
        _profile_captured(settings, baseline, pool)
        if settings.captured and baseline
        else _profile_tables(settings, baseline, is_alone=is_alone)
    )
    if is_alone:
        return _conclude(profiled, baseline, settings)
    path = settings.output / "partial" / f"{resources.current_host}.json"
    write_atomically(path, profiled.serialize().decode())
    rows = profiled.profile.rows
    return f"Completed: {resources.current_host} has profiled {rows} rows, which are to be merged."


def _baseline(settings: Settings) -> Baseline | None:
    if settings.statistics is None or settings.constraints is None:
        return None
    return baseline_file.read(settings.statistics, settings.constraints)


def _profile_captured(settings: Settings, baseline: Baseline, pool: WorkerPool) -> PartialProfile:
    task = Task(baseline.names, baseline.known_texts, settings.window, baseline.schema)
    return shards.profile(settings.source, task, pool)


def _profile_tables(settings: Settings, baseline: Baseline | None, *, is_alone: bool) -> PartialProfile:
    """Profile the tables of this instance; one of several instances may have none."""
    profiled = PartialProfile(TableProfile(known_texts=_known_texts(settings, baseline)))
    read = readers(baseline.schema if baseline else None)
    if is_alone or table_files.present(settings.source, table_files.CSV):
        # A schema says that `prepare` wrote the tables.
        delimiter = dialects.WRITTEN if settings.schema else dialects.AUTO
        for batch in batches(settings.source, header=settings.header, delimiter=delimiter):
            profiled.profile.update(
                batch.with_columns(read[name].texts(batch[name]) for name in batch.columns if name in read)
            )
    return profiled


def _known_texts(settings: Settings, baseline: Baseline | None) -> Mapping[str, frozenset[str]]:
    if baseline:
        return baseline.known_texts
    return counted_texts(Schema.read(settings.schema / "schema.json")) if settings.schema else {}


def _merge(settings: Settings, baseline: Baseline | None) -> PartialProfile:
    paths = sorted(settings.partial_source.rglob("*.json")) if settings.partial_source else []
    if not paths:
        raise UserError(f"{settings.partial_source} has no partial result: each instance leaves one")
    known_texts = _known_texts(settings, baseline)
    merged = PartialProfile(TableProfile(known_texts=known_texts))
    for path in paths:
        merged.merge(partial_profile.deserialize(path.read_bytes(), known_texts, path.name))
    return merged


def _conclude(profiled: PartialProfile, baseline: Baseline | None, settings: Settings) -> str:
    profile, counts = profiled.profile, profiled.counts
    profile.finalize()
    if baseline is None:
        return write_baseline(profile, settings.output, settings.drift_threshold, settings.schema)
    write(settings.output / "statistics.json", statistics_document(profile))
    is_compared = profile.rows + counts.too_few_columns >= settings.minimum
    comparison = checks.compare(profiled, baseline, settings.minimum) if is_compared else Comparison([], {})
    published = metrics.of_data(profile, comparison, baseline, settings.dimensions) if is_compared else []
    lost = unusable.of_records(counts, profile.rows)
    published += metrics.of_quality({lost.metric: lost.share} if lost else {}, settings.dimensions)
    outcome = Outcome(
        rows=profile.rows,
        compared=is_compared,
        violations=[*_of_unusable(lost, settings.max_unusable), *comparison.violations],
        counts=counts,
        metrics=metrics.publish(published, settings.output, settings.cloudwatch_output, settings.window.end),
        minimum=settings.minimum,
        unmeasured=comparison.unmeasured,
    )
    report.write_outcome(settings.output, outcome)
    return outcome.message


def _of_unusable(lost: UnusableShare | None, limit: float) -> Iterator[Violation]:
    if lost and lost.share > limit:
        yield Violation("Unusable records", "unusable_records_check", lost.description(limit))
