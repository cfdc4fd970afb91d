"""A template that the scripts deploy: checked before it is sent, and small enough for a request."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError
from delivery.templates.read import read_template

if TYPE_CHECKING:
    from delivery.cloud import Cloud, Project

MAX_BODY = 51_200  # bytes of a template in a request to CloudFormation
LINTER = "cfn-lint"
LINTER_SETTINGS = ".cfnlintrc.yaml"  # in the project's folder


@dataclass(frozen=True)
class Template:
    """A template's file."""

    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """The template, short forms written out."""
        return read_template(self.path)

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The declarations of the template's parameters by name."""
        parameters: dict[str, dict[str, Any]] = self.content.get("Parameters", {})
        return parameters

    @cached_property
    def body(self) -> str:
        """The template as it is sent: the file itself, or compact JSON where the file is too long.

        Raises:
            DeliveryError: The JSON is too long as well.

        """
        text = self.path.read_text(encoding="utf-8")
        if len(text.encode()) > MAX_BODY:
            text = json.dumps(self.content, separators=(",", ":"))
        if len(text.encode()) > MAX_BODY:
            size = len(text.encode())
            raise DeliveryError(f"{self.path.name} has {size} bytes, and CloudFormation takes {MAX_BODY}.")
        return text

    @property
    def digest(self) -> str:
        """The first half of the file's SHA-256."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def check(self, cloud: Cloud) -> None:
        """Check the template with cfn-lint and CloudFormation.

        Raises:
            DeliveryError: One of them refuses the template, with its remarks.

        """
        lint(self.path)
        try:
            cloud.client("cloudformation").validate_template(TemplateBody=self.body)
        except ClientError as error:
            raise DeliveryError(f"{self.path.name}: {error.response['Error']['Message']}") from None


def load_template(project: Project, name: str) -> Template:
    """Return a template of the project's folder pipeline/."""
    return Template(project.root / "pipeline" / name)


def lint(path: Path) -> None:
    """Check a file with cfn-lint.

    Raises:
        DeliveryError: cfn-lint has remarks, or is not installed.

    """
    text = remarks(path, path.read_bytes())
    if text is not None:
        raise DeliveryError(f"{LINTER} refuses {path.name}:\n{text}")


@cache
def remarks(path: Path, content: bytes) -> str | None:  # noqa: ARG001 - a part of the cache's key
    """Return the remarks of cfn-lint, with the nearest settings above the file; None where it has none.

    Raises:
        DeliveryError: cfn-lint is not installed.

    """
    command = str(Path(sys.executable).with_name(LINTER))
    above = (folder / LINTER_SETTINGS for folder in path.absolute().parents)
    settings = next((["--config-file", str(file)] for file in above if file.is_file()), [])
    try:
        done = subprocess.run(
            [command, *settings, "--template", str(path)],
            cwd=path.parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise DeliveryError(
            f"{LINTER} checks templates before they are deployed: run `make setup-dev`."
        ) from None
    return (done.stdout or done.stderr).strip() if done.returncode != 0 else None
