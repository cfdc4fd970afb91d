"""The registry of ministack's private names: each replacement is declared, applied and undone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from ministack.services.cloudformation import engine

import localcloud
from localcloud.core import patches
from localcloud.core.context import CloudContext
from localcloud.core.timers import Timers
from localcloud.services import registration

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(localcloud.__file__).parent
TABLES = (
    "_RESOURCE_HANDLERS",
    "_STACK_TAG_PROPERTY",
    "_SERVICE_DISPATCH",
    "SERVICE_HANDLERS",
    "_IAM_HANDLERS",
)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Make a module in place of one of ministack's, and begin with nothing that was changed or declared."""
    module = ModuleType("patched")
    vars(module).update(double=lambda number: number * 2, size=3, table={"old": 1}, Kind=type("Kind", (), {}))
    vars(module)["Kind"].name = lambda kind: type(kind).__name__
    monkeypatch.setitem(sys.modules, "patched", module)
    for name, empty in (("_patches", []), ("_restore", []), ("_read", {})):
        monkeypatch.setattr(patches, name, empty)
    yield module
    patches.undo()


def test_a_function_is_replaced_and_restored(ours: Any) -> None:
    """A replacement gets the original, its state and the call's arguments; two are undone in their order."""
    original = ours.double
    say = {"version": patches.PINNED, "behaviour": "doubles", "reason": "a test"}

    @patches.patch("patched", "double", **say)
    def plus(original: Any, more: int, number: int) -> int:
        return int(original(number)) + more

    @patches.patch("patched", "double", **say)
    def negative(original: Any, number: int) -> int:
        return -int(original(number))

    plus.apply(1)
    negative.apply()
    assert ours.double(5) == -11
    assert plus.original is original
    patches.undo()
    assert ours.double is original
    assert not plus.applied
    assert not negative.applied


def test_methods_constants_and_tables_are_restored_too(ours: Any) -> None:
    """A method, a value and an entry of a table have their old state after an undo."""
    say = {"version": patches.PINNED, "behaviour": "is", "reason": "a test"}
    method = ours.Kind.name

    @patches.patch("patched", "Kind.name", **say)
    def longer(original: Any, kind: Any) -> str:
        return f"a {original(kind)}"

    @patches.constant("patched", "size", **say)
    def bigger(original: int, more: int) -> int:
        return original + more

    names = patches.uses("patched", "table")
    longer.apply()
    bigger.apply(4)
    names.add("table", "old", 2)
    names.add("table", "new", 3)
    assert (ours.Kind().name(), ours.size, ours.table) == ("a Kind", 7, {"old": 2, "new": 3})
    patches.undo()
    assert (ours.Kind.name, ours.size, ours.table) == (method, 3, {"old": 1})


def test_a_name_that_is_gone_is_found_at_the_start(ours: Any) -> None:
    """A patch's name is looked for as a read one is; a name that was not declared can't be read."""
    patches.patch("patched", "Kind.gone", version="1", behaviour="is", reason="a test")(lambda _: None)
    names = patches.uses("patched", "absent", "size")
    with pytest.raises(patches.MissingNameError, match=r"lacks patched\.Kind\.gone, patched\.absent"):
        patches.check()
    assert names["size"] == ours.size
    with pytest.raises(patches.MissingNameError, match=r"patched\.table is used but not listed"):
        names["table"]


def test_an_undo_gives_ministack_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a cloud replaces in ministack is there again after an undo."""
    monkeypatch.setattr(patches, "_restore", [])
    patches.check()
    before, tables = _present(), _tables()
    project = localcloud.Project(tmp_path, "name", "eu-central-1")
    timers = Timers()
    services = registration.register(CloudContext.create(project, timers), lambda _: None)
    try:
        applied = [each for each in patches.patches() if not each.late]
        assert all(each.applied for each in applied)
        assert not [name for name, value in _present().items() if value is before[name]]
        assert _tables() != tables
    finally:
        timers.close()
        for service in services:
            service.close()
        patches.undo()
    assert _present() == before
    assert _tables() == tables


def test_a_template_is_parsed_once_and_given_as_copies() -> None:
    """What a caller changes is not in the template of the next one; an error comes each time."""
    from localcloud.services.cloudformation import patches as cloudformation  # noqa: PLC0415 - declares patches

    calls = []

    def original(text: str) -> Any:
        calls.append(text)
        return engine._parse_template(text)  # noqa: SLF001 - what is replaced

    parse = cloudformation._parse_template.make(original, ())  # noqa: SLF001 - what `apply` calls
    text = "Date: 2010-09-09\nBase: &base {A: !Ref Name}\nMerged: {<<: *base, B: !GetAtt A.B}"
    first = parse(text)
    expected = engine._parse_template(text)  # noqa: SLF001 - as above
    assert first == expected
    first["Base"]["A"] = "changed"
    assert parse(text) == expected
    assert calls == [text]
    for _ in range(2):
        with pytest.raises(ValueError, match="mapping"):
            parse("- a list")
    deep = "A: " + "[" * 100 + "]" * 100
    assert parse(deep) == engine._parse_template(deep)  # noqa: SLF001 - as above
    for number in range(cloudformation.MAX_PARSED + 1):
        parse(f"A: {number}")
    assert parse(text) == expected
    assert calls.count(text) == 2


def _present() -> dict[tuple[str, str], Any]:
    """Return what each name holds that a patch replaces."""
    return {
        (module, each.name): patches.uses(module, each.name)[each.name]
        for each in patches.patches()
        if not each.late
        for module in each.modules
    }


def _tables() -> list[dict[str, Any]]:
    names = patches.declared()
    return [
        dict(patches.uses(module, table)[table])
        for module in sorted(names)
        for table in TABLES
        if table in names[module]
    ]


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_else_changes_a_module(path: Path) -> None:
    """Outside the registry, nothing sets attributes by name, and nothing imports ministack.

    `core/kept.py` restores the attributes of the services' own objects.
    """
    if path not in (SOURCE / "core/patches.py", SOURCE / "core/kept.py"):
        found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _is_refused(node)]
        assert not [f"{node.lineno}: {ast.unparse(node)}" for node in found]


@pytest.mark.parametrize(
    "code",
    [
        "setattr(module, 'name', 1)",
        "vars(module)['name'] = 1",
        "kind._spawn = spawn",
        "import ministack.app",
        "from ministack.services import s3",
        "importlib.import_module('ministack.app')",
    ],
)
def test_each_way_around_the_registry_is_refused(code: str) -> None:
    """The test above finds each way to change or to reach a module of ministack."""
    assert any(map(_is_refused, ast.walk(ast.parse(code))))


def _is_refused(node: Any) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="setattr" | "delattr" | "vars")):
            return True
        case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
            return _is_patched(name)
        case ast.Import(names=names):
            return any(_is_patched(alias.name) for alias in names)
        case ast.ImportFrom(module=str(module), level=0):
            return _is_patched(module)
        case ast.Attribute(value=ast.Name(id=owner), attr=name, ctx=ast.Store()):
            return name.startswith("_") and owner not in ("self", "cls")
    return False


def _is_patched(module: str) -> bool:
    return module.partition(".")[0] in ("ministack", "samtranslator")
