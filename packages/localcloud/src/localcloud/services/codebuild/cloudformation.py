"""The CloudFormation resource type of CodeBuild: projects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localcloud.core import protocol
from localcloud.core.errors import ResourceError
from localcloud.core.properties import as_failure, request_of
from localcloud.services.codebuild.artifacts import check_types

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codebuild.projects import Projects

# Properties of the resource that CreateProject does not have.
RESOURCE_ONLY = ("Triggers", "ResourceAccessRole", "Visibility")


@dataclass(frozen=True)
class ProjectResource:
    """Projects that templates describe; the physical id is the name."""

    projects: Projects

    def create(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Create a project."""
        request = _request({"Name": default_name, **properties})
        with as_failure("AWSCodeBuild"):
            self.projects.create(request)
        return request["name"], self._attributes(request["name"])

    def update(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Change a project in place, or create another project if the name differs."""
        if new.get("Name", physical_id) != physical_id or ("Name" in old) != ("Name" in new):
            return self.create(new, default_name)
        self.projects.put(_request({**new, "Name": physical_id}))
        return physical_id, self._attributes(physical_id)

    def delete(self, physical_id: str, _: Json) -> None:
        """Delete a project."""
        self.projects.delete({"name": physical_id})

    def _attributes(self, name: str) -> Json:
        return {"Arn": self.projects.arn(name)}


def _request(properties: Json) -> Json:
    shape = protocol.model("codebuild").operation_model("CreateProject").input_shape
    with as_failure("AWSCodeBuild"):
        request = request_of({key: properties[key] for key in properties if key not in RESOURCE_ONLY}, shape)
        check_types(request)
    if properties.get("Triggers"):
        raise ResourceError("The local cloud has no webhooks: leave out Triggers.")
    return request
