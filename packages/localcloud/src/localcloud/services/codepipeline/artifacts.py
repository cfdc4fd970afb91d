"""Artifacts of an execution: zips in the pipeline's bucket."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import archives
from localcloud.services.codepipeline.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.codepipeline.declaration import Declaration

# As AWS shortens them.
PIPELINE_LENGTH, ARTIFACT_LENGTH, OWN_LENGTH = 20, 10, 7
LETTERS = string.ascii_letters + string.digits


@dataclass
class Artifacts:
    """Where each artifact is."""

    declaration: Declaration
    region: str
    connect: Callable[[str], Any]
    keys: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> None:
        """Store an artifact."""
        key = self._key(name)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.declaration.key}
        if not self.declaration.key:
            encryption = {}
        self.connect("s3").put_object(Bucket=self.declaration.bucket, Key=key, Body=content, **encryption)
        self.keys[name] = key

    def publish(self, name: str, text: str) -> str:
        """Store a text and return its address; a request may be too short for it."""
        key = self._key(name)
        bucket = self.declaration.bucket
        self.connect("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        return f"https://s3.{self.region}.amazonaws.com/{bucket}/{key}"

    def get(self, name: str) -> bytes:
        """Return an artifact's zip."""
        answer = self.connect("s3").get_object(Bucket=self.declaration.bucket, Key=self.keys[name])
        return bytes(answer["Body"].read())

    def read(self, path: str) -> str:
        """Return the text of `Artifact::file`."""
        name, _, member = path.partition("::")
        if name not in self.keys:
            raise ActionError("ConfigurationError", f"{path}: there is no artifact {name}")
        content = archives.read_member(self.get(name), member)
        if content is None:
            raise ActionError("ConfigurationError", f"File [{member}] does not exist in artifact [{name}]")
        return content.decode()

    def located(self, names: tuple[str, ...]) -> list[Json]:
        """Return where artifacts are, as ListActionExecutions shows it."""
        bucket = self.declaration.bucket
        return [
            {"name": name, "s3location": {"bucket": bucket, "key": self.keys[name]}}
            for name in names
            if name in self.keys
        ]

    def _key(self, name: str) -> str:
        own = "".join(secrets.choice(LETTERS) for _ in range(OWN_LENGTH))
        return f"{self.declaration.name[:PIPELINE_LENGTH]}/{name[:ARTIFACT_LENGTH]}/{own}"
