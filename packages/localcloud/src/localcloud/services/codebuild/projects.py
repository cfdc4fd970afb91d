"""Projects and their builds: what CodeBuild's operations and CloudFormation's resources do."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import protocol
from localcloud.core.clock import now
from localcloud.core.errors import ResourceError, ServiceError
from localcloud.core.properties import refused, request_of
from localcloud.services.codebuild.artifacts import Buckets, check_types
from localcloud.services.codebuild.build import Build, Cause, Handover

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

DEFAULT_TIMEOUT = 60
KEPT = ("Triggers", "ResourceAccessRole", "Visibility")  # of the resource, and not of CreateProject
CLOSE_SECONDS = 5.0


@dataclass
class Projects:
    """Projects by name, and all builds by id, the newest last."""

    context: CloudContext
    connect: Callable[[str], Any]
    projects: dict[str, Json] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, request: Json) -> Json:
        """Create a project."""
        name = request["name"]
        if name in self.projects:
            raise ServiceError("ResourceAlreadyExistsException", f"Project already exists: {self.arn(name)}")
        return {"project": self._keep(request)}

    def get(self, request: Json) -> Json:
        """Describe projects."""
        names = request["names"]
        return filled(
            projects=[self.projects[name] for name in names if name in self.projects],
            projectsNotFound=[name for name in names if name not in self.projects],
        )

    def list(self, request: Json) -> Json:  # noqa: ARG002  # an operation's signature
        """List the projects' names."""
        return filled(projects=sorted(self.projects))

    def start(self, request: Json) -> Json:
        """Start a build that nothing but the project feeds."""
        project = overridden(self.find(request["projectName"]), request)
        if "CODEPIPELINE" in (project["source"]["type"], project["artifacts"]["type"]):
            raise ServiceError(
                "InvalidInputException",
                f"Project {project['name']} takes its source from a pipeline: start the pipeline.",
            )
        cause = Cause(
            "local", request.get("sourceVersion", ""), tuple(request.get("environmentVariablesOverride", []))
        )
        return {"build": self.begin(project, Buckets(self.connect, project, cause.version), cause).describe()}

    def begin(self, project: Json, handover: Handover, cause: Cause) -> Build:
        """Start a build of a project."""
        with self.lock:
            number = self.numbers[project["name"]] = self.numbers.get(project["name"], 0) + 1
            build = Build(self.context, project, number, handover, cause)
            self.builds[build.id] = build
        build.begin()
        return build

    def batch(self, request: Json) -> Json:
        """Describe builds."""
        ids = request["ids"]
        return filled(
            builds=[self.builds[own].describe() for own in ids if own in self.builds],
            buildsNotFound=[own for own in ids if own not in self.builds],
        )

    def list_builds(self, request: Json) -> Json:
        """List a project's builds, or all, the newest first."""
        name = request.get("projectName")
        if name is not None:
            self.find(name)
        found = reversed(list(self.builds.values()))
        return filled(ids=[build.id for build in found if name in (None, build.project["name"])])

    def stop(self, request: Json) -> Json:
        """Stop a build."""
        build = self.builds.get(request["id"])
        if build is None:
            raise ServiceError("ResourceNotFoundException", f"Build {request['id']} cannot be found")
        build.end()
        build.over.wait(CLOSE_SECONDS)
        return {"build": build.describe()}

    def delete(self, request: Json) -> Json:
        """Delete a project; what builds goes on."""
        self.projects.pop(request["name"], None)
        return {}

    def find(self, name: str) -> Json:
        """Return a project."""
        if name not in self.projects:
            raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {self.arn(name)}")
        return self.projects[name]

    def arn(self, name: str) -> str:
        """Return a project's ARN."""
        return self.context.arn("codebuild", f"project/{name}")

    def close(self) -> None:
        """End every build."""
        running = [build for build in list(self.builds.values()) if not build.over.is_set()]
        for build in running:
            build.end()
        for build in running:
            build.over.wait(CLOSE_SECONDS)

    def made(self, properties: Json, default_name: str) -> tuple[str, Json]:
        """Make a project for CloudFormation, whose physical id is its name."""
        request = self._request({"Name": default_name, **properties})
        try:
            self.create(request)
        except ServiceError as error:
            raise refused("AWSCodeBuild", error) from None
        return request["name"], {"Arn": self.arn(request["name"])}

    def changed(self, physical_id: str, old: Json, new: Json, default_name: str) -> tuple[str, Json]:
        """Change a project in place, or make another one under another name."""
        if new.get("Name", physical_id) != physical_id or ("Name" in old) != ("Name" in new):
            return self.made(new, default_name)
        self._keep(self._request({**new, "Name": physical_id}), self.projects.get(physical_id))
        return physical_id, {"Arn": self.arn(physical_id)}

    def deleted(self, physical_id: str, properties: Json) -> None:  # noqa: ARG002  # a handler's signature
        """Delete a project."""
        self.projects.pop(physical_id, None)

    def _request(self, properties: Json) -> Json:
        shape = protocol.model("codebuild").operation_model("CreateProject").input_shape
        given = {key: value for key, value in properties.items() if key not in KEPT}
        try:
            request = request_of(given, shape)
            check_types(request)
        except ServiceError as error:
            raise refused("AWSCodeBuild", error) from None
        if properties.get("Triggers"):
            raise ResourceError("The local cloud has no webhooks: leave out Triggers.")
        return request

    def _keep(self, request: Json, former: Json | None = None) -> Json:
        check_types(request)
        project: Json = {
            "timeoutInMinutes": DEFAULT_TIMEOUT,
            **request,
            "arn": self.arn(request["name"]),
            "created": (former or {}).get("created", now()),
            "lastModified": now(),
        }
        self.projects[request["name"]] = project
        return project


def filled(**lists: Sequence[Any]) -> Json:
    """Return an answer of those lists that hold something; the API has no empty ones."""
    return {name: items for name, items in lists.items() if items}


def overridden(project: Json, request: Json) -> Json:
    """Return a project with what a start puts in place of its settings."""
    made = copy.deepcopy(project)
    for given, (member, inner) in {
        "sourceTypeOverride": ("source", "type"),
        "sourceLocationOverride": ("source", "location"),
        "buildspecOverride": ("source", "buildspec"),
        "imageOverride": ("environment", "image"),
    }.items():
        if given in request:
            made[member][inner] = request[given]
    if "artifactsOverride" in request:
        made["artifacts"] = request["artifactsOverride"]
    if "timeoutInMinutesOverride" in request:
        made["timeoutInMinutes"] = request["timeoutInMinutesOverride"]
    check_types(made)
    return made
