"""The line that a person sees while a command waits; nothing without a terminal."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from delivery.view import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET_SECONDS = 2.0
REFRESH_SECONDS = 0.5


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Show a text with the seconds on a terminal's standard error, once the body takes over two seconds."""
    if not errors.is_terminal:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(text, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(text: str, done: threading.Event) -> None:
    began = time.monotonic()
    if done.wait(QUIET_SECONDS):
        return
    with errors.status(text) as status:
        while not done.wait(REFRESH_SECONDS):
            status.update(f"{text} ({time.monotonic() - began:.0f} s)")
