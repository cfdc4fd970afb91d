"""Root privileges, which the process drops before its code reads any data."""

import os
from pathlib import Path

from container.runtime.paths import ContainerPaths


def drop_privileges() -> None:
    """Change from root to the user that CONTAINER_USER names by its numeric id.

    SageMaker starts every container as root and mounts directories that only root may write. So the image
    starts as root, gives the job's output directories to its user, and is that user from then on.
    """
    user = os.environ.get("CONTAINER_USER", "")
    if not user or os.geteuid() != 0:
        return
    user_id, paths = int(user), ContainerPaths.current()
    monitor_output = paths.rebase(os.environ.get("output_path", "")).resolve()  # noqa: SIM112 - Model Monitor's name
    outputs = [paths.model, paths.failure.parent, paths.processing_output]
    if monitor_output.is_relative_to(paths.base.resolve()):
        outputs.append(monitor_output)
    for directory in outputs:
        _change_owner(directory, user_id)
    os.setgroups([])
    os.setgid(user_id)
    os.setuid(user_id)


def _change_owner(directory: Path, user_id: int) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, user_id, user_id, follow_symlinks=False)
    except OSError:
        return  # an endpoint's model is mounted read-only, and nothing is written there
