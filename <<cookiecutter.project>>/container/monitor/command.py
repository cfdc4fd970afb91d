"""From data, or from what several instances know of it, to a baseline or to a comparison with one."""

from container.data import tables
from container.monitor import baseline_file, checks, metrics, partial, report, shards
from container.monitor.baseline import write_baseline
from container.monitor.baseline_file import Reference
from container.monitor.checks import Finding
from container.monitor.files import statistics_document, write, write_text
from container.monitor.partial import Partial
from container.monitor.profile import TableProfile
from container.monitor.report import Outcome
from container.monitor.settings import Settings
from container.monitor.tables import batches
from container.monitor.worker import Task
from container.monitor.worker_pool import Crew
from container.runtime.errors import UserError
from container.runtime.paths import ResourceConfig


def run(settings: Settings, resources: ResourceConfig, crew: Crew) -> str:
    """Do what is asked for, with the processes of a crew; return the outcome in one line."""
    if settings.truth:
        from container.monitor import quality  # noqa: PLC0415  most comparisons never need it

        return quality.run(settings, resources)
    baseline = _reference(settings)
    if settings.partials:
        return _conclude(_merged(settings, baseline), baseline, settings)
    alone = len(resources.hosts) == 1
    found = (
        _captured(settings, baseline, crew)
        if settings.captured and baseline
        else _table(settings, baseline, alone=alone)
    )
    if alone:
        return _conclude(found, baseline, settings)
    path = settings.output / "partial" / f"{resources.current_host}.json"
    write_text(path, found.stored().decode())
    return (
        f"Completed: {resources.current_host} has profiled {found.profile.rows} rows, which are to be merged."
    )


def _reference(settings: Settings) -> Reference | None:
    if settings.statistics is None or settings.constraints is None:
        return None
    return baseline_file.read(settings.statistics, settings.constraints)


def _captured(settings: Settings, baseline: Reference, crew: Crew) -> Partial:
    task = Task(baseline.names, baseline.known, settings.window)
    return shards.profile(settings.source, task, crew)


def _table(settings: Settings, baseline: Reference | None, *, alone: bool) -> Partial:
    """Profile the tables of this instance, which may have none of them when it is not alone."""
    found = Partial(TableProfile(known=baseline.known if baseline else {}))
    if alone or tables.present(settings.source, tables.CSV):
        for batch in batches(settings.source, header=settings.header):
            found.profile.update(batch)
    return found


def _merged(settings: Settings, baseline: Reference | None) -> Partial:
    paths = sorted(settings.partials.rglob("*.json")) if settings.partials else []
    if not paths:
        raise UserError(f"there is no partial result in {settings.partials}: each instance leaves one")
    known = baseline.known if baseline else {}
    merged = Partial(TableProfile(known=known))
    for path in paths:
        merged.merge(partial.restored(path.read_bytes(), known, path.name))
    return merged


def _conclude(found: Partial, baseline: Reference | None, settings: Settings) -> str:
    found.profile.settle()
    if baseline is None:
        return write_baseline(found.profile, settings.output, settings.threshold)
    write(settings.output / "statistics.json", statistics_document(found.profile))
    compared = found.profile.rows + found.counts.narrow >= settings.minimum
    finding = checks.compare(found, baseline, settings.minimum) if compared else Finding([], {})
    published = metrics.of_data(found.profile, finding, baseline, settings.watched) if compared else []
    outcome = Outcome(
        rows=found.profile.rows,
        compared=compared,
        violations=finding.violations,
        counts=found.counts,
        metrics=metrics.publish(published, settings.output, settings.handed_over, settings.window.end),
        minimum=settings.minimum,
    )
    report.write_outcome(settings.output, outcome)
    return outcome.message
