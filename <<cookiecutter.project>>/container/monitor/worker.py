"""A part of the captured requests, profiled: by this process, or by one of its own that starts here.

Such a process takes its task as a line of JSON on standard input, and writes its partial result to standard
output. Its parent keeps standard input open, so that a worker whose parent has gone ends with it.
"""

import json
import select
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from container.monitor.capture import Counts, Share, Window, blocks, events
from container.monitor.partial import Partial
from container.monitor.profile import TableProfile
from container.monitor.request_rows import Rows

_ORPHANED = "the monitor that started this worker has gone"


@dataclass(frozen=True)
class Task:
    """Hold what is looked for: columns in the order of the model's input, texts to count, and the window."""

    names: tuple[str, ...]
    known: Mapping[str, frozenset[str]]
    window: Window

    def to_json(self, shares: Iterable[Share]) -> str:
        """Return the task for some parts as one line."""
        known = {name: sorted(texts) for name, texts in self.known.items()}
        parts = [(str(share.path), share.start, share.end) for share in shares]
        task = {"names": self.names, "known": known, "window": asdict(self.window), "shares": parts}
        return json.dumps(task)


def profile(shares: Iterable[Share], task: Task, on_block: Callable[[], None] = lambda: None) -> Partial:
    """Profile the rows that callers sent."""
    found = Partial(TableProfile(known=task.known), Counts())
    rows = Rows(found.profile, task.names, found.counts)
    for share in shares:
        for chunks in blocks(share, found.counts):
            rows.collect(events(chunks, task.window, found.counts))
            rows.flush()
            on_block()
    return found


def main() -> None:
    """Do the task of standard input."""
    given = json.loads(sys.stdin.buffer.readline() or "null")
    if given is None:
        sys.exit(_ORPHANED)
    known = {name: frozenset(texts) for name, texts in given["known"].items()}
    task = Task(tuple(given["names"]), known, Window(**given["window"]))
    shares = [Share(Path(path), start, end) for path, start, end in given["shares"]]
    sys.stdout.buffer.write(profile(shares, task, _end_when_orphaned).stored())


def _end_when_orphaned() -> None:
    if select.select([sys.stdin], [], [], 0)[0]:
        sys.exit(_ORPHANED)


if __name__ == "__main__":
    main()
