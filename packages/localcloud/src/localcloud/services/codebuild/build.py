"""One build: the phases of a buildspec, in a copy of the source, from submission to artifacts."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from localcloud.core import account, archives, disk_errors, kept, ministack
from localcloud.core.clock import now
from localcloud.services.codebuild import buildspec
from localcloud.services.codebuild.buildspec import Artifact, Buildspec, Phase
from localcloud.services.codebuild.errors import BuildspecError, PhaseError, client_error, internal_error
from localcloud.services.codebuild.models import BuildSettings, PhaseRecord, StartOptions
from localcloud.services.codebuild.shell import Shell, write_programs
from localcloud.services.codebuild.variables import build_variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json
    from localcloud.services.codebuild.models import ArtifactStore

logger = logging.getLogger(__name__)
DEFAULT_SPEC = "buildspec.yml"
# The attributes that outlive the cloud, besides the options and the phases.
KEPT = ("id", "project", "number", "started", "ended", "status", "exported")
STATE = "state"  # the folder with the variables that one command leaves to the next
DESCRIBED_SETTINGS = (
    "source",
    "environment",
    "serviceRole",
    "timeoutInMinutes",
    "queuedTimeoutInMinutes",
    "encryptionKey",
)


class Build:
    """A thread that runs the phases in a folder of its own, `builds/ID` of the cloud's state."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a build
        self,
        context: CloudContext,
        project: Json,
        number: int,
        store: ArtifactStore,
        options: StartOptions,
        unique: str = "",
    ) -> None:
        """Keep the project as it is now; `begin` starts the build."""
        self.context, self.project, self.number = context, project, number
        self.store, self.options = store, options
        unique = unique or str(uuid.uuid4())
        self.id = f"{project['name']}:{unique}"
        self.arn = context.arn("codebuild", f"build/{self.id}")
        self.folder = context.state / "builds" / unique
        self.log = context.state / "logs" / "builds" / f"{project['name']}-{unique}.log"
        self.started, self.ended = now(), 0.0
        self.status = "IN_PROGRESS"
        self.phases = [PhaseRecord("SUBMITTED")]
        self.exported: dict[str, str] = {}
        self.finished = threading.Event()
        self._lock = threading.Lock()
        self._shell: Shell | None = None
        self._ending = ""
        # The time that the project's own commands may take is not a wait of AWS: the clock does not scale it.
        limit = 60.0 * project["timeoutInMinutes"]
        self._timer = threading.Timer(limit, ministack.in_context(lambda: self.end("TIMED_OUT")))

    def saved(self) -> Json:
        """Return what of the build outlives the cloud."""
        return {
            **kept.attributes(self, KEPT),
            "options": asdict(self.options),
            "phases": [phase.saved() for phase in list(self.phases)],
        }

    @classmethod
    def restored(cls, context: CloudContext, store: ArtifactStore, saved: Json) -> Build:
        """Return the build that `saved` described; if it ran, the end of the cloud has stopped it."""
        options = StartOptions(**saved["options"])
        build = cls(
            context, saved["project"], saved["number"], store, options, saved["id"].rpartition(":")[2]
        )
        kept.restore(build, KEPT, saved)
        build.phases = [PhaseRecord.restored(each) for each in saved["phases"]]
        if build.status == "IN_PROGRESS":
            build.status, build.ended = "STOPPED", build.phases[-1].ended or build.phases[-1].started
            build.phases[-1].error = PhaseError("BUILD_STOPPED", kept.STOPPED)
            build.phases[-1].status, build.phases[-1].ended = "STOPPED", build.ended
        build.finished.set()
        return build

    def begin(self) -> None:
        """Start the build in a thread of its own."""
        self._announce()
        self._activity = self.context.activities.begin(code=True)
        threading.Thread(target=ministack.in_context(self._run), name=self.id, daemon=True).start()
        self._timer.daemon = True
        self._timer.start()

    def end(self, status: str = "STOPPED") -> None:
        """End the build, as stopped or timed out."""
        with self._lock:
            if self._ending or self.finished.is_set():
                return
            self._ending = status
            shell = self._shell
        if shell:
            shell.end()

    @property
    def pid(self) -> int | None:
        """The id of the process group of the command that runs now."""
        return self._shell.pid if self._shell else None

    def failure(self) -> PhaseRecord | None:
        """Return the first phase that failed."""
        return next((phase for phase in self.phases if phase.error), None)

    def describe(self) -> Json:
        """Return the build in the answer of BatchGetBuilds."""
        description: Json = {
            "id": self.id,
            "arn": self.arn,
            "buildNumber": self.number,
            "startTime": self.started,
            "currentPhase": self.phases[-1].kind,
            "buildStatus": self.status,
            "projectName": self.project["name"],
            "phases": [phase.describe() for phase in self.phases],
            "initiator": self.options.initiator,
            "buildComplete": self.finished.is_set(),
            "logs": {"deepLink": self.log.as_uri()},
            "exportedEnvironmentVariables": [
                {"name": name, "value": value} for name, value in self.exported.items()
            ],
        }
        description |= {key: self.project[key] for key in DESCRIBED_SETTINGS if key in self.project}
        if version := self.options.source_version:
            description |= {"sourceVersion": version, "resolvedSourceVersion": version}
        return description | ({"endTime": self.ended} if self.ended else {})

    def _run(self) -> None:
        with ministack.scope(self.context.region):
            try:
                with disk_errors.named(self.folder):
                    succeeded = self._stages()
            except OSError as error:
                logger.exception("%s failed", self.id)
                self._fail(internal_error(disk_errors.explained(error)))
                succeeded = False
            except Exception as error:
                logger.exception("%s failed", self.id)
                self._fail(internal_error(f"{type(error).__name__}: {error}"))
                succeeded = False
            self._finish("SUCCEEDED" if succeeded else "FAILED")

    def _stages(self) -> bool:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        for kind in ("QUEUED", "PROVISIONING"):
            self._enter(kind)
        try:
            self._enter("DOWNLOAD_SOURCE")
            spec = self._download()
        except (PhaseError, BuildspecError, archives.ArchiveError) as error:
            code = "YAML_FILE_ERROR" if isinstance(error, BuildspecError) else "CLIENT_ERROR"
            self._fail(error if isinstance(error, PhaseError) else PhaseError(code, str(error)))
            return False
        return self._phases(spec)

    def _phases(self, spec: Buildspec) -> bool:
        shell = self._open(spec)
        succeeded = True
        for name in buildspec.PHASES:
            self._enter(name.upper())
            phase = spec.phases.get(name, Phase())
            shell.set("CODEBUILD_BUILD_SUCCEEDING", str(int(succeeded)))
            if self._commands(shell, phase) or phase.on_failure == "CONTINUE":
                continue
            succeeded = False
            # After a failed build phase post_build still runs; after a phase before it none does.
            if name != "build" or phase.on_failure == "ABORT" or self._ending:
                return False
        self.exported = shell.values(spec.exported)
        return self._upload(spec) and succeeded

    def _commands(self, shell: Shell, phase: Phase) -> bool:
        """Run a phase's commands up to the first that fails, then those of `finally`."""
        failure = self._first_failure(shell, phase.commands)
        finally_failure = self._first_failure(shell, phase.finally_commands)
        if error := failure or finally_failure:
            self._fail(error)
        return error is None

    def _first_failure(self, shell: Shell, commands: tuple[str, ...]) -> PhaseError | None:
        for command in commands:
            self._log(f"[Container] Running command {command}")
            if self._ending:
                return PhaseError("BUILD_" + self._ending, f"Build has been {self._ending.lower()}")
            if code := shell.run(command):
                why = f"Error while executing command: {command}. Reason: exit status {code}"
                why += disk_errors.shortage(self.folder)
                return PhaseError("COMMAND_EXECUTION_ERROR", why)
        return None

    def _upload(self, spec: Buildspec) -> bool:
        self._enter("UPLOAD_ARTIFACTS")
        try:
            for name in self.store.artifact_names():
                artifact = spec.secondary.get(name, spec.primary)
                self.store.put(name, archives.pack(_artifact_files(self.folder / "src", artifact)))
        except PhaseError as error:
            self._fail(error)
            return False
        return True

    def _download(self) -> Buildspec:
        shutil.rmtree(self.folder, ignore_errors=True)
        source = self.folder / "src"
        source.mkdir(parents=True)
        for number, (name, content) in enumerate(self.store.sources()):
            archives.unpack(content, source if number == 0 else self.folder / "inputs" / name)
        spec = str(self.project["source"].get("buildspec") or DEFAULT_SPEC)
        return buildspec.parse(spec if "\n" in spec else _read_spec(source, spec))

    def _open(self, spec: Buildspec) -> Shell:
        programs = self.folder / "bin"
        write_programs(programs)
        home, temporary = self.folder / "home", self.folder / "tmp"
        home.mkdir()
        temporary.mkdir()
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {**build_variables(self._settings(), spec), "PATH": path, "TMPDIR": str(temporary)}
        variables = account.for_job(os.environ, home, own)
        shell = Shell(spec.shell, self.folder / STATE, self.folder / "src", variables, self.log)
        with self._lock:
            self._shell = shell
        if self._ending:
            shell.end()
        return shell

    def _settings(self) -> BuildSettings:
        return BuildSettings(
            self.id,
            self.arn,
            self.number,
            self.started,
            self.folder,
            self.context.project.image,
            self.project,
            self.options,
            self.store.parameter,
        )

    def _enter(self, kind: str) -> None:
        self._leave()
        self.phases.append(PhaseRecord(kind))
        self._log(f"[Container] Entering phase {kind}")

    def _leave(self) -> None:
        phase = self.phases[-1]
        phase.status = ("FAILED" if phase.error else "SUCCEEDED") if not phase.status else phase.status
        phase.ended = now()

    def _fail(self, error: PhaseError) -> None:
        self.phases[-1].error = error
        self.phases[-1].status = "FAILED"
        self._log(f"[Container] Phase {self.phases[-1].kind} failed: {error}")

    def _log(self, line: str) -> None:
        # A build ends with its reason even when its log can't be written.
        with suppress(OSError), self.log.open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def _finish(self, status: str) -> None:
        self._enter("FINALIZING")
        self._enter("COMPLETED")
        self._leave()
        with self._lock:
            self.status = self._ending or status
            self.ended = now()
        self._timer.cancel()
        self._announce()
        # This folder holds the commands' variables, and among them the cloud's access key.
        shutil.rmtree(self.folder / STATE, ignore_errors=True)
        if self.status == "SUCCEEDED" or disk_errors.shortage(self.folder):
            # A failed build's files stay for its owner to read, unless the disk is full.
            shutil.rmtree(self.folder, ignore_errors=True)
        self.finished.set()
        self._activity.end()

    def _announce(self) -> None:
        detail = {
            "build-status": self.status,
            "project-name": self.project["name"],
            "build-id": self.arn,
            "current-phase": self.phases[-1].kind,
            "version": "1",
        }
        ministack.put_event("aws.codebuild", "CodeBuild Build State Change", detail, [self.arn])


