"""The reader of project.toml."""

from __future__ import annotations

import json
import tomllib
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.checks import check_consistency
from pipeline.errors import SettingsError, dotted, list_with_is_or_are, shortened
from pipeline.rules import Rule, is_number
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

MAX_HYPERPARAMETERS, MAX_HYPERPARAMETER_LENGTH = 100, 2500  # of SageMaker
# The hyperparameters that the pipeline gives to each model, and the entries that they come from.
RESERVED_HYPERPARAMETERS = {"model": "model.name", "seed": "data.seed", "refit": "model.refit"}

T = TypeVar("T")


def read_settings(path: Path) -> Settings:
    """Read and check project.toml.

    Raises:
        SettingsError: if the file cannot be read, for the first entry that breaks its rule, or for the first
            entries that contradict each other.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot be read as TOML: {error}.") from None
    settings = read_section(Settings, table, "")
    check_consistency(settings)
    return settings


def read_section(kind: type[T], table: Any, where: str) -> T:
    """Make the dataclass of a section from its table; `where` is the section's dotted name.

    Raises:
        SettingsError: for the first entry that is unknown, missing or breaks its rule.
    """
    if not isinstance(table, dict):
        raise SettingsError(f"{where} has to be a section: write [{where}] above its entries.")
    known = {declared.name: declared for declared in fields(kind)}  # type: ignore[arg-type]
    for name in sorted(table.keys() - known.keys()):
        raise SettingsError(
            f"nothing reads {dotted(where, name)}: correct or remove it; there {list_with_is_or_are(known)}."
        )
    return kind(**{name: read_entry(declared, table, where) for name, declared in known.items()})


def read_entry(declared: Any, table: dict[str, Any], where: str) -> Any:
    """Read one entry or section of a table, or take the entry's default.

    Raises:
        SettingsError: if the entry is missing or breaks its rule.
    """
    name = declared.name
    if "section" in declared.metadata:
        return read_section(declared.metadata["section"], table.get(name, {}), dotted(where, name))
    if "rule" not in declared.metadata:
        return read_hyperparameters(table.get(name, {}))
    rule: Rule = declared.metadata["rule"]
    example = declared.metadata["example"]
    value = table.get(name, declared.default)
    if value is MISSING:
        raise SettingsError(f"{dotted(where, name)} is missing: add {name} = {example} to [{where}].")
    if not rule.accepts(value):
        raise SettingsError(
            f"{dotted(where, name)} is {shortened(value)}, but has to be {rule.description},"
            f" such as {example}."
        )
    return value


def read_hyperparameters(table: Any) -> dict[str, str]:
    """Convert the model's hyperparameters to texts, the one type that SageMaker takes.

    Raises:
        SettingsError: for too many hyperparameters, reserved names, and values that cannot be a text.
    """
    where = "model.hyperparameters"
    if not isinstance(table, dict) or len(table) > MAX_HYPERPARAMETERS - len(RESERVED_HYPERPARAMETERS):
        raise SettingsError(f"{where} has to be a section of at most 97 entries: SageMaker takes no more.")
    for name, place in RESERVED_HYPERPARAMETERS.items():
        if name in table:
            raise SettingsError(f"{where}.{name} has its own place: give it as {place} instead.")
    return {name: hyperparameter_text(dotted(where, name), value) for name, value in table.items()}


def hyperparameter_text(where: str, value: Any) -> str:
    """Write a number, text or truth value as text.

    Raises:
        SettingsError: for a value of another type, and for a text that is too long for SageMaker.
    """
    if not isinstance(value, str | bool) and not is_number(value):
        raise SettingsError(f"{where} is {shortened(value)}, but has to be a number, a text, true or false.")
    written = value if isinstance(value, str) else json.dumps(value)
    if len(written) > MAX_HYPERPARAMETER_LENGTH:
        raise SettingsError(
            f"{where} has {len(written)} characters, but SageMaker takes at most 2,500: shorten it."
        )
    return written
