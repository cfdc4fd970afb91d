"""Patches of ministack's CloudFormation: transforms, conditions, addresses, capabilities, dependencies."""

from __future__ import annotations

import pickle
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core import object_store
from localcloud.core.patches import patch, uses
from localcloud.services.cloudformation import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

    Call = Callable[..., Any]

CLOUDFORMATION = "ministack.services.cloudformation"
ENGINE = f"{CLOUDFORMATION}.engine"
CHANGE_SETS = f"{CLOUDFORMATION}.changesets"
HANDLERS = f"{CLOUDFORMATION}.handlers"
STACKS = f"{CLOUDFORMATION}.stacks"
# Each of these modules has imported the function by its name, and so has to have the replacement itself.
STARTERS = (HANDLERS, CHANGE_SETS)
DECIDERS = (ENGINE, STACKS, *STARTERS)
_ENGINE = uses(ENGINE, "CfnLoader.yaml_constructors", "_construct_cfn_tag", "_transform_parameters")
_CHANGE_SETS = uses(CHANGE_SETS, "_evaluate_conditions")
RULE_FUNCTIONS = ("Contains", "EachMemberEquals", "EachMemberIn", "RefAll", "ValueOf", "ValueOfAll")
# The newest templates that were parsed, by their text: each caller gets a copy of its own.
MAX_PARSED = 64
_parsed: dict[str, bytes] = {}
_parsing = threading.Lock()
# Resource types whose handlers wait, and so must have a thread of their own.
WAITING: set[str] = set()


@dataclass(frozen=True)
class Deploying:
    """The template that a stack is being brought to, and its parameters."""

    template: Json
    parameters: Json


PARAMETERS: ContextVar[dict[str, str] | None] = ContextVar("parameters", default=None)
DEPLOYING: ContextVar[Deploying | None] = ContextVar("deploying", default=None)


def install() -> None:
    """Apply every patch of this module, and add YAML's short forms of the functions of rules."""
    for each in (
        _parse_template,
        _apply_transforms,
        _evaluate_conditions,
        _resolve_document,
        _resolve_changes,
        _deploy,
        _dependencies,
        _runs_on_thread,
        _enforce_capabilities,
    ):
        each.apply()
    for function in RULE_FUNCTIONS:
        constructor = _ENGINE["_construct_cfn_tag"](f"Fn::{function}")
        _ENGINE.add("CfnLoader.yaml_constructors", f"!{function}", constructor)


@patch(
    (ENGINE, *STARTERS),
    "_parse_template",
    version="1.5.33",
    behaviour="each step of a deployment parses the template anew",
    reason="the parser is written in Python, and takes most of the time of a deployment that changes little",
)
def _parse_template(original: Call, text: str) -> Any:
    with _parsing:
        if text not in _parsed:
            parsed = original(text)
            try:
                _parsed[text] = pickle.dumps(parsed)
            except RecursionError:  # so deep that it can't be copied
                return parsed
            while len(_parsed) > MAX_PARSED:
                del _parsed[next(iter(_parsed))]
        return pickle.loads(_parsed[text])  # noqa: S301 - written above


@patch(
    STARTERS,
    "_apply_transforms",
    version="1.5.33",
    behaviour="SAM's translator gets no parameters",
    reason="AWS's resolves AutoPublishCodeSha256 from them, without which no new version is published",
)
def _apply_transforms(original: Call, template: Json, provided: Any = None, previous: Any = None) -> Any:
    if "Transform" in template and not _translate.applied:
        # Only now: the translator takes a second to load, and few templates need it.
        _translate.apply()
    token = PARAMETERS.set(_ENGINE["_transform_parameters"](template, provided, previous))
    try:
        return original(template, provided, previous)
    finally:
        PARAMETERS.reset(token)


@patch(
    "samtranslator.translator.transform",
    "transform",
    version="1.5.33",
    behaviour="ministack calls it with empty parameters",
    reason="the present template's parameters are known here, but not where ministack calls it",
    late=True,
)
def _translate(original: Call, template: Json, _parameters: Json, loader: Any) -> Any:
    return original(template, dict(PARAMETERS.get() or {}), loader)