def _read_spec(source: Path, name: str) -> str:
    """Read the buildspec in the source."""
    path = (source / name).resolve()
    if not path.is_relative_to(source.resolve()) or not path.is_file():
        raise PhaseError("YAML_FILE_ERROR", f"stat {name}: no such file or directory")
    return path.read_text(encoding="utf-8")


def _artifact_files(source: Path, artifact: Artifact | None) -> Iterator[tuple[str, Path]]:
    """Return the files of an artifact, each with its name in the artifact."""
    if artifact is None:
        raise client_error("the buildspec names no artifacts, and one is wanted")
    base = _base_directory(source, artifact.base_directory)
    excluded = {path for pattern in artifact.exclude for path in base.glob(pattern)}
    paths = {path for pattern in artifact.files for path in base.glob(pattern) if path.is_file()} - excluded
    if not paths:
        raise client_error(f"no matching artifact paths found for {', '.join(artifact.files)}")
    return (
        (path.name if artifact.discard_paths else path.relative_to(base).as_posix(), path)
        for path in sorted(paths)
    )


def _base_directory(source: Path, pattern: str) -> Path:
    if not pattern:
        return source
    matches = sorted(path for path in source.glob(pattern) if path.is_dir())
    if not matches:
        raise client_error(f"no matching base directory path found for {pattern}")
    return matches[0]
