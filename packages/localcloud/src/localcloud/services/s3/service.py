"""S3 of ministack with the tags of stacks' buckets, which name the owner of a bucket without its stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.patches import uses
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.service import Json

TYPE = "AWS::S3::Bucket"
_S3 = uses("ministack.services.s3", "_bucket_tags")
_PROVISIONERS = uses(
    "ministack.services.cloudformation.provisioners", "_RESOURCE_HANDLERS", "_STACK_TAG_PROPERTY"
)


def service() -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="s3", install=install)


def install() -> None:
    """Tag buckets as their templates say, and with the tags of CloudFormation itself."""
    handlers = _PROVISIONERS["_RESOURCE_HANDLERS"][TYPE]
    _PROVISIONERS.add("_STACK_TAG_PROPERTY", TYPE, ("Tags", "list"))
    create, update = handlers["create"], handlers["update"]

    def create_tagged(logical_id: str, properties: Json, stack: str) -> tuple[str, Json]:
        return _tag(create(logical_id, properties, stack), properties)

    def update_tagged(physical_id: str, old: Json, new: Json, stack: str) -> tuple[str, Json]:
        return _tag(update(physical_id, old, new, stack), new)

    tagging = {**handlers, "create": create_tagged, "update": update_tagged}
    _PROVISIONERS.add("_RESOURCE_HANDLERS", TYPE, tagging)


def _tag(result: tuple[str, Json], properties: Json) -> tuple[str, Json]:
    """Keep a bucket's tags, and return ministack's result of its creation or update."""
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
    _S3["_bucket_tags"][result[0]] = tags
    return result
