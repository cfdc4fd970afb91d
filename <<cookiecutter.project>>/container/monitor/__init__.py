"""The command `monitor`: data against a baseline, or a baseline of it, by the contract of Model Monitor.

What it reads from the environment stands in `settings`. It writes

    statistics.json, constraints.json               a baseline, in the form of AWS's analyzer
    statistics.json, constraint_violations.json     a comparison with one, in its form too
    summary.json                                    the same in short, with what was left out and why
    metrics/0.json, …                               what a state machine publishes by putMetricData
    partial/<host>.json                             instead of these, when several instances share the work

A second job with `partial_source` merges what several instances left.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from container.monitor.settings import Settings
    from container.monitor.worker_pool import Crew
    from container.runtime.paths import ContainerPaths


def main() -> None:
    """Do what the environment asks for; leave the outcome as the job's message."""
    from container.monitor import settings  # noqa: PLC0415
    from container.runtime.paths import ContainerPaths  # noqa: PLC0415

    here = ContainerPaths.current()
    asked = settings.read(os.environ, here)
    outcome = _shared(asked, here) if asked.is_shared else _run(asked, here, [])
    here.message.parent.mkdir(parents=True, exist_ok=True)
    here.message.write_text(outcome + "\n", encoding="utf-8")
    print(f"monitor: {outcome}", flush=True)  # noqa: T201


def _shared(asked: "Settings", here: "ContainerPaths") -> str:
    from container.monitor import worker_pool  # noqa: PLC0415

    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # each process of the crew has one
    with worker_pool.start(asked.source) as processes:
        return _run(asked, here, processes)


def _run(asked: "Settings", here: "ContainerPaths", crew: "Crew") -> str:
    from container.monitor import command  # noqa: PLC0415

    return command.run(asked, here.resources(), crew)
