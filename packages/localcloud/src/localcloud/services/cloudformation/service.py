"""What ministack's CloudFormation leaves out: update policies, SAM's parameters, joins, addresses in S3."""

from __future__ import annotations

import copy
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from localcloud.core import ministack, object_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.service import Json

    Result = tuple[str, Json]

CLOUDFORMATION = "ministack.services.cloudformation"
ENGINE = f"{CLOUDFORMATION}.engine"
CHANGE_SETS = f"{CLOUDFORMATION}.changesets"
STARTERS = (f"{CLOUDFORMATION}.handlers", CHANGE_SETS)
HELPERS = f"{CLOUDFORMATION}.helpers"
DECIDERS = (ENGINE, f"{CLOUDFORMATION}.stacks", *STARTERS)


@dataclass(frozen=True)
class Deploying:
    """The template that a stack is being brought to, and its parameters."""

    template: Json
    parameters: Json


RULE_FUNCTIONS = ("Contains", "EachMemberEquals", "EachMemberIn", "RefAll", "ValueOf", "ValueOfAll")
PARAMETERS: ContextVar[dict[str, str] | None] = ContextVar("parameters", default=None)
DEPLOYING: ContextVar[Deploying | None] = ContextVar("deploying", default=None)


@dataclass(frozen=True)
class Update:
    """A resource that a stack changes in place."""

    old: Json
    new: Json
    policy: Json
    stack: Json

    @property
    def rolling_back(self) -> bool:
        """Whether the stack goes back to what it was."""
        return "ROLLBACK" in str(self.stack.get("StackStatus", ""))

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to cancel the stack's update."""
        return bool(self.stack.get("_cancel_requested"))


def install() -> None:
    """Keep the template at hand, and take what its update policies name for dependencies."""
    give_sam_parameters()
    know_joins()
    know_addresses()
    heed_conditions()
    read_rules()
    for module in STARTERS:
        follow(module)
    depend = ministack.name(ENGINE, "_extract_deps")

    def dependencies(definition: Json, names: set[str]) -> set[str]:
        policy = {"Properties": definition.get("UpdatePolicy") or {}}
        found: set[str] = depend(definition, names) | depend(policy, names)
        return found

    ministack.replace(ENGINE, "_extract_deps", dependencies)


def read_rules() -> None:
    """Let YAML's short forms stand for the functions of rules, too."""
    loader, wrapped = ministack.name(ENGINE, "CfnLoader"), ministack.name(ENGINE, "_construct_cfn_tag")
    for function in RULE_FUNCTIONS:
        loader.add_constructor(f"!{function}", wrapped(f"Fn::{function}"))


def give_sam_parameters() -> None:
    """Let SAM see the parameters' values, as on AWS: it resolves AutoPublishCodeSha256 itself."""
    found = ministack.name(ENGINE, "_transform_parameters")

    def kept(apply: Callable[..., Json]) -> Callable[..., Json]:
        def applied(template: Json, provided: Any = None, previous: Any = None) -> Json:
            if "Transform" in template:
                mend_translator()
            token = PARAMETERS.set(found(template, provided, previous))
            try:
                return apply(template, provided, previous)
            finally:
                PARAMETERS.reset(token)

        return applied

    for module in STARTERS:
        ministack.replace(module, "_apply_transforms", kept(ministack.name(module, "_apply_transforms")))


def know_joins() -> None:
    """Let conditions join lists, as those do that ask whether a list is empty."""
    evaluate = ministack.name(ENGINE, "_evaluate_conditions")

    def evaluated(template: Json, parameters: Json) -> dict[str, bool]:
        conditions = joined(template.get("Conditions", {}), parameters)
        found: dict[str, bool] = evaluate({**template, "Conditions": conditions}, parameters)
        return found

    for module in DECIDERS:
        ministack.replace(module, "_evaluate_conditions", evaluated)


