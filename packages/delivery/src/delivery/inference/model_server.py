"""A model.tar.gz behind the container's own server, for one command."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud import containers, files

from delivery.cloud import DeliveryError
from delivery.interrupts import delayed

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60.0
STOP_SECONDS = 10.0


@contextmanager
def serving(root: Path, state: Path, archive: Path) -> Iterator[tuple[int, Path]]:
    """Serve a model for as long as the context lasts; yield the server's port, and the model's folder.

    Raises:
        DeliveryError: The archive is damaged, or its model can't be served.

    """
    with tempfile.TemporaryDirectory(dir=files.folder(state, "tmp")) as folder:
        base, log = Path(folder), files.folder(state, "logs") / "infer.log"
        _extract(archive, base / "model")
        port = containers.free_port()
        own = {"SAGEMAKER_BASE_DIR": folder, "SAGEMAKER_BIND_TO_PORT": str(port), "SERVING_HOST": "127.0.0.1"}
        job = containers.for_job(os.environ, base, own | {"MODEL_SERVER_WORKERS": "1"})
        child: containers.ManagedProcess | None = None
        try:
            with delayed():
                command = [sys.executable, "-m", "container", "serve"]
                child = containers.ManagedProcess(command, root, job, log)
            _wait(child, port, log)
            yield port, base / "model"
        finally:
            if child:
                child.end(STOP_SECONDS)


def _extract(archive: Path, into: Path) -> None:
    try:
        containers.extract(archive.read_bytes(), into)
    except containers.DataError as error:
        raise DeliveryError(f"{archive}: {error}.") from None


def _wait(child: containers.ManagedProcess, port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.running:
        if containers.answers(port):
            return
        time.sleep(0.05)
    raise DeliveryError(f"The model can't be served; the end of {log}:\n{containers.tail(log)}")
