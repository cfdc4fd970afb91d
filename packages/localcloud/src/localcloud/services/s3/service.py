"""Buckets of stacks, whose tags ministack leaves out: they tell whose a bucket is that outlived its stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localcloud.core import ministack
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.service import Json

TYPE = "AWS::S3::Bucket"


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="s3", install=install)


def install() -> None:
    """Tag buckets as their templates say, and with the marks of CloudFormation."""
    handlers = ministack.name(ministack.PROVISIONERS, "_RESOURCE_HANDLERS")[TYPE]
    ministack.name(ministack.PROVISIONERS, "_STACK_TAG_PROPERTY")[TYPE] = ("Tags", "list")
    create, update = handlers["create"], handlers["update"]

    def made(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        return tagged(create(logical_id, properties, stack), properties)

    def changed(physical_id: str, old: Json, new: Json, stack: str) -> tuple[str, Json]:
        return tagged(update(physical_id, old, new, stack), new)

    handlers.update(create=made, update=changed)


def tagged(result: tuple[str, Json], properties: Json) -> tuple[str, Json]:
    """Keep a bucket's tags, and return what was made."""
    tags: Any = properties.get("Tags", [])
    ministack.name(ministack.S3, "_bucket_tags")[result[0]] = {tag["Key"]: tag["Value"] for tag in tags}
    return result
