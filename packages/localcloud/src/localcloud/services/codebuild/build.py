"""One build: the phases of a buildspec, in a copy of the source, from submission to artifacts."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from localcloud.core import account, archives, disk_errors, ministack
from localcloud.core.clock import now
from localcloud.services.codebuild import buildspec
from localcloud.services.codebuild.buildspec import Artifact, Buildspec, BuildspecError, Phase
from localcloud.services.codebuild.shell import Shell, write_programs
from localcloud.services.codebuild.variables import PhaseError, build_variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localcloud.core.context import CloudContext
    from localcloud.core.service import Json

logger = logging.getLogger(__name__)
DEFAULT_SPEC = "buildspec.yml"
STATE = "state"  # the folder of what one command leaves to the next


class Handover(Protocol):
    """Where a build's source comes from and its artifacts go to."""

    def sources(self) -> list[tuple[str, bytes]]:
        """Return the zips, the primary one first, each with its name."""

    def deliver(self, name: str, content: bytes) -> None:
        """Take the zip of an artifact; the primary one has no name."""

    def wanted(self) -> tuple[str, ...]:
        """Name the artifacts that are taken."""

    def parameter(self, name: str) -> str:
        """Return the value of a parameter of Systems Manager."""


@dataclass(frozen=True)
class Cause:
    """Who started a build, and with what."""

    initiator: str
    version: str = ""
    variables: tuple[Json, ...] = ()


@dataclass
class PhaseRecord:
    """A phase that has begun."""

    kind: str
    started: float = field(default_factory=now)
    ended: float | None = None
    status: str = ""
    error: PhaseError | None = None

    def described(self) -> Json:
        """Return the phase as BatchGetBuilds shows it."""
        shown: Json = {"phaseType": self.kind, "startTime": self.started}
        if self.ended is not None:
            shown |= {"endTime": self.ended, "durationInSeconds": int(self.ended - self.started)}
            shown["phaseStatus"] = self.status
        if self.error:
            shown["contexts"] = [{"statusCode": self.error.code, "message": self.error.message}]
        return shown


