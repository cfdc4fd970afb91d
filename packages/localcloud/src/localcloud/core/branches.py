"""Threads of what runs in parallel: each is active, and who waits for them is not (see activity.py)."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from localcloud.core.activity import Activities, Activity


class BranchThread(threading.Thread):
    """A thread that is active from its start on; a thread that joins it is idle meanwhile."""

    def __init__(self, activities: Activities, **named: Any) -> None:
        """Take the arguments of a thread."""
        super().__init__(**named)
        self._activities = activities
        self._begun: Activity | None = None

    def start(self) -> None:
        """Start, and be active before the thread itself can be."""
        self._begun = self._activities.begin(silent=True)
        super().start()

    def run(self) -> None:
        """Do what the thread is for."""
        with self._activities.active():
            if self._begun:
                self._begun.end()
            super().run()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        with self._activities.idle():
            super().join(timeout)


class BranchPool(ThreadPoolExecutor):
    """A pool in which each item that has a thread is active, and none that waits for one.

    An item that ends makes the next one active before it is inactive itself.
    """

    def __init__(self, activities: Activities, max_workers: int) -> None:
        """Begin without items."""
        super().__init__(max_workers)
        self._activities, self._free, self._queued = activities, max_workers, 0
        self._begun: deque[Activity] = deque()
        self._lock = threading.Lock()

    def submit(self, act: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Let an item be done by the next free thread."""
        with self._lock:
            if self._free:
                self._free -= 1
                self._begun.append(self._activities.begin(silent=True))
            else:
                self._queued += 1
        return super().submit(self._run, act, *arguments, **named)

    def _run(self, act: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with self._activities.active():
            self._begun.popleft().end()
            try:
                return act(*arguments, **named)
            finally:
                self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if self._queued:
                self._queued -= 1
                self._begun.append(self._activities.begin(silent=True))
            else:
                self._free += 1
