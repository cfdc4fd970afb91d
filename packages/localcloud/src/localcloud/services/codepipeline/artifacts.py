"""Artifacts of an execution: zip files in the pipeline's bucket."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import archives
from localcloud.services.codepipeline.errors import configuration_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json
    from localcloud.services.codepipeline.declaration import Declaration

# AWS shortens the names to these lengths.
PIPELINE_LENGTH, ARTIFACT_LENGTH, RANDOM_LENGTH = 20, 10, 7
LETTERS = string.ascii_letters + string.digits


@dataclass
class Artifacts:
    """The artifacts of one execution, and the key of each in the bucket."""

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
        """Store a text and return its URL, for a request that could not hold the text itself."""
        key = self._key(name)
        bucket = self.declaration.bucket
        self.connect("s3").put_object(Bucket=bucket, Key=key, Body=text.encode())
        return f"https://s3.{self.region}.amazonaws.com/{bucket}/{key}"

    def get(self, name: str) -> bytes:
        """Return an artifact's zip file."""
        answer = self.connect("s3").get_object(Bucket=self.declaration.bucket, Key=self.keys[name])
        return bytes(answer["Body"].read())

    def read(self, path: str) -> str:
        """Return the text of `Artifact::file`.

        Raises:
            ActionError: the artifact does not exist, or does not have the file.
        """
        name, _, member = path.partition("::")
        if name not in self.keys:
            raise configuration_error(f"{path}: artifact {name} does not exist")
        content = archives.read_member(self.get(name), member)
        if content is None:
            raise configuration_error(f"File [{member}] does not exist in artifact [{name}]")
        return content.decode()

    def locations(self, names: tuple[str, ...]) -> list[Json]:
        """Return the locations of artifacts, as ListActionExecutions shows them."""
        bucket = self.declaration.bucket
        return [
            {"name": name, "s3location": {"bucket": bucket, "key": self.keys[name]}}
            for name in names
            if name in self.keys
        ]

    def _key(self, name: str) -> str:
        unique = "".join(secrets.choice(LETTERS) for _ in range(RANDOM_LENGTH))
        return f"{self.declaration.name[:PIPELINE_LENGTH]}/{name[:ARTIFACT_LENGTH]}/{unique}"
