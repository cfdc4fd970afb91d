"""Settings from environment variables: a dataclass declares them, `read` fills it.

    @dataclass(frozen=True)
    class Settings:
        target: Annotated[str, Variable("TARGET", hint="name the column to predict")]  # required
        port: Annotated[int, Variable("PORT", least=0)] = 8080

A variable that is missing or blank has the field's default. Surrounding white space is removed. A field whose
type is a dataclass is read in the same way, and any other field without a `Variable` keeps its default.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from container.runtime.errors import UserError

_TRUE = ("1", "true", "yes")
Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class Variable:
    """Declare the environment variable of a field, and the rule for its text.

    The field's type is int, float, bool, str or Path, or one of these or None. `least` and `most` are
    inclusive, unless `exclusive`. A text of another form has a `parse`, which raises `ValueError`, and
    a `rule`, which ends the sentence "NAME is 'text', and must be". With `refuse_blank` a blank text is an
    error instead of the default. `hint` says what to set a required variable to.
    """

    name: str
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    exclusive: bool = False
    multiple_of: int | None = None
    parse: Callable[[str], Any] | None = None
    rule: str = ""
    refuse_blank: bool = False
    hint: str = ""


def read(
    settings: type[Settings], environment: Mapping[str, str], error: type[UserError] = UserError
) -> Settings:
    """Return an instance of a dataclass, filled from environment variables.

    Raises:
        UserError: a required variable is not set, or a text breaks its rule; the class is `error`.
    """
    hints = typing.get_type_hints(settings, include_extras=True)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]  # a dataclass, as the docstring says
        kind, variable = _declaration(hints[field.name])
        if variable is None:
            if dataclasses.is_dataclass(kind):
                values[field.name] = read(typing.cast("type[Any]", kind), environment, error)
            continue
        text = environment.get(variable.name, "").strip()
        if text or (variable.refuse_blank and variable.name in environment):
            values[field.name] = _value(text, kind, variable, error)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise error(f"{variable.name} is not set: {variable.hint}")
    return settings(**values)


def _declaration(hint: Any) -> tuple[Any, Variable | None]:
    """Return a field's type and its variable."""
    if typing.get_origin(hint) is not Annotated:
        return hint, None
    kind, *metadata = typing.get_args(hint)
    return kind, next((each for each in metadata if isinstance(each, Variable)), None)


def _value(text: str, kind: Any, variable: Variable, error: type[UserError]) -> Any:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    plain = next(option for option in options if option is not type(None))
    try:
        value = (variable.parse or _PARSERS[plain])(text)
        keeps_rule = _keeps_rule(value, variable)
    except ValueError:
        keeps_rule = False
    if not keeps_rule:
        raise error(f"{variable.name} is '{text}', and must be {variable.rule or _rule(plain, variable)}")
    return value


def _keeps_rule(value: Any, variable: Variable) -> bool:
    if variable.choices:
        return value in variable.choices
    least = -math.inf if variable.least is None else variable.least
    most = math.inf if variable.most is None else variable.most
    if variable.multiple_of and value % variable.multiple_of:
        return False
    if not isinstance(value, (int, float)):
        return True
    return least < value < most if variable.exclusive else least <= value <= most


def _rule(kind: type[Any], variable: Variable) -> str:
    """Return what ends the sentence "NAME is 'text', and must be"."""
    least, most, choices = variable.least, variable.most, variable.choices
    if choices:
        return " or ".join(choices) if len(choices) <= 2 else f"one of {', '.join(choices)}"  # noqa: PLR2004 - a pair
    noun = f"a multiple of {variable.multiple_of}" if variable.multiple_of else _NOUNS[kind]
    if least is not None and most is not None:
        return (
            f"{noun} between {least} and {most}" if variable.exclusive else f"{noun} from {least} to {most}"
        )
    return f"{noun} of at least {least}" if least is not None else noun


def _whole_number(text: str) -> int:
    if not re.fullmatch("-?[0-9]+", text):  # int() also reads 1_000 and other alphabets' digits
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_PARSERS: dict[Any, Callable[[str], Any]] = {
    int: _whole_number,
    float: _number,
    bool: lambda text: text.lower() in _TRUE,
    str: str,
    Path: Path,
}
_NOUNS = {int: "a whole number", float: "a number"}
