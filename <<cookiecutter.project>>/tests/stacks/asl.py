"""Evaluation of the expressions of a state machine, as Step Functions does it."""

import hashlib
import json
from functools import cache
from typing import Any

from jsonata import Jsonata


def evaluate(template: Any, **variables: Any) -> Any:
    """Evaluate every expression of a template."""
    if isinstance(template, dict):
        return {key: evaluate(value, **variables) for key, value in template.items()}
    if isinstance(template, list):
        return [evaluate(value, **variables) for value in template]
    if not isinstance(template, str) or not template.startswith("{%"):
        return template
    return parsed(template[2:-2]).evaluate(None, variables)


@cache
def parsed(text: str) -> Jsonata:
    """Parse an expression once."""
    expression = Jsonata(text)
    expression.register_lambda("parse", json.loads)
    expression.register_lambda("hash", lambda text, _: hashlib.sha256(text.encode()).hexdigest())
    return expression


def choose(state: dict[str, Any], state_input: Any, **variables: Any) -> tuple[str, dict[str, Any], Any]:
    """Return the next state after a Choice, the assigned variables, and the output if it has one."""
    bound = {"states": {"input": state_input}, **variables}
    matching = (rule for rule in state["Choices"] if evaluate(rule["Condition"], **bound) is True)
    rule = next(matching, {**state, "Next": state["Default"]})
    return rule["Next"], evaluate(rule.get("Assign", {}), **bound), evaluate(rule.get("Output"), **bound)
