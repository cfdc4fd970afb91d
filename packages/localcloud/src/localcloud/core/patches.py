"""The registry of every private name of ministack that the local cloud reads or replaces.

ministack promises none of them, so each is declared: names that are read by `uses`, replacements by the
decorators `patch` and `constant`. `check` finds missing names when the cloud starts. `undo` restores the
originals, for tests. Nothing else in this package assigns to a name of ministack.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# The ministack whose private names these are: an update means to read each patch again, and its `version`
# says so.
PINNED = "1.5.33"

_read: dict[str, set[str]] = {}
_patches: list[Patch] = []
_restore: list[Callable[[], None]] = []


class MissingNameError(Exception):
    """ministack lacks a private name that the local cloud uses."""


@dataclass(frozen=True)
class Names:
    """Private names of one module of ministack, read as `names["_functions"]`."""

    module: str
    names: frozenset[str]

    def __getitem__(self, name: str) -> Any:
        """Return what the name holds now, which is the replacement once a patch is applied.

        Raises:
            MissingNameError: the name is not one of those that `uses` declared.
        """
        if name not in self.names:
            raise MissingNameError(f"{self.module}.{name} is used but not listed")
        return _get(self.module, name)

    def add(self, table: str, key: str, value: Any) -> None:
        """Put an entry into a table of ministack, where `undo` finds it.

        Raises:
            MissingNameError: the table is not one of the declared names.
        """
        entries = self[table]
        _restore.append(partial(_put_back, entries, key, entries.get(key), present=key in entries))
        entries[key] = value


@dataclass(frozen=True, eq=False)
class Patch:
    """A replacement of a private name, the same in each of `modules`.

    `behaviour` says what ministack does, `reason` why that is replaced, and `version` is the ministack whose
    code was read for both. A `late` patch is of a library that takes long to load: it is checked when it is
    applied.
    """

    modules: tuple[str, ...]
    name: str
    version: str
    behaviour: str
    reason: str
    make: Callable[[Any, tuple[Any, ...]], Any]
    late: bool = False
    originals: list[Any] = field(default_factory=list)

    @property
    def applied(self) -> bool:
        """Whether `apply` was called, and no `undo` since."""
        return bool(self.originals)

    @property
    def original(self) -> Any:
        """The function or value that the patch, now applied, has replaced."""
        return self.originals[-1]

    def apply(self, *state: Any) -> None:
        """Replace the name; each call gets the original, then `state`, then the call's arguments."""
        for module in self.modules:
            holder, attribute = _holder(module, self.name)
            original = getattr(holder, attribute)
            self.originals.append(original)
            setattr(holder, attribute, self.make(original, state))
            _restore.append(partial(self._restore, holder, attribute))

    def _restore(self, holder: Any, attribute: str) -> None:
        setattr(holder, attribute, self.originals.pop())


def uses(module: str, *names: str) -> Names:
    """Declare names of a module that are read, and return the way to read them."""
    _read.setdefault(module, set()).update(names)
    return Names(module, frozenset(names))


def patch(  # noqa: PLR0913 - each argument documents the patch
    module: str | tuple[str, ...], name: str, *, version: str, behaviour: str, reason: str, late: bool = False
) -> Callable[[Callable[..., Any]], Patch]:
    """Declare that the function below is called in place of ministack's function (`f` or `Class.f`).

    It is called with the original, then the state that `Patch.apply` was given, then the call's own
    arguments.
    """

    def declare(replacement: Callable[..., Any]) -> Patch:
        def make(original: Any, state: tuple[Any, ...]) -> Any:
            @functools.wraps(replacement)
            def call(*arguments: Any, **named: Any) -> Any:
                return replacement(original, *state, *arguments, **named)

            return call

        return _declare(Patch(_listed(module), name, version, behaviour, reason, make, late))

    return declare


def constant(
    module: str, name: str, *, version: str, behaviour: str, reason: str
) -> Callable[[Callable[..., Any]], Patch]:
    """Declare that a name's value is what the decorated function returns for the original and the state."""

    def declare(value: Callable[..., Any]) -> Patch:
        def make(original: Any, state: tuple[Any, ...]) -> Any:
            return value(original, *state)

        return _declare(Patch(_listed(module), name, version, behaviour, reason, make))

    return declare


def check(names: Mapping[str, set[str]] | None = None) -> None:
    """Check that the installed ministack has each declared name, or each of `names`.

    Raises:
        MissingNameError: names are missing; the message lists them and says which version has them.
    """
    missing = []
    for module, attributes in (declared() if names is None else names).items():
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
        else:
            missing += [f"{module}.{name}" for name in sorted(attributes) if not _exists(module, name)]
    if missing:
        installed = importlib.metadata.version("ministack")
        raise MissingNameError(
            f"ministack {installed} lacks {', '.join(missing)}, which the local cloud uses; "
            f"it is made for ministack {PINNED}: install that version"
        )


def declared() -> dict[str, set[str]]:
    """Return the names that must exist when the cloud starts, by module."""
    names = {module: set(attributes) for module, attributes in _read.items()}
    for each in _patches:
        for module in () if each.late else each.modules:
            names.setdefault(module, set()).add(each.name)
    return names


def patches() -> tuple[Patch, ...]:
    """Return every declared patch."""
    return tuple(_patches)


def undo() -> None:
    """Restore the originals and the tables, the last change first."""
    while _restore:
        _restore.pop()()


def _declare(each: Patch) -> Patch:
    _patches.append(each)
    return each


def _listed(module: str | tuple[str, ...]) -> tuple[str, ...]:
    return (module,) if isinstance(module, str) else module


def _holder(module: str, name: str) -> tuple[Any, str]:
    """Return the module, or its class that a dotted name begins with, and the attribute's own name."""
    *path, attribute = name.split(".")
    return functools.reduce(getattr, path, importlib.import_module(module)), attribute


def _get(module: str, name: str) -> Any:
    holder, attribute = _holder(module, name)
    return getattr(holder, attribute)


def _exists(module: str, name: str) -> bool:
    try:
        _get(module, name)
    except AttributeError:
        return False
    return True


def _put_back(entries: dict[str, Any], key: str, value: Any, *, present: bool) -> None:
    if present:
        entries[key] = value
    else:
        entries.pop(key, None)
