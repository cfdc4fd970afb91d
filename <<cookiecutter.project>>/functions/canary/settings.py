"""What the templates tell each function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What an answer has to keep.

    `answer_tolerance` is relative, to the answer that the evaluation recorded. `golden_tolerance` is what the
    error against the labels may exceed the champion's by: a share of the labels' spread, or of the rows for
    classes.
    """

    answer_tolerance: float
    golden_tolerance: float
    latency_threshold_ms: int


@dataclass(frozen=True)
class PreTraffic(Limits):
    """Environment of the hook before traffic."""

    endpoint_name: str
    golden_url: str
    api_function: str
    api_alias: str
    max_capacity: int


@dataclass(frozen=True)
class PostTraffic(Limits):
    """Environment of the hook after traffic; `capture_url` ends in the endpoint's name and a slash."""

    endpoint_name: str
    golden_url: str
    capture_url: str
    capture_percentage: int


@dataclass(frozen=True)
class Synthetic:
    """Environment of the scheduled requests; `synthetic_rate` is per schedule, while the traffic moves."""

    golden_url: str
    api_function: str
    api_alias: str
    synthetic_rate: int


class SettingsError(Exception):
    """Names the variable that is missing or wrong."""


def read(kind: type[T], environment: Mapping[str, str]) -> T:
    """Read a dataclass from the variables named like its fields; raise SettingsError for a bad one."""
    values = {}
    for name, convert in get_type_hints(kind).items():
        variable = name.upper()
        try:
            values[name] = convert(environment[variable])
        except KeyError:
            raise SettingsError(f"{variable} is not set, and the stack's template has to set it.") from None
        except ValueError:
            given = environment[variable]
            raise SettingsError(f"{variable} is {given!r}, but has to be {convert.__name__}.") from None
    return kind(**values)
