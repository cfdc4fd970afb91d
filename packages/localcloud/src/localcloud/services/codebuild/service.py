"""CodeBuild: a buildspec's commands as processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Resource, Service
from localcloud.services.codebuild.cloudformation import ProjectResource

if TYPE_CHECKING:
    from localcloud.services.codebuild.projects import Projects


def service(projects: Projects) -> Service:
    """Return the service."""
    resource = ProjectResource(projects)
    return Service(
        name="codebuild",
        operations={
            "CreateProject": projects.create,
            "BatchGetProjects": projects.get,
            "ListProjects": projects.list,
            "DeleteProject": projects.delete,
            "StartBuild": projects.start,
            "BatchGetBuilds": projects.get_builds,
            "ListBuilds": projects.list_builds,
            "ListBuildsForProject": projects.list_builds,
            "StopBuild": projects.stop,
        },
        resources={"AWS::CodeBuild::Project": Resource(resource.create, resource.update, resource.delete)},
        close=projects.close,
        processes=projects.processes,
        kept=projects.kept(),
    )
