"""The rules for entries of project.toml and for arguments, and the declaration of both as fields."""

from __future__ import annotations

import json
import math
import re
from dataclasses import MISSING, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MIN_FRACTION, MAX_FRACTION = 0.01, 0.9
# A stack may have 500 resources, and an alarm's name 255 characters.
MAX_WATCHED_FEATURES, MAX_FEATURE_LENGTH = 100, 200
COLUMN_KINDS = ("numeric", "categorical", "date", "excluded")


@dataclass(frozen=True)
class Rule:
    """A condition for a value, in words and as a function; without an example, the entry's default is one."""

    description: str
    accepts: Callable[[Any], bool]
    example: str = ""


def entry(
    rule: Rule,
    *,
    default: Any = MISSING,
    parameter: str = "",
    texts: Mapping[Any, str] | None = None,
    environment: str = "",
) -> Any:
    """Declare a field whose value the rule has to accept; without a default, the value has to be given.

    Args:
        rule: the condition for the value.
        default: the value where none is given.
        parameter: the parameter of the templates in stacks/ that the value fills; empty for none.
        texts: the parameter's text by value, where the text is not the value itself.
        environment: the environment variable that has the value when the command line does not.
    """
    metadata = {
        "rule": rule,
        "example": rule.example or example_of(default),
        "parameter": parameter,
        "texts": texts or {},
        "environment": environment,
    }
    return field(default=default, metadata=metadata)


def example_of(default: Any) -> str:
    """Show a default as project.toml has it, a number without needless digits."""
    return f"{default:g}" if is_number(default) else json.dumps(default)


def text(pattern: str, description: str, example: str) -> Rule:
    """Accept a text that the pattern matches from end to end."""
    whole = re.compile(pattern)
    return Rule(
        description, lambda value: isinstance(value, str) and bool(whole.fullmatch(value)), f'"{example}"'
    )


def choice(*allowed: str | int) -> Rule:
    """Accept one of a few texts or numbers."""
    # True equals 1, and 32.0 equals 32: the type is compared as well.
    return Rule(
        f"one of {', '.join(map(str, allowed))}", lambda value: type(value) in (str, int) and value in allowed
    )


def integer(low: int, high: int) -> Rule:
    """Accept a whole number from low to high."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
        str(low),
    )


def number(low: float, high: float) -> Rule:
    """Accept a number from low to high."""
    return Rule(f"a number from {low:g} to {high:g}", lambda value: is_number(value) and low <= value <= high)


def words() -> Rule:
    """Accept a list of texts that a cell may hold."""
    return Rule(
        "a list of texts, none of them blank or with blanks around it",
        lambda value: (
            isinstance(value, list | tuple)
            and all(isinstance(word, str) and word and word == word.strip() for word in value)
        ),
        '["No data", "unknown"]',
    )


def optional_column() -> Rule:
    """Accept the name of a column, or an empty text."""
    return text(
        r"(?s)(\S(.{0,254}\S)?)?", "the name of a column, of at most 256 characters, or empty", "customer"
    )


def column_kinds() -> Rule:
    """Accept a table from the names of columns to the kinds that they are read as."""
    return Rule(
        f"a table of columns, each with one of {', '.join(COLUMN_KINDS)}",
        lambda value: (
            value == () or (isinstance(value, dict) and all(kind in COLUMN_KINDS for kind in value.values()))
        ),
        '{ zip_code = "categorical" }',
    )


def fraction() -> Rule:
    """Accept a share of the rows."""
    return Rule(
        f"a number from {MIN_FRACTION} to {MAX_FRACTION}",
        lambda value: type(value) is float and MIN_FRACTION <= value <= MAX_FRACTION,
    )


def flag() -> Rule:
    """Accept true and false."""
    return Rule("true or false", lambda value: type(value) is bool, "false")


def threshold() -> Rule:
    """Accept a number and the word naive."""
    return Rule("a number, or naive", lambda value: value == "naive" or is_number(value))


def watched_features() -> Rule:
    """Accept a list of features, each with an alarm, whose name is made of its letters and digits."""
    return Rule(
        "a list of at most 100 features, each with an ASCII letter or digit of its own and no comma",
        lambda value: (
            isinstance(value, list | tuple) and len(value) <= MAX_WATCHED_FEATURES and are_nameable(value)
        ),
        '["income", "age"]',
    )


def are_nameable(names: Sequence[Any]) -> bool:
    """Tell whether each name is a text without comma whose ASCII letters and digits no other name has."""
    if not all(isinstance(name, str) and len(name) <= MAX_FEATURE_LENGTH for name in names):
        return False
    if any("," in name or name != name.strip() for name in names):
        return False
    # CloudFormation makes logical ids of letters and digits alone.
    logical_ids = [re.sub("[^A-Za-z0-9]", "", name) for name in names]
    return all(logical_ids) and len(set(logical_ids)) == len(logical_ids)


def instance_type() -> Rule:
    """Accept an instance type of SageMaker."""
    return text(r"ml\.[a-z0-9-]+\.[a-z0-9-]+", "an instance type of SageMaker", "ml.m5.xlarge")


def is_number(value: Any) -> bool:
    """Tell whether the value is a finite number; true and false are not numbers."""
    return type(value) in (int, float) and math.isfinite(value)
