"""Projects and their builds: the operations of CodeBuild."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from localcloud.core import kept
from localcloud.core.clock import now
from localcloud.core.service import Kept
from localcloud.services.codebuild.artifacts import S3ArtifactStore, check_types
from localcloud.services.codebuild.build import Build
from localcloud.services.codebuild.errors import already_exists, invalid_input, not_found
from localcloud.services.codebuild.models import StartOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.codebuild.models import ArtifactStore

DEFAULT_TIMEOUT_MINUTES = 60
OVERRIDES = {
    "sourceTypeOverride": ("source", "type"),
    "sourceLocationOverride": ("source", "location"),
    "buildspecOverride": ("source", "buildspec"),
    "imageOverride": ("environment", "image"),
}
STOP_SECONDS = 5.0  # how long to wait until a build that was stopped has ended


@dataclass
class Projects:
    """Projects by name, and all builds by id, the newest last."""

    context: CloudContext
    connect: Callable[[str], Any]
    projects: dict[str, Json] = field(default_factory=dict)
    builds: dict[str, Build] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def kept(self) -> dict[str, Kept]:
        """Return how projects and builds outlive the cloud."""
        return {
            "projects": Kept.table(self.projects),
            "numbers": Kept.table(self.numbers),
            "builds": Kept(self._save, self._load, noun="builds"),
        }

    def _save(self) -> list[Json]:
        return [each.saved() for each in kept.newest(self.builds.values())]

    def _load(self, saved: list[Json]) -> None:
        for each in saved:
            store = S3ArtifactStore(self.connect, each["project"], each["options"]["source_version"])
            build = Build.restored(self.context, store, each)
            self.builds[build.id] = build

    def create(self, request: Json) -> Json:
        """Create a project.

        Raises:
            ServiceError: there is a project of this name, or its types are not supported.
        """
        name = request["name"]
        if name in self.projects:
            raise already_exists(f"Project already exists: {self.arn(name)}")
        return {"project": self.put(request)}

    def get(self, request: Json) -> Json:
        """Describe projects."""
        names = request["names"]
        return _without_empty(
            projects=[self.projects[name] for name in names if name in self.projects],
            projectsNotFound=[name for name in names if name not in self.projects],
        )

    def list(self, request: Json) -> Json:  # noqa: ARG002 - an operation's signature
        """List the projects' names."""
        return _without_empty(projects=sorted(self.projects))

    def start(self, request: Json) -> Json:
        """Start a build whose source and artifacts the project names.

        Raises:
            ServiceError: the project does not exist, or takes its source from a pipeline.
        """
        project = _with_overrides(self.find(request["projectName"]), request)
        if "CODEPIPELINE" in (project["source"]["type"], project["artifacts"]["type"]):
            raise invalid_input(
                f"Project {project['name']} takes its source from a pipeline: start the pipeline."
            )
        options = StartOptions(
            "local", request.get("sourceVersion", ""), tuple(request.get("environmentVariablesOverride", []))
        )
        store = S3ArtifactStore(self.connect, project, options.source_version)
        return {"build": self.begin(project, store, options).describe()}

    def begin(self, project: Json, store: ArtifactStore, options: StartOptions) -> Build:
        """Start a build of a project."""
        with self.lock:
            number = self.numbers[project["name"]] = self.numbers.get(project["name"], 0) + 1
            build = Build(self.context, project, number, store, options)
            self.builds[build.id] = build
        build.begin()
        return build

    def get_builds(self, request: Json) -> Json:
        """Describe builds."""
        ids = request["ids"]
        return _without_empty(
            builds=[self.builds[build_id].describe() for build_id in ids if build_id in self.builds],
            buildsNotFound=[build_id for build_id in ids if build_id not in self.builds],
        )

    def list_builds(self, request: Json) -> Json:
        """List a project's builds, or all, the newest first."""
        name = request.get("projectName")
        if name is not None:
            self.find(name)
        builds = reversed(list(self.builds.values()))
        return _without_empty(ids=[build.id for build in builds if name in (None, build.project["name"])])

    def stop(self, request: Json) -> Json:
        """Stop a build.

        Raises:
            ServiceError: the build does not exist.
        """
        build = self.builds.get(request["id"])
        if build is None:
            raise not_found(f"Build {request['id']} cannot be found")
        build.end()
        build.finished.wait(STOP_SECONDS)
        return {"build": build.describe()}

    def delete(self, request: Json) -> Json:
        """Delete a project; its running builds continue."""
        self.projects.pop(request["name"], None)
        return {}

    def find(self, name: str) -> Json:
        """Return a project.

        Raises:
            ServiceError: the project does not exist.
        """
        if name not in self.projects:
            raise not_found(f"Project cannot be found: {self.arn(name)}")
        return self.projects[name]

    def arn(self, name: str) -> str:
        """Return a project's ARN."""
        return self.context.arn("codebuild", f"project/{name}")

    def processes(self) -> dict[str, dict[str, int]]:
        """Return the process id of each running build; a build has one instance."""
        running = [build for build in list(self.builds.values()) if not build.finished.is_set()]
        return {build.arn: {"build": build.pid} if build.pid else {} for build in running}

    def close(self) -> None:
        """End every build."""
        running = [build for build in list(self.builds.values()) if not build.finished.is_set()]
        for build in running:
            build.end()
        for build in running:
            build.finished.wait(STOP_SECONDS)

    def put(self, request: Json) -> Json:
        """Keep a project, in place of the one of the same name if there is one."""
        check_types(request)
        former = self.projects.get(request["name"], {})
        project: Json = {
            "timeoutInMinutes": DEFAULT_TIMEOUT_MINUTES,
            **request,
            "arn": self.arn(request["name"]),
            "created": former.get("created", now()),
            "lastModified": now(),
        }
        self.projects[request["name"]] = project
        return project


def _without_empty(**lists: Sequence[Any]) -> Json:
    """Return the lists that are not empty: the API leaves empty lists out."""
    return {name: items for name, items in lists.items() if items}


def _with_overrides(project: Json, request: Json) -> Json:
    """Return a project with the settings that a start of a build overrides."""
    changed = copy.deepcopy(project)
    for override, (member, setting) in OVERRIDES.items():
        if override in request:
            changed[member][setting] = request[override]
    if "artifactsOverride" in request:
        changed["artifacts"] = request["artifactsOverride"]
    if "timeoutInMinutesOverride" in request:
        changed["timeoutInMinutes"] = request["timeoutInMinutesOverride"]
    check_types(changed)
    return changed
