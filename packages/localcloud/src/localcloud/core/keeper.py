"""Keeps the state of a running cloud on disk, and puts that of the cloud before it back."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from localcloud.core import kept, ministack, ministack_state, persisted_objects, private_files
from localcloud.core.clock import now
from localcloud.core.errors import CloudError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json, Kept, Service

logger = logging.getLogger(__name__)
# Of one processor at most this share is spent on saving while nothing but metrics and logs come, and this
# share when something else has changed. No save is sooner than SHORTEST seconds after the last.
QUIET_SHARE, BUSY_SHARE, SHORTEST = 0.01, 0.05, 0.5
POLL_SECONDS = 0.1
RETRY_COST = 0.5  # seconds that a save counts as which has failed


class Keeper:
    """Saves again and again what the services keep, while anything changes, and once more at the end."""

    def __init__(self, context: CloudContext, services: Iterable[Service]) -> None:
        """Take the services, whose parts are kept in their order."""
        self._context = context
        self._parts = {
            (service.name, name): part for service in services for name, part in service.kept.items()
        }
        self._saved = ""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self, state: Json) -> None:
        """Put back what was kept, before the first request.

        Raises:
            CloudError: a part can't be put back.
        """
        with ministack.scope(self._context.region):
            for name, saved in state["ministack"].items():
                self._load(f"state of {name}", partial(ministack_state.load, name, saved))
            for (service, name), part in self._parts.items():
                saved = state["services"].get(service, {}).get(name)
                if saved is not None:
                    self._load(f"{name} of {service}", partial(part.load, saved))

    def _load(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            logger.exception("the %s can't be put back", what)
            reason = f"the {what} can't be put back: {type(error).__name__}: {error}"
            raise CloudError(kept.damaged(self._context.project, reason)) from error

    def begin(self) -> None:
        """Start again what has to run, and save again and again in a thread."""
        kept.want(self._context.project, wanted=True)
        with contextlib.suppress(OSError):  # on a full disk; the first save reports it
            (private_files.folder(kept.folder(self._context.project)) / kept.UNSAVED).touch()
        with ministack.scope(self._context.region):
            for part in self._parts.values():
                part.resume()
        self._thread = threading.Thread(target=ministack.in_context(self._keep), name="keeper", daemon=True)
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether what the cloud holds is to be kept, as far as the command that ends it has said."""
        return kept.is_wanted(self._context.project)

    def close(self) -> None:
        """Save what the cloud holds now; what runs is recorded as running, and ends in the next cloud."""
        self._closing.set()
        if self._thread:
            self._thread.join()
        # A removed project is not made anew.
        if self._context.project.lock.exists() and self._save_reporting() is not None:
            (kept.folder(self._context.project) / kept.UNSAVED).unlink(missing_ok=True)

    def _keep(self) -> None:
        while not self._closing.is_set():
            ministack.CHANGED.clear()
            spent = self._save_reporting()
            spent = RETRY_COST if spent is None else spent
            quiet = time.monotonic() + max(SHORTEST, spent / QUIET_SHARE)
            self._closing.wait(max(SHORTEST, spent / BUSY_SHARE))
            while time.monotonic() < quiet and not ministack.CHANGED.is_set():
                if self._closing.wait(POLL_SECONDS):
                    break

    def _save_reporting(self) -> float | None:
        """Save, and return the processor's seconds that it took; None if it has failed."""
        started = time.thread_time()
        try:
            self.save()
        except Exception:
            logger.exception("the state can't be saved: what is kept is that of the last save")
            return None
        return time.thread_time() - started

    def save(self) -> None:
        """Write what the services hold, unless it is what was written last.

        Raises:
            OSError: a file can't be written; its former content stays.
        """
        with self._lock, ministack.scope(self._context.region):
            dropped: dict[str, int] = {}
            counts: dict[str, int] = {}
            persisted_objects.write_all()
            content = self._content(counts, dropped)
            checksum = kept.digest(content)
            if checksum == self._saved:
                return
            kept.write(self._context.project, self._header(checksum, counts, dropped), content)
            self._saved = checksum
            ministack_state.prune()

    def _header(self, checksum: str, counts: dict[str, int], dropped: dict[str, int]) -> kept.Header:
        clock, saved = self._context.clock, now()
        return kept.Header(
            sha256=checksum,
            saved=saved,
            shown=clock.to_simulated(saved),
            counts=counts,
            dropped=dropped,
            segments=[list(each) for each in kept.newest(clock.segments)],
            region=self._context.region,
        )

    def _content(self, counts: dict[str, int], dropped: dict[str, int]) -> bytes:
        names = ministack_state.names()
        clock = self._context.clock
        since = clock.to_real(clock.simulated() - ministack_state.ALARMS_WINDOW)
        first = [name for name in names if name in ministack_state.FIRST]
        backend = {name: ministack_state.save(name, counts, dropped, since) for name in first}
        services: dict[str, dict[str, str]] = {}
        for (service, name), part in self._parts.items():
            services.setdefault(service, {})[name] = _text(part, counts)
        backend |= {
            name: ministack_state.save(name, counts, dropped, since) for name in names if name not in first
        }
        written = {service: _object(parts) for service, parts in services.items()}
        return _object({"ministack": _object(backend), "services": _object(written)}).encode()


def _text(part: Kept, counts: dict[str, int]) -> str:
    """Return a part as JSON, and count the things in it."""
    saved = ministack_state.stable(part.save)
    if part.noun and saved:
        counts[part.noun] = len(saved)
    return str(ministack_state.stable(lambda: json.dumps(saved)))


def _object(members: dict[str, str]) -> str:
    """Return a JSON object of members that are JSON already."""
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"
