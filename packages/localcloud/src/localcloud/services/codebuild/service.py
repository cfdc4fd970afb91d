"""CodeBuild: a buildspec's commands as processes of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Resource, Service

if TYPE_CHECKING:
    from localcloud.services.codebuild.projects import Projects


def service(projects: Projects) -> Service:
    """Return the service."""
    return Service(
        name="codebuild",
        operations={
            "CreateProject": projects.create,
            "BatchGetProjects": projects.get,
            "ListProjects": projects.list,
            "DeleteProject": projects.delete,
            "StartBuild": projects.start,
            "BatchGetBuilds": projects.batch,
            "ListBuilds": projects.list_builds,
            "ListBuildsForProject": projects.list_builds,
            "StopBuild": projects.stop,
        },
        resources={"AWS::CodeBuild::Project": Resource(projects.made, projects.changed, projects.deleted)},
        close=projects.close,
    )
