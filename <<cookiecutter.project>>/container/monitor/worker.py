"""Profiling some shards of the captured requests, in this process or, as a program, in a worker process.

A worker process reads its task as a line of JSON from standard input, and writes its partial profile to
standard output. Its parent keeps standard input open: when the parent ends, standard input ends, and the
worker exits.
"""

import json
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from container.data.schema import Schema
from container.monitor.capture import Counts, Shard, blocks, events
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import TableProfile
from container.monitor.reading import readers
from container.monitor.request_rows import RequestRows
from container.monitor.window import Window

_ORPHANED = "the monitor that started this worker has gone"


@dataclass(frozen=True)
class Task:
    """Hold what to profile: columns in the order of the model's input, texts to count, and the window.

    `schema` has the features whose cells are read by it, where the baseline names some.
    """

    names: tuple[str, ...]
    known_texts: Mapping[str, frozenset[str]]
    window: Window
    schema: Schema | None = None

    def to_json(self, shards: Iterable[Shard]) -> str:
        """Return the task for some shards as one line."""
        task = {
            "names": self.names,
            "known_texts": {name: sorted(texts) for name, texts in self.known_texts.items()},
            "window": asdict(self.window),
            "schema": self.schema.to_json() if self.schema else None,
            "shards": [(str(shard.path), shard.start, shard.end) for shard in shards],
        }
        return json.dumps(task)


def profile(
    shards: Iterable[Shard], task: Task, on_block: Callable[[], None] = lambda: None
) -> PartialProfile:
    """Profile the rows that callers sent; `on_block` is called after every 8 MiB or so."""
    profiled = PartialProfile(TableProfile(known_texts=task.known_texts), Counts())
    rows = RequestRows(profiled.profile, task.names, profiled.counts, readers(task.schema))
    for shard in shards:
        for chunks in blocks(shard, profiled.counts):
            rows.collect(events(chunks, task.window, profiled.counts))
            rows.flush()
            on_block()
    return profiled


def main() -> None:
    """Profile what the task of standard input says."""
    given = json.loads(sys.stdin.buffer.readline() or "null")
    if given is None:
        sys.exit(_ORPHANED)
    known_texts = {name: frozenset(texts) for name, texts in given["known_texts"].items()}
    schema = Schema.from_json(given["schema"]) if given.get("schema") else None
    task = Task(tuple(given["names"]), known_texts, Window(**given["window"]), schema)
    shards = [Shard(Path(path), start, end) for path, start, end in given["shards"]]
    sys.stdout.buffer.write(profile(shards, task, _exit_when_orphaned).serialize())


def _exit_when_orphaned() -> None:
    # Nothing follows the task on standard input, so that it is readable only when it has ended.
    if select.select([sys.stdin], [], [], 0)[0]:
        sys.exit(_ORPHANED)


if __name__ == "__main__":
    main()