class Build:
    """A thread that runs the phases; the directories are `.local/builds/ID/`."""

    def __init__(
        self, context: CloudContext, project: Json, number: int, handover: Handover, cause: Cause
    ) -> None:
        """Take the project as this build has it; `begin` starts it."""
        self.context, self.project, self.number = context, project, number
        self.handover, self.cause = handover, cause
        own = str(uuid.uuid4())
        self.id = f"{project['name']}:{own}"
        self.arn = context.arn("codebuild", f"build/{self.id}")
        self.base = context.state / "builds" / own
        self.log = context.state / "logs" / "builds" / f"{project['name']}-{own}.log"
        self.started, self.ended = now(), 0.0
        self.status = "IN_PROGRESS"
        self.phases = [PhaseRecord("SUBMITTED")]
        self.exported: dict[str, str] = {}
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._shell: Shell | None = None
        self._ending = ""
        # What the project's own commands may take is no wait of AWS, and no clock scales it.
        limit = 60.0 * project["timeoutInMinutes"]
        self._timer = threading.Timer(limit, ministack.in_context(lambda: self.end("TIMED_OUT")))

    def begin(self) -> None:
        """Start the build in a thread of its own."""
        self._announce()
        threading.Thread(target=ministack.in_context(self._run), name=self.id, daemon=True).start()
        self._timer.daemon = True
        self._timer.start()

    def end(self, status: str = "STOPPED") -> None:
        """End the build, as stopped or timed out."""
        with self._lock:
            if self._ending or self.over.is_set():
                return
            self._ending = status
            shell = self._shell
        if shell:
            shell.end()

    def failure(self) -> PhaseRecord | None:
        """Return the first phase that failed."""
        return next((phase for phase in self.phases if phase.error), None)

    def describe(self) -> Json:
        """Return what BatchGetBuilds answers."""
        described: Json = {
            "id": self.id,
            "arn": self.arn,
            "buildNumber": self.number,
            "startTime": self.started,
            "currentPhase": self.phases[-1].kind,
            "buildStatus": self.status,
            "projectName": self.project["name"],
            "phases": [phase.described() for phase in self.phases],
            "initiator": self.cause.initiator,
            "buildComplete": self.over.is_set(),
            "logs": {"deepLink": self.log.as_uri()},
            "exportedEnvironmentVariables": [
                {"name": name, "value": value} for name, value in self.exported.items()
            ],
        }
        given = (
            "source",
            "environment",
            "serviceRole",
            "timeoutInMinutes",
            "queuedTimeoutInMinutes",
            "encryptionKey",
        )
        described |= {key: self.project[key] for key in given if key in self.project}
        if self.cause.version:
            described |= {"sourceVersion": self.cause.version, "resolvedSourceVersion": self.cause.version}
        return described | ({"endTime": self.ended} if self.ended else {})

    def _run(self) -> None:
        with ministack.scope(self.context.region):
            try:
                with disk_errors.named(self.base):
                    succeeded = self._stages()
            except OSError as error:
                logger.exception("%s failed", self.id)
                self._fail(PhaseError("INTERNAL_SERVICE_ERROR", disk_errors.explained(error)))
                succeeded = False
            except Exception as error:
                logger.exception("%s failed", self.id)
                self._fail(PhaseError("INTERNAL_SERVICE_ERROR", f"{type(error).__name__}: {error}"))
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
            # After a failed build there is still its aftermath; after what comes before it there is not.
            if name != "build" or phase.on_failure == "ABORT" or self._ending:
                return False
        self.exported = shell.values(spec.exported)
        return self._upload(spec) and succeeded

    def _commands(self, shell: Shell, phase: Phase) -> bool:
        """Run a phase's commands up to the first that fails, then those that always run."""
        failed = self._first_failure(shell, phase.commands)
        after = self._first_failure(shell, phase.last)
        if error := failed or after:
            self._fail(error)
        return error is None

    def _first_failure(self, shell: Shell, commands: tuple[str, ...]) -> PhaseError | None:
        for command in commands:
            self._say(f"[Container] Running command {command}")
            if self._ending:
                return PhaseError("BUILD_" + self._ending, f"Build has been {self._ending.lower()}")
            if code := shell.run(command):
                why = f"Error while executing command: {command}. Reason: exit status {code}"
                why += disk_errors.shortage(self.base)
                return PhaseError("COMMAND_EXECUTION_ERROR", why)
        return None

    def _upload(self, spec: Buildspec) -> bool:
        self._enter("UPLOAD_ARTIFACTS")
        try:
            for name in self.handover.wanted():
                made = spec.secondary.get(name, spec.primary)
                self.handover.deliver(name, archives.packed(chosen(self.base / "src", made)))
        except PhaseError as error:
            self._fail(error)
            return False
        return True

    def _download(self) -> Buildspec:
        shutil.rmtree(self.base, ignore_errors=True)
        source = self.base / "src"
        source.mkdir(parents=True)
        for number, (name, content) in enumerate(self.handover.sources()):
            archives.unpack(content, source if number == 0 else self.base / "inputs" / name)
        given = str(self.project["source"].get("buildspec") or DEFAULT_SPEC)
        return buildspec.parse(given if "\n" in given else read_spec(source, given))

    def _open(self, spec: Buildspec) -> Shell:
        programs = self.base / "bin"
        write_programs(programs)
        home, temporary = self.base / "home", self.base / "tmp"
        home.mkdir()
        temporary.mkdir()
        path = f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {**build_variables(self, spec), "PATH": path, "TMPDIR": str(temporary)}
        variables = account.for_job(os.environ, home, own)
        shell = Shell(spec.shell, self.base / STATE, self.base / "src", variables, self.log)
        with self._lock:
            self._shell = shell
        if self._ending:
            shell.end()
        return shell

    def _enter(self, kind: str) -> None:
        self._leave()
        self.phases.append(PhaseRecord(kind))
        self._say(f"[Container] Entering phase {kind}")

    def _leave(self) -> None:
        phase = self.phases[-1]
        phase.status = ("FAILED" if phase.error else "SUCCEEDED") if not phase.status else phase.status
        phase.ended = now()

    def _fail(self, error: PhaseError) -> None:
        self.phases[-1].error = error
        self.phases[-1].status = "FAILED"
        self._say(f"[Container] Phase {self.phases[-1].kind} failed: {error}")

    def _say(self, line: str) -> None:
        # A build ends, and says why, also when its log can't be written.
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
        # The variables that the commands had, the cloud's access key among them.
        shutil.rmtree(self.base / STATE, ignore_errors=True)
        if self.status == "SUCCEEDED" or disk_errors.shortage(self.base):
            # What a failed build leaves is looked into, unless the disk is full: then its room is worth more.
            shutil.rmtree(self.base, ignore_errors=True)
        self.over.set()

    def _announce(self) -> None:
        detail = {
            "build-status": self.status,
            "project-name": self.project["name"],
            "build-id": self.arn,
            "current-phase": self.phases[-1].kind,
            "version": "1",
        }
        ministack.put_event("aws.codebuild", "CodeBuild Build State Change", detail, [self.arn])


def read_spec(source: Path, name: str) -> str:
    """Read the buildspec in the source."""
    path = (source / name).resolve()
    if not path.is_relative_to(source.resolve()) or not path.is_file():
        raise PhaseError("YAML_FILE_ERROR", f"stat {name}: no such file or directory")
    return path.read_text(encoding="utf-8")


def chosen(source: Path, artifact: Artifact | None) -> Iterator[tuple[str, Path]]:
    """Return the files of an artifact, each with its name in it; raise PhaseError when there are none."""
    if artifact is None:
        raise PhaseError("CLIENT_ERROR", "the buildspec names no artifacts, and one is wanted")
    base = source
    if artifact.base_directory:
        found_bases = sorted(path for path in source.glob(artifact.base_directory) if path.is_dir())
        if not found_bases:
            raise PhaseError(
                "CLIENT_ERROR", f"no matching base directory path found for {artifact.base_directory}"
            )
        base = found_bases[0]
    left_out = {path for pattern in artifact.exclude for path in base.glob(pattern)}
    found = {
        path
        for pattern in artifact.files
        for path in base.glob(pattern)
        if path.is_file() and path not in left_out
    }
    if not found:
        raise PhaseError("CLIENT_ERROR", f"no matching artifact paths found for {', '.join(artifact.files)}")
    return (
        (path.name if artifact.discard_paths else path.relative_to(base).as_posix(), path)
        for path in sorted(found)
    )
