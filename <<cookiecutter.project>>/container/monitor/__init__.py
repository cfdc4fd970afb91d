"""The command `monitor`: a baseline of data, or data compared with one, by the contract of Model Monitor.

`settings` lists the environment variables. The command writes

    statistics.json, constraints.json               a baseline, in the form of AWS's analyzer
    statistics.json, constraint_violations.json     a comparison with one, in its form too
    summary.json                                    the same in short, with what was left out and why
    metrics/0.json, …                               what a state machine publishes by putMetricData
    partial/<host>.json                             instead of these, when several instances share the work

A second job with `partial_source` merges the partial profiles of several instances.
"""

import os

from container.monitor import worker_pool
from container.monitor.settings import Settings
from container.monitor.worker_pool import WorkerPool
from container.runtime.paths import ContainerPaths


def main() -> None:
    """Do what the environment asks for; leave the outcome as the job's exit message."""
    place = ContainerPaths.current()
    settings = Settings.read(os.environ, place)
    outcome = _run_parallel(settings, place) if settings.is_parallel else _run(settings, place, [])
    place.message.parent.mkdir(parents=True, exist_ok=True)
    place.message.write_text(outcome + "\n", encoding="utf-8")
    print(f"monitor: {outcome}", flush=True)  # noqa: T201 - the log of a job is its output


def _run_parallel(settings: Settings, place: ContainerPaths) -> str:
    # The processes share the processors, so that one thread is enough for each. Polars reads the variable at
    # its import, which happens in _run.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    with worker_pool.start(settings.source) as pool:
        return _run(settings, place, pool)


def _run(settings: Settings, place: ContainerPaths, pool: WorkerPool) -> str:
    from container.monitor import command  # noqa: PLC0415 - the processes of the pool import it at the same time

    return command.run(settings, place.resources(), pool)