def know_addresses() -> None:
    """Let templates lie at an address that begins with the bucket's name, as S3's own are."""
    resolve = ministack.name(HELPERS, "_resolve_document")

    def resolved(parameters: Json, body: str, url: str, label: str) -> Any:
        given = parameters.get(url)
        address = given[0] if isinstance(given, list) else given
        if address and object_store.ADDRESS.fullmatch(address):
            path = "/".join(object_store.located(address))
            parameters = {**parameters, url: [f"https://s3.amazonaws.com/{path}"]}
        return resolve(parameters, body, url, label)

    ministack.replace(HELPERS, "_resolve_document", resolved)


def heed_conditions() -> None:
    """Let a change set list what it makes and removes: no resource whose condition does not hold."""
    resolve = ministack.name(CHANGE_SETS, "_resolve_props_for_diff")

    def resolved(template: Json, parameters: Json, *stack: str) -> Json:
        found: Json = resolve(template, parameters, *stack)
        held = ministack.name(CHANGE_SETS, "_evaluate_conditions")(template, parameters) if template else {}
        made = found.get("Resources", {}).items()
        return {"Resources": {name: one for name, one in made if held.get(one.get("Condition"), True)}}

    ministack.replace(CHANGE_SETS, "_resolve_props_for_diff", resolved)


def joined(value: Any, parameters: Json) -> Any:
    """Put texts in place of a condition's joins; a list that is a parameter is one text with commas."""
    match value:
        case {"Fn::Join": [delimiter, items]}:
            listed = parameters[items["Ref"]]["Value"] if isinstance(items, dict) else items
            texts = listed.split(",") if isinstance(listed, str) else joined(listed, parameters)
            return str(delimiter).join(
                str(parameters[text["Ref"]]["Value"]) if isinstance(text, dict) else text for text in texts
            )
        case dict():
            return {key: joined(member, parameters) for key, member in value.items()}
        case list():
            return [joined(member, parameters) for member in value]
    return value


@cache
def mend_translator() -> None:
    """Give the translator the values that ministack does not; only now, because loading it takes a while."""
    from samtranslator.translator import transform  # noqa: PLC0415

    translate = transform.transform
    transform.transform = lambda template, _, loader: translate(
        template, dict(PARAMETERS.get() or {}), loader
    )


def follow(module: str) -> None:
    """Let what a module starts know its template; a stack has the old one until its update is complete."""
    deploy = ministack.name(module, "_deploy_stack_async")

    async def deployed(
        stack: str, stack_id: str, template: Json, parameters: Json, *more: Any, **named: Any
    ) -> None:
        DEPLOYING.set(Deploying(template, parameters))
        await deploy(stack, stack_id, template, parameters, *more, **named)

    ministack.replace(module, "_deploy_stack_async", deployed)


def around_updates(type_name: str, act: Callable[[Update, Callable[[], Result]], Result]) -> None:
    """Let `act` perform the updates of a type of ministack's; it may wait, and calls the original itself."""
    handlers = ministack.name(ministack.PROVISIONERS, "_RESOURCE_HANDLERS")[type_name]
    original = handlers["update"]

    def update(physical_id: str, old: Json, new: Json, stack: str, logical_id: str) -> Result:
        record = ministack.name(CLOUDFORMATION, "_stacks")[stack]
        change = Update(old, new, policy(record, logical_id), record)
        return act(change, lambda: original(physical_id, old, new, stack, logical_id))

    handlers.update(update=update, update_with_logical_id=True)
    ministack.WAITING.add(type_name)


def policy(stack: Json, logical_id: str) -> Json:
    """Return the update policy of a resource with its references resolved, or nothing."""
    deploying = DEPLOYING.get() or Deploying(stack.get("_template", {}), stack.get("_resolved_params", {}))
    definition = deploying.template.get("Resources", {}).get(logical_id, {})
    resolved = ministack.name(ENGINE, "_resolve_refs")(
        copy.deepcopy(definition.get("UpdatePolicy") or {}),
        stack["_resources"],
        deploying.parameters,
        stack.get("_conditions", {}),
        deploying.template.get("Mappings", {}),
        stack["StackName"],
        stack["StackId"],
    )
    nothing = ministack.name(ENGINE, "_NO_VALUE")
    return (
        {} if resolved is nothing else {key: value for key, value in resolved.items() if value is not nothing}
    )
