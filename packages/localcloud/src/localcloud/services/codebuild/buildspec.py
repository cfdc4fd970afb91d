"""The buildspec, version 0.2, read into dataclasses; what the local cloud can't do is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
KNOWN = ("version", "env", "phases", "artifacts", "cache", "reports")
KNOWN_ENV = ("shell", "variables", "parameter-store", "exported-variables", "git-credential-helper")
KNOWN_PHASE = ("commands", "finally", "runtime-versions", "on-failure", "steps")


class BuildspecError(Exception):
    """The buildspec can't be used; the text says why."""


@dataclass(frozen=True)
class Phase:
    """A phase's commands, those that run after them whatever happens, and what a failure means."""

    commands: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    on_failure: str = ""


@dataclass(frozen=True)
class Artifact:
    """Files that a build leaves: patterns below a directory."""

    files: tuple[str, ...]
    base_directory: str = ""
    exclude: tuple[str, ...] = ()
    discard_paths: bool = False


@dataclass(frozen=True)
class Buildspec:
    """A buildspec."""

    shell: str = "sh"
    variables: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    phases: dict[str, Phase] = field(default_factory=dict)
    primary: Artifact | None = None
    secondary: dict[str, Artifact] = field(default_factory=dict)


def parse(text: str) -> Buildspec:
    """Read a buildspec; raise BuildspecError."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"YAML_FILE_ERROR: {' '.join(str(error).split())}") from None
    content = mapping(content, "the buildspec")
    if str(content.get("version")) != "0.2":
        raise BuildspecError(f"the local cloud reads version 0.2, not {content.get('version')!r}")
    only(content, KNOWN, "the buildspec")
    env = mapping(content.get("env"), "env")
    only(env, KNOWN_ENV, "env")
    phases = mapping(content.get("phases"), "phases")
    only(phases, PHASES, "phases")
    artifacts = mapping(content.get("artifacts"), "artifacts")
    return Buildspec(
        shell=str(env.get("shell", "sh")),
        variables=texts(env.get("variables"), "env/variables"),
        parameters=texts(env.get("parameter-store"), "env/parameter-store"),
        exported=listed(env.get("exported-variables"), "env/exported-variables"),
        phases={name: phase(given, name) for name, given in phases.items()},
        primary=artifact(artifacts, "artifacts") if "files" in artifacts else None,
        secondary={
            name: artifact(mapping(given, name), name)
            for name, given in mapping(artifacts.get("secondary-artifacts"), "secondary-artifacts").items()
        },
    )


def phase(given: Any, name: str) -> Phase:
    """Read a phase."""
    content = mapping(given, name)
    only(content, KNOWN_PHASE, name)
    on_failure = str(content.get("on-failure", ""))
    if on_failure not in ("", "ABORT", "CONTINUE"):
        raise BuildspecError(f"{name}/on-failure is {on_failure!r}; the local cloud has ABORT and CONTINUE")
    return Phase(
        listed(content.get("commands"), f"{name}/commands"),
        listed(content.get("finally"), f"{name}/finally"),
        on_failure,
    )


def artifact(content: dict[str, Any], name: str) -> Artifact:
    """Read what an artifact is made of."""
    return Artifact(
        files=listed(content.get("files"), f"{name}/files"),
        base_directory=str(content.get("base-directory") or ""),
        exclude=listed(content.get("exclude-paths"), f"{name}/exclude-paths"),
        discard_paths=str(content.get("discard-paths", "no")).lower() in ("yes", "true"),
    )


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a mapping, an empty one for nothing."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BuildspecError(f"{name} must be a mapping")
    return value


def texts(value: Any, name: str) -> dict[str, str]:
    """Return a mapping of texts; YAML reads some of them as numbers."""
    return {str(key): str(member) for key, member in mapping(value, name).items()}


def listed(value: Any, name: str) -> tuple[str, ...]:
    """Return a list of texts; CodeBuild takes a single one for a list of it."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    if any(isinstance(item, (dict, list)) for item in items):
        raise BuildspecError(f"YAML_FILE_ERROR: Expected {name} to be of string type: quote what has a colon")
    return tuple(str(item) for item in items)


def only(content: dict[str, Any], known: tuple[str, ...], name: str) -> None:
    """Refuse what the local cloud would leave out."""
    unknown = sorted(set(map(str, content)) - set(known))
    if unknown:
        raise BuildspecError(f"{name} has {', '.join(unknown)}, which the local cloud doesn't know")
