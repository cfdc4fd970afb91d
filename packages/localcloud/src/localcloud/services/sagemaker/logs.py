"""CloudWatch Logs of jobs and endpoints: the lines of their log files, as they are written."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localcloud.core import ministack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INTERVAL = 0.25  # seconds between two readings
MAX_READ_BYTES = 2**20
# CloudWatch's events stay in the cloud's memory.
MAX_EVENTS = 20_000


@dataclass
class _Stream:
    """A log file, and how much of it is forwarded."""

    group: str
    name: str
    path: Path
    offset: int = 0
    events: int = 0
    made: bool = False

    def forward(self, *, last: bool) -> None:
        """Forward the whole lines that the file has got, and at its end the rest."""
        while self.events < MAX_EVENTS and (block := self._read(last=last)):
            lines = block.decode(errors="replace").splitlines()[: MAX_EVENTS - self.events]
            self.offset += len(block)
            self.events += len(lines)
            if self.events == MAX_EVENTS:
                lines.append(f"localcloud: the lines that follow are in {self.path} only.")
            ministack.put_logs(self.group, self.name, lines, create=not self.made)
            self.made = True

    def _read(self, *, last: bool) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                block = file.read(MAX_READ_BYTES)
        except FileNotFoundError:
            return b""
        end = block.rfind(b"\n") + 1
        return block if len(block) == MAX_READ_BYTES and not end else block if last else block[:end]


@dataclass
class LogForwarder:
    """Forwards log files to the streams of a log group, in a thread, until it is closed."""

    group: str
    region: str
    files: Mapping[str, Path]
    _closing: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def begin(self, *, appended: bool = False) -> None:
        """Start to forward; a stream appears with its first line.

        With `appended` the lines that a log already has are not forwarded again.
        """
        streams = [
            _Stream(self.group, name, path, offset=path.stat().st_size if appended and path.exists() else 0)
            for name, path in self.files.items()
        ]
        self._thread = threading.Thread(target=ministack.in_context(lambda: self._run(streams)), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Forward what is left, and end."""
        self._closing.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self, streams: list[_Stream]) -> None:
        with ministack.scope(self.region):
            while not self._closing.wait(INTERVAL):
                for stream in streams:
                    stream.forward(last=False)
            for stream in streams:
                stream.forward(last=True)
