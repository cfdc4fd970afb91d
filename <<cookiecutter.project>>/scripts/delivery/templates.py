"""CloudFormation templates: checked before anything is sent, and as small as a request takes them."""

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

from scripts.delivery.cloud import DeliveryError
from scripts.templates.read import read_template

if TYPE_CHECKING:
    from scripts.delivery.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]
LONGEST_BODY = 51_200  # bytes, of CloudFormation
LINTER = "cfn-lint"


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
        """What the template takes, by name."""
        found: dict[str, dict[str, Any]] = self.content.get("Parameters", {})
        return found

    @cached_property
    def body(self) -> str:
        """The template as it is sent: the file itself, or where that is too long, compact JSON."""
        text = self.path.read_text(encoding="utf-8")
        if len(text.encode()) > LONGEST_BODY:
            text = json.dumps(self.content, separators=(",", ":"))
        if len(text.encode()) > LONGEST_BODY:
            size = len(text.encode())
            raise DeliveryError(
                f"{self.path.name} has {size} bytes, and CloudFormation takes {LONGEST_BODY}."
            )
        return text

    @property
    def digest(self) -> str:
        """The first half of a SHA-256 over the file: another for each change."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    def check(self, cloud: Cloud) -> None:
        """Raise DeliveryError with what cfn-lint or CloudFormation has against the template."""
        lint(self.path)
        try:
            cloud.client("cloudformation").validate_template(TemplateBody=self.body)
        except ClientError as error:
            raise DeliveryError(f"{self.path.name}: {error.response['Error']['Message']}") from None


def own(name: str) -> Template:
    """Give the template of pipeline/."""
    return Template(ROOT / "pipeline" / name)


def lint(path: Path) -> None:
    """Raise DeliveryError with what cfn-lint has against the file."""
    found = remarks(path, path.read_bytes())
    if found is not None:
        raise DeliveryError(f"{LINTER} refuses {path.name}:\n{found}")


@cache
def remarks(path: Path, content: bytes) -> str | None:  # noqa: ARG001 - another content is linted anew
    """Run cfn-lint with the project's settings over one file; None when it has nothing against that."""
    command = str(Path(sys.executable).with_name(LINTER))
    settings = ["--config-file", str(ROOT / ".cfnlintrc.yaml")] if path.is_relative_to(ROOT) else []
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
