"""Checks of state machines: targets, expressions, and the substitutions of the templates that deploy them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from delivery.templates.read import expressions, machines_in, state_machines, walk
from jsonata import Jsonata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Step Functions takes away $eval and adds these.
FUNCTIONS = (set(Jsonata.static_frame.bindings) - {"eval"}) | {"partition", "range", "hash", "uuid", "parse"}
SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


def machine_faults(path: Path) -> Iterator[str]:
    """Name the faults in one state machine's file."""
    definition = json.loads(path.read_text(encoding="utf-8"))
    for location, machine in machines_in(definition, "the state machine"):
        yield from transition_faults(location, machine)
    yield from expression_faults(definition)


def transition_faults(location: str, machine: dict[str, Any]) -> Iterator[str]:
    """Name targets that do not exist, and states that nothing leads to."""
    states = machine["States"]
    reached = {machine["StartAt"]}
    waiting = [machine["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in states:
            yield f"{location}: something leads to {name!r}, which is not a state"
            continue
        fresh = [target for target in targets(states[name]) if target not in reached]
        reached.update(fresh)
        waiting += fresh
    yield from (f"{location}: nothing leads to {name!r}" for name in states if name not in reached)


def targets(state: dict[str, Any]) -> list[str]:
    """List the states that a state leads to."""
    choices = [rule["Next"] for rule in (*state.get("Choices", []), *state.get("Catch", []))]
    return choices + [state[key] for key in ("Next", "Default") if key in state]


def expression_faults(definition: dict[str, Any]) -> Iterator[str]:
    """Name JSONata that does not parse, and variables that nothing assigns."""
    assigned = set(assigned_names(definition)) | {"states"}
    for location, expression in expressions(definition):
        try:
            parsed = Jsonata(expression)
        except Exception as error:  # noqa: BLE001 - the parser raises errors of many kinds
            yield f"{location}: {error}: {expression.strip()}"
            continue
        for name in sorted(free_variables(parsed.ast) - assigned - FUNCTIONS):
            yield f"{location}: nothing assigns ${name}"


def assigned_names(content: Any) -> Iterator[str]:
    """Yield the name of every variable that some state assigns."""
    for _, node in walk(content):
        if isinstance(node, dict):
            yield from node.get("Assign", {})


def free_variables(tree: Any) -> set[str]:
    """Collect the variables that an expression uses and does not bind itself."""
    used, bound = set(), set()
    for node in syntax(tree, set()):
        if node.type == "variable":
            used.add(node.value)
        elif node.type == "bind":
            bound.add(node.lhs.value)
        elif node.type == "lambda":
            bound.update(argument.value for argument in node.arguments)
    return used - bound - {"", "$"}


def syntax(node: Any, seen: set[int]) -> Iterator[Any]:
    """Yield every node of a parsed expression once; the parser's own references form cycles."""
    if isinstance(node, list):
        for item in node:
            yield from syntax(item, seen)
    elif hasattr(node, "lbp") and id(node) not in seen:
        seen.add(id(node))
        yield node
        for name, value in vars(node).items():
            if name not in ("_outer_instance", "environment", "ancestor"):
                yield from syntax(list(value) if isinstance(value, tuple) else value, seen)


def substitution_faults(folder: Path) -> Iterator[str]:
    """Name each ${X} that a template does not replace in its state machine, or replaces in vain."""
    deployed = set()
    for template in sorted(folder.glob("*.yml")):
        for name, properties in state_machines(template):
            path = folder / properties["DefinitionS3Location"]
            deployed.add(path)
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            needed = set(SUBSTITUTION.findall(text))
            replaced = set(properties.get("DefinitionSubstitutions", {}))
            location = f"{template.name}: {name}: {path.name}"
            if not path.is_file():
                yield f"{location} is not there"
            yield from (f"{location} needs ${{{key}}}" for key in sorted(needed - replaced))
            yield from (f"{location} has no ${{{key}}}" for key in sorted(replaced - needed))
    yield from (
        f"{path.name}: no template deploys it"
        for path in sorted(folder.glob("*.asl.json"))
        if path not in deployed
    )
