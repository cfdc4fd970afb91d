"""What every service of the local cloud is given: directories, names, the image's command, children."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.cloud import environment, private
from local.cloud.children import Child
from local.cloud.clock import Clock
from local.cloud.errors import validation_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENTRYPOINT = re.compile(r"^ENTRYPOINT\s+(\[[^\n]*\])\s*$", re.MULTILINE | re.IGNORECASE)
PYTHON = re.compile(r"python(3(\.\d+)?)?")


@dataclass(frozen=True)
class Context:
    """The project's directory, where state goes, and what names are made of."""

    root: Path
    state: Path
    region: str
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def create(cls, root: Path, state: Path, region: str, clock: Clock) -> Context:
        """Remove what a killed cloud left of its jobs and endpoints; logs stay."""
        for name in ("jobs", "endpoints", "builds", "s3", "state", "tmp"):
            shutil.rmtree(state / name, ignore_errors=True)
        private.folder(state, "tmp")
        return cls(root, state, region, clock)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource (`training-job/name`) of a service."""
        return f"arn:aws:{service}:{self.region}:{environment.ACCOUNT}:{resource}"

    def entrypoint(self) -> list[str]:
        """Return the command that container/Dockerfile gives its image, with this Python for `python`."""
        dockerfile = self.root / "container" / "Dockerfile"
        try:
            found = ENTRYPOINT.findall(dockerfile.read_text(encoding="utf-8"))
            return with_this_python(json.loads(found[-1]))
        except (OSError, IndexError, ValueError):
            raise validation_error(
                f'{dockerfile} needs a line ENTRYPOINT ["python", …] in JSON form'
            ) from None

    def spawn(self, command: Sequence[str], base: Path, own: Mapping[str, str], log: Path) -> Child:
        """Start the image's command in the project, with `base` for /opt/ml, on a leash."""
        variables = environment.for_job(os.environ, base, {**own, "SAGEMAKER_BASE_DIR": str(base)})
        return Child(command, self.root, {**variables, "TMPDIR": str(self.state / "tmp")}, log)


def with_this_python(command: Sequence[str]) -> list[str]:
    """Return the command with this interpreter in place of the image's."""
    first, *rest = command
    return [sys.executable if PYTHON.fullmatch(Path(first).name) else first, *rest]
