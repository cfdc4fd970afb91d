"""Leave root before any code of ours touches data."""

import os
from pathlib import Path

from container.runtime import paths


def step_down() -> None:
    """Become the user that CONTAINER_USER names (a numeric id) when the process is root.

    SageMaker starts every container as root and mounts directories that only root may write. So the image
    starts as root, gives the job's output directories to its user, and is that user from then on.
    """
    user = os.environ.get("CONTAINER_USER", "")
    if not user or os.geteuid() != 0:
        return
    number, place = int(user), paths.current()
    chosen = place.moved(os.environ.get("output_path", "")).resolve()  # noqa: SIM112  AWS's name
    outputs = [place.model, place.failure.parent, place.processing_output]
    for directory in [*outputs, chosen] if chosen.is_relative_to(place.base.resolve()) else outputs:
        _give(directory, number)
    os.setgroups([])
    os.setgid(number)
    os.setuid(number)


def _give(directory: Path, user: int) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, user, user, follow_symlinks=False)
    except OSError:
        return  # an endpoint's model is mounted read-only, and nothing is written there