@patch(
    DECIDERS,
    "_evaluate_conditions",
    version="1.5.33",
    behaviour="a condition does not evaluate Fn::Join",
    reason="conditions join a list parameter to find out whether it is empty",
)
def _evaluate_conditions(original: Call, template: Json, parameters: Json) -> dict[str, bool]:
    conditions = _join(template.get("Conditions", {}), parameters)
    values: dict[str, bool] = original({**template, "Conditions": conditions}, parameters)
    return values


def _join(value: Any, parameters: Json) -> Any:
    """Put texts in place of a condition's joins; a list that is a parameter is one text with commas."""
    match value:
        case {"Fn::Join": [delimiter, items]}:
            listed = parameters[items["Ref"]]["Value"] if isinstance(items, dict) else items
            texts = listed.split(",") if isinstance(listed, str) else _join(listed, parameters)
            return str(delimiter).join(
                str(parameters[text["Ref"]]["Value"]) if isinstance(text, dict) else text for text in texts
            )
        case dict():
            return {key: _join(member, parameters) for key, member in value.items()}
        case list():
            return [_join(member, parameters) for member in value]
    return value


@patch(
    f"{CLOUDFORMATION}.helpers",
    "_resolve_document",
    version="1.5.33",
    behaviour="a template's address must have the bucket in its path",
    reason="S3's own addresses begin with the bucket's name",
)
def _resolve_document(original: Call, parameters: Json, body: str, url: str, label: str) -> Any:
    value = parameters.get(url)
    address = value[0] if isinstance(value, list) else value
    if address and object_store.ADDRESS.fullmatch(address):
        path = "/".join(object_store.parse_url(address))
        parameters = {**parameters, url: [f"https://s3.amazonaws.com/{path}"]}
    return original(parameters, body, url, label)


@patch(
    CHANGE_SETS,
    "_resolve_props_for_diff",
    version="1.5.33",
    behaviour="a change set lists resources whose condition does not hold",
    reason="AWS lists only what it makes and removes",
)
def _resolve_changes(original: Call, template: Json, parameters: Json, *stack: str) -> Json:
    resources = original(template, parameters, *stack).get("Resources", {})
    conditions = _CHANGE_SETS["_evaluate_conditions"](template, parameters) if template else {}
    kept = {
        name: resource
        for name, resource in resources.items()
        if conditions.get(resource.get("Condition"), True)
    }
    return {"Resources": kept}


@patch(
    STARTERS,
    "_deploy_stack_async",
    version="1.5.33",
    behaviour="a stack has its old template until the update is complete, and an interrupted operation stays",
    reason="the update policies in force are those of the new template, and the next cloud rolls it back",
)
async def _deploy(
    original: Call, stack: str, stack_id: str, template: Json, parameters: Json, *more: Any, **named: Any
) -> None:
    DEPLOYING.set(Deploying(template, parameters))
    interrupted.record(stack, template, parameters, named.get("previous_stack"))
    try:
        await original(stack, stack_id, template, parameters, *more, **named)
    finally:
        interrupted.forget(stack)


@patch(
    ENGINE,
    "_extract_deps",
    version="1.5.33",
    behaviour="references of update policies are not dependencies",
    reason="a policy names resources that must exist before the resource is updated",
)
def _dependencies(original: Call, definition: Json, names: set[str]) -> set[str]:
    policy = {"Properties": definition.get("UpdatePolicy") or {}}
    dependencies: set[str] = original(definition, names) | original(policy, names)
    return dependencies


@patch(
    STACKS,
    "_runs_on_worker_thread",
    version="1.5.33",
    behaviour="handlers run on ministack's event loop, except for types that it lists",
    reason="a handler of ours waits, and on the event loop it would stop the requests that it waits for",
)
def _runs_on_thread(original: Callable[[str], bool], resource_type: str) -> bool:
    return resource_type in WAITING or original(resource_type)


@patch(
    HANDLERS,
    "_capabilities_enforced",
    version="1.5.33",
    behaviour="only with AUTH, a stack that makes roles or is transformed needs an acknowledgement",
    reason="AWS refuses the request without CAPABILITY_IAM or CAPABILITY_AUTO_EXPAND",
)
def _enforce_capabilities(_original: Call) -> bool:
    return True
