"""Rules on the structure of Python packages, checked by their syntax: no module is imported.

    modules = structure.read(ROOT, ("container", "local"))
    structure.import_cycles(modules)     # and the other rules: each returns its violations

The rules are the same for every package, whatever its root folder is.
"""

import ast
import io
import re
import tokenize
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MAX_MODULE_LINES = 450
MAX_FUNCTION_LINES = 50
NOQA = re.compile(r"# noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* - \S")
RAISES = re.compile(r"^([ ]*)Raises:\n((?:\1[ ]+\S.*\n|[ ]*\n)*)", re.MULTILINE)
ENTRY = re.compile(r"^ +([\w.]+(?:, [\w.]+)*):", re.MULTILINE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.ClassDef, ast.Lambda)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """Hold a module: its dotted name, its path below the root folder, and its source."""

    name: str
    path: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def package(self) -> str:
        """Return the package that relative imports start from."""
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Violation:
    """Hold the path of a file that breaks a rule, and in which way."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def read(root: Path, packages: Iterable[str]) -> list[Module]:
    """Read the Python files of some folders of a root folder, scripts without a suffix among them."""
    paths = sorted(path for package in packages for path in (root / package).rglob("*") if _is_python(path))
    return [_module(root, path) for path in paths]


def import_cycles(modules: Iterable[Module]) -> list[Violation]:
    """Find every module that imports itself over others, whether at its top, in a function or by a string."""
    graph, paths = _graph(modules), {module.name: module.path for module in modules}
    cycles = {name: _cycle(graph, name) for name in graph}
    return [
        Violation(paths[name], 1, "it imports itself: " + " -> ".join(cycle))
        for name, cycle in cycles.items()
        if cycle
    ]


def string_imports(modules: Iterable[Module], exceptions: Mapping[str, str]) -> list[Violation]:
    """Find imports by a string, except in the files that `exceptions` names, each with its reason."""
    return [
        Violation(module.path, node.lineno, "import the module by an import statement, not by a string")
        for module in modules
        if module.path not in exceptions
        for node in _calls_of_import(module.tree)
    ]


def long_modules(modules: Iterable[Module]) -> list[Violation]:
    """Find modules that have more than 450 lines."""
    lengths = ((module.path, module.text.count("\n")) for module in modules)
    return [
        Violation(path, 1, f"the module has {length} lines, and at most {MAX_MODULE_LINES} are allowed")
        for path, length in lengths
        if length > MAX_MODULE_LINES
    ]


def long_functions(modules: Iterable[Module]) -> list[Violation]:
    """Find functions that have more than 50 lines."""
    return [
        Violation(module.path, node.lineno, f"{node.name} has more than {MAX_FUNCTION_LINES} lines")
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]


def undocumented_errors(modules: Iterable[Module]) -> list[Violation]:
    """Find public functions whose docstring does not name, below `Raises:`, an exception that they raise.

    An exception that the syntax does not name (`raise error`) needs any entry there.
    """
    found = []
    for module in modules:
        for function in _public_functions(module.tree):
            documented, raised = _documented(function), _raised(function)
            if raised and not documented:
                text = f"{function.name} raises, and its docstring has no section `Raises:`"
                found.append(Violation(module.path, function.lineno, text))
            found += [
                Violation(module.path, function.lineno, f"{function.name} does not document {name}")
                for name in sorted(raised - documented - {""})
                if documented
            ]
    return found


def unexplained_noqa(modules: Iterable[Module]) -> list[Violation]:
    """Find comments that switch a rule of the linter off in another form than `# noqa: CODE - reason`."""
    return [
        Violation(module.path, token.start[0], f"write `# noqa: CODE - reason`, and not `{token.string}`")
        for module in modules
        for token in tokenize.generate_tokens(io.StringIO(module.text).readline)
        if token.type == tokenize.COMMENT
        and re.search(r"#\s*(?:ruff:\s*)?noqa", token.string, re.IGNORECASE)
        and not NOQA.search(token.string)
    ]


def _is_python(path: Path) -> bool:
    if not path.is_file() or "__pycache__" in path.parts:
        return False
    if path.suffix:
        return path.suffix == ".py"
    with path.open("rb") as file:
        return b"python" in file.readline() and path.read_bytes().startswith(b"#!")


def _module(root: Path, path: Path) -> Module:
    text, relative = path.read_text(encoding="utf-8"), path.relative_to(root)
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return Module(name, relative.as_posix(), text, ast.parse(text))


def _graph(modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return which modules each module imports, by their names."""
    modules = list(modules)
    names = {module.name for module in modules}
    return {module.name: set(_imports(module, names)) - {module.name} for module in modules}


def _imports(module: Module, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield from (name for name in (inner if inner in names else base,) if name in names)
    if any(_calls_of_import(module.tree)):  # the names may be in a table, as those of commands are
        constants = (node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant))
        yield from (value for value in constants if isinstance(value, str) and value in names)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.package.split(".")
    parents = package[: len(package) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _calls_of_import(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) in {"import_module", "__import__"}:
            yield node


def _last_name(node: ast.AST | None) -> str:
    """Return the last name of a dotted one; empty where the syntax has something else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _cycle(graph: Mapping[str, set[str]], start: str) -> list[str]:
    """Return the shortest way from a module back to it; empty when there is none."""
    ways = deque([[start]])
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        for name in sorted(graph[way[-1]]):
            if name == start:
                return [*way, start]
            if name not in seen:
                seen.add(name)
                ways.append([*way, name])
    return []


def _public_functions(tree: ast.Module | ast.ClassDef) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from _public_functions(node)
            else:
                yield node


def _documented(function: Function) -> set[str]:
    """Return the exceptions that a docstring's section `Raises:` names."""
    section = RAISES.search(f"{ast.get_docstring(function) or ''}\n")
    entries = ENTRY.findall(section[2]) if section else []
    return {name.rpartition(".")[2] for entry in entries for name in entry.split(", ")}


def _raised(function: Function) -> set[str]:
    """Return the exceptions that a function's own body raises; the empty name for each that has none."""
    nodes = list(_own_nodes(function))
    made = {
        target.id: _class_name(node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names = [_class_name(node.exc) for node in nodes if isinstance(node, ast.Raise)]
    return {name if name[:1].isupper() else made.get(name, "") for name in names}


def _class_name(node: ast.AST | None) -> str:
    name = _last_name(node.func if isinstance(node, ast.Call) else node)
    return name if name[:1].isupper() or isinstance(node, ast.Name) else ""


def _own_nodes(parent: ast.AST) -> Iterator[ast.AST]:
    """Return the nodes of a function without those of functions and classes inside."""
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, SCOPES):
            yield node
            yield from _own_nodes(node)
