"""Environment variables that the templates set for each function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Limits of a validation.

    `answer_tolerance` is relative, to the answer that the evaluation recorded. `golden_tolerance` is what the
    error by the labels may exceed the champion's by: a share of the labels' deviation from their median, or
    for classes a share of the requests. `latency_threshold_ms` is in milliseconds.
    """

    answer_tolerance: float
    golden_tolerance: float
    latency_threshold_ms: int


@dataclass(frozen=True)
class PreTrafficSettings(Limits):
    """Environment of the hook before traffic."""

    endpoint_name: str
    golden_url: str
    api_function: str
    api_alias: str
    max_capacity: int


@dataclass(frozen=True)
class PostTrafficSettings(Limits):
    """Environment of the hook after traffic; `capture_url` ends in the endpoint's name and a slash."""

    endpoint_name: str
    golden_url: str
    capture_url: str
    capture_percentage: int


@dataclass(frozen=True)
class SyntheticSettings:
    """Environment of the synthetic requests; `synthetic_rate` is per invocation, while traffic shifts."""

    golden_url: str
    api_function: str
    api_alias: str
    synthetic_rate: int


class SettingsError(Exception):
    """A variable is missing or has a wrong value; the message names the variable."""


def read(kind: type[T], environment: Mapping[str, str]) -> T:
    """Read a dataclass from the variables that are named like its fields, in capitals.

    Raises:
        SettingsError: a variable is missing or has a wrong value.
    """
    values = {}
    for name, convert in get_type_hints(kind).items():
        variable = name.upper()
        try:
            values[name] = convert(environment[variable])
        except KeyError:
            raise SettingsError(f"{variable} is not set, and the stack's template has to set it.") from None
        except ValueError:
            text = environment[variable]
            raise SettingsError(f"{variable} is {text!r}, but has to be {convert.__name__}.") from None
    return kind(**values)
