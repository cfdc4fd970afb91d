"""Draw the pictures of docs/architecture.md from the code: `make architecture`.

The page holds each picture, in Mermaid, between two comments; a test compares page and code.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ROOT / "<<cookiecutter.project>>"
PAGE = ROOT / "docs" / "architecture.md"
PLACE = re.compile(r"(<!-- picture: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
PARTS = ("local", "scripts", "pipeline", "container", "functions")
PACKAGES = ("delivery", "localcloud")


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the value that follows them."""


def value(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    """Return the value of a node with a tag."""
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]


Loader.add_multi_constructor("!", value)


def stages() -> str:
    """Draw the pipeline: its stages in their order, and what each action starts."""
    template = yaml.load((PRODUCT / "pipeline" / "pipeline.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506 - Loader is a SafeLoader
    (pipeline,) = (
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CodePipeline::Pipeline"
    )
    names = [stage["Name"] for stage in pipeline["Stages"]]
    boxes = [f"  {stage['Name']}[{box(stage)}]" for stage in pipeline["Stages"]]
    return "\n".join(["flowchart LR", f"  {' --> '.join(names)}", *boxes])


def box(stage: dict[str, Any]) -> str:
    """Return the text of a stage: its name and its actions, in the order in which they run."""
    actions = [action for action in stage["Actions"] if isinstance(action, dict)]  # Source chooses by a list
    ordered = sorted(actions, key=lambda action: action.get("RunOrder", 1))
    lines = [f"<b>{stage['Name']}</b>", *map(started, ordered)]
    return f'"{"<br>".join(lines)}"'


def started(action: dict[str, Any]) -> str:
    """Name an action and what it starts: the template of a stack, or the provider."""
    template = action.get("Configuration", {}).get("TemplatePath", "")
    what = f"stacks/{template.partition('::')[2]}" if template else action["ActionTypeId"]["Provider"]
    return f"{action['Name']}: {what}"


def parts() -> str:
    """Draw which folders of a project import which others."""
    folders = {name: PRODUCT / name for name in PARTS}
    return drawn(
        {name: imported(folder, {*PARTS, *PACKAGES}, depth=1) - {name} for name, folder in folders.items()}
    )


def container() -> str:
    """Draw which folders of the container import which others."""
    root = PRODUCT / "container"
    rooms = sorted(path.name for path in root.iterdir() if (path / "__init__.py").exists())
    names = {f"container.{room}" for room in rooms}
    return drawn(
        {
            room: {name.partition(".")[2] for name in imported(root / room, names, depth=2)} - {room}
            for room in rooms
        }
    )


def imported(folder: Path, names: set[str], depth: int) -> set[str]:
    """Return which of the packages `names`, of `depth` parts each, the Python below a folder imports."""
    found = set()
    for path in filter(is_python, folder.rglob("*")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found |= {".".join(module.split(".")[:depth]) for module in modules}
    return found & names


def is_python(path: Path) -> bool:
    """Whether a file is a module, or a command without a suffix."""
    return path.suffix == ".py" or (
        path.is_file() and not path.suffix and path.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    )


def drawn(arrows: dict[str, set[str]]) -> str:
    """Return a flowchart of arrows from each name to those that it imports."""
    lines = [f"  {name} --> {other}" for name in sorted(arrows) for other in sorted(arrows[name])]
    return "\n".join(["flowchart TD", *lines])


PICTURES = {"stages": stages, "parts": parts, "container": container}


def page() -> str:
    """Return the page with its pictures drawn anew."""

    def picture(match: re.Match[str]) -> str:
        return f"{match[1]}\n```mermaid\n{PICTURES[match[2]]()}\n```\n\n{match[4]}"

    return PLACE.sub(picture, PAGE.read_text(encoding="utf-8"))


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
