"""Settings come from the environment as their fields declare them, or are refused by name with the rule."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest

from container.runtime.environment import Variable, read
from container.runtime.errors import UsageError, UserError


@dataclass(frozen=True)
class Split:
    """Hold settings inside of others."""

    seed: Annotated[int, Variable("SEED")] = 0
    share: Annotated[float, Variable("SHARE", least=0, most=1, exclusive=True, refuse_blank=True)] = 0.5


def even(text: str) -> list[int]:
    """Read digits, all even."""
    if any(int(digit) % 2 for digit in text):
        raise ValueError(text)
    return [int(digit) for digit in text]


@dataclass(frozen=True)
class Settings:
    """Hold a setting of every form."""

    target: Annotated[str, Variable("TARGET", hint="name the column to predict")]
    task: Annotated[str, Variable("TASK", choices=("a", "b", "c"))] = "a"
    status: Annotated[str, Variable("STATUS", choices=("on", "off"))] = "off"
    workers: Annotated[int | None, Variable("WORKERS", least=1)] = None
    side: Annotated[int, Variable("SIDE", least=16, most=256, multiple_of=8)] = 32
    threshold: Annotated[float, Variable("THRESHOLD", least=0, most=1)] = 0.1
    log: Annotated[bool, Variable("LOG")] = False
    output: Annotated[Path | None, Variable("OUTPUT")] = None
    digits: Annotated[list[int], Variable("DIGITS", parse=even, rule="even digits")] = field(
        default_factory=list
    )
    split: Split = field(default_factory=Split)
    note: str = "not a variable"


def test_defaults_are_the_fields_own() -> None:
    """Protects a job that sets only what it needs; blank variables of a template count as not set."""
    assert read(Settings, {"TARGET": "y", "note": "x"}) == Settings("y")
    assert read(Settings, {"TARGET": " y ", "TASK": "", "WORKERS": " ", "LOG": ""}) == Settings("y")


def test_texts_become_values_of_the_fields_types() -> None:
    """Protects every setting from being read as text."""
    texts = {"TARGET": "y", "TASK": "b", "STATUS": "on", "WORKERS": "3", "SIDE": "64", "THRESHOLD": "1"}
    texts |= {"LOG": "Yes", "OUTPUT": "/a/b", "DIGITS": "246", "SEED": "-7", "SHARE": "0.25"}
    wanted = Settings("y", "b", "on", 3, 64, 1.0, True, Path("/a/b"), [2, 4, 6], Split(-7, 0.25))  # noqa: FBT003 - in the fields' order
    assert read(Settings, texts) == wanted


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("TARGET", " ", "TARGET is not set: name the column to predict"),
        ("TASK", "d", "TASK is 'd', and must be one of a, b, c"),
        ("STATUS", "x", "STATUS is 'x', and must be on or off"),
        ("WORKERS", "0", "WORKERS is '0', and must be a whole number of at least 1"),
        ("WORKERS", "1_0", "WORKERS is '1_0', and must be a whole number of at least 1"),
        ("WORKERS", "²", "WORKERS is '²', and must be a whole number of at least 1"),
        ("SIDE", "20", "SIDE is '20', and must be a multiple of 8 from 16 to 256"),
        ("SIDE", "264", "SIDE is '264', and must be a multiple of 8 from 16 to 256"),
        ("THRESHOLD", "1.5", "THRESHOLD is '1.5', and must be a number from 0 to 1"),
        ("THRESHOLD", "nan", "THRESHOLD is 'nan', and must be a number from 0 to 1"),
        ("DIGITS", "13", "DIGITS is '13', and must be even digits"),
        ("SEED", "x", "SEED is 'x', and must be a whole number"),
        ("SHARE", "1", "SHARE is '1', and must be a number between 0 and 1"),
        ("SHARE", "", "SHARE is '', and must be a number between 0 and 1"),
    ],
)
@pytest.mark.parametrize("error", [UserError, UsageError])
def test_a_text_that_breaks_its_rule_is_refused(
    name: str, text: str, message: str, error: type[UserError]
) -> None:
    """Protects the user's time: the variable, its text and the rule, as the error of the caller's choice."""
    with pytest.raises(error) as refused:
        read(Settings, {"TARGET": "y"} | {name: text}, error)
    assert str(refused.value) == message
    assert type(refused.value) is error
