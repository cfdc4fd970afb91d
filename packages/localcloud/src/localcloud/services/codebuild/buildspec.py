"""The buildspec, version 0.2, as dataclasses; a part that the local cloud can't follow is an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from localcloud.services.codebuild.errors import BuildspecError

PHASES = ("install", "pre_build", "build", "post_build")
KEYS = ("version", "env", "phases", "artifacts", "cache", "reports")
ENV_KEYS = ("shell", "variables", "parameter-store", "exported-variables", "git-credential-helper")
PHASE_KEYS = ("commands", "finally", "runtime-versions", "on-failure", "steps")


@dataclass(frozen=True)
class Phase:
    """A phase's commands, those of `finally`, which always run, and the phase's `on-failure`."""

    commands: tuple[str, ...] = ()
    finally_commands: tuple[str, ...] = ()
    on_failure: str = ""


@dataclass(frozen=True)
class Artifact:
    """The files of an artifact: patterns below a directory."""

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
    """Read a buildspec.

    Raises:
        BuildspecError: the text is not a buildspec that the local cloud can follow.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"YAML_FILE_ERROR: {' '.join(str(error).split())}") from None
    content = _mapping(content, "the buildspec")
    if str(content.get("version")) != "0.2":
        raise BuildspecError(f"the local cloud reads version 0.2, not {content.get('version')!r}")
    _check_keys(content, KEYS, "the buildspec")
    env = _mapping(content.get("env"), "env")
    _check_keys(env, ENV_KEYS, "env")
    phases = _mapping(content.get("phases"), "phases")
    _check_keys(phases, PHASES, "phases")
    artifacts = _mapping(content.get("artifacts"), "artifacts")
    return Buildspec(
        shell=str(env.get("shell", "sh")),
        variables=_strings(env.get("variables"), "env/variables"),
        parameters=_strings(env.get("parameter-store"), "env/parameter-store"),
        exported=_string_list(env.get("exported-variables"), "env/exported-variables"),
        phases={name: _phase(value, name) for name, value in phases.items()},
        primary=_artifact(artifacts, "artifacts") if "files" in artifacts else None,
        secondary={
            name: _artifact(_mapping(value, name), name)
            for name, value in _mapping(artifacts.get("secondary-artifacts"), "secondary-artifacts").items()
        },
    )


def _phase(value: Any, name: str) -> Phase:
    """Read a phase."""
    content = _mapping(value, name)
    _check_keys(content, PHASE_KEYS, name)
    on_failure = str(content.get("on-failure", ""))
    if on_failure not in ("", "ABORT", "CONTINUE"):
        raise BuildspecError(f"{name}/on-failure is {on_failure!r}; the local cloud has ABORT and CONTINUE")
    return Phase(
        _string_list(content.get("commands"), f"{name}/commands"),
        _string_list(content.get("finally"), f"{name}/finally"),
        on_failure,
    )


def _artifact(content: dict[str, Any], name: str) -> Artifact:
    """Read an artifact."""
    return Artifact(
        files=_string_list(content.get("files"), f"{name}/files"),
        base_directory=str(content.get("base-directory") or ""),
        exclude=_string_list(content.get("exclude-paths"), f"{name}/exclude-paths"),
        discard_paths=str(content.get("discard-paths", "no")).lower() in ("yes", "true"),
    )


def _mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a mapping, which is empty for None."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BuildspecError(f"{name} must be a mapping")
    return value


def _strings(value: Any, name: str) -> dict[str, str]:
    """Return a mapping of strings: YAML reads some of them as numbers."""
    return {str(key): str(member) for key, member in _mapping(value, name).items()}


def _string_list(value: Any, name: str) -> tuple[str, ...]:
    """Return a list of strings; CodeBuild reads a single one as a list of it."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    if any(isinstance(item, (dict, list)) for item in items):
        raise BuildspecError(f"YAML_FILE_ERROR: Expected {name} to be of string type: quote what has a colon")
    return tuple(str(item) for item in items)


def _check_keys(content: dict[str, Any], allowed: tuple[str, ...], name: str) -> None:
    """Check that the local cloud knows every key."""
    unknown = sorted(set(map(str, content)) - set(allowed))
    if unknown:
        raise BuildspecError(f"{name} has {', '.join(unknown)}, which the local cloud doesn't know")
