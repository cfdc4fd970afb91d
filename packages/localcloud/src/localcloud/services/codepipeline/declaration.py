"""The structure of a pipeline, read from the API's form and checked by the rules of AWS and this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import validation_error
from localcloud.services.codepipeline.errors import (
    action_not_found,
    invalid_action,
    invalid_structure,
    stage_not_found,
)
from localcloud.services.codepipeline.expressions import namespaces_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.service import Json

# The configuration that an action needs, by category and provider.
REQUIRED_CONFIGURATION = {
    ("Source", "S3"): ("S3Bucket", "S3ObjectKey"),
    ("Build", "CodeBuild"): ("ProjectName",),
    ("Test", "CodeBuild"): ("ProjectName",),
    ("Deploy", "CloudFormation"): ("ActionMode", "StackName"),
    ("Invoke", "StepFunctions"): ("StateMachineArn",),
    ("Approval", "Manual"): (),
}
UNSUPPORTED_PROVIDERS = {
    "CodeStarSourceConnection": "a connection leads to a host of repositories: deploy with SourceType=S3",
    "CodeCommit": "it has no CodeCommit: deploy with SourceType=S3",
}
BUILT_IN_NAMESPACES = ("codepipeline", "variables")
MIN_STAGES = 2


@dataclass(frozen=True)
class Action:
    """An action of a stage."""

    name: str
    category: str
    provider: str
    type_id: Json
    run_order: int
    configuration: dict[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    namespace: str
    timeout_minutes: int | None
    role_arn: str


@dataclass(frozen=True)
class Stage:
    """A stage, in which one execution at a time is."""

    name: str
    actions: tuple[Action, ...]

    def groups(self) -> Iterator[list[Action]]:
        """Return the groups of actions that run in parallel, in order."""
        for order in sorted({action.run_order for action in self.actions}):
            yield [action for action in self.actions if action.run_order == order]


@dataclass(frozen=True)
class Declaration:
    """A pipeline as it is declared."""

    raw: Json
    name: str
    mode: str
    bucket: str
    key: str | None
    stages: tuple[Stage, ...]
    defaults: dict[str, str | None]

    def action(self, stage_name: str, action_name: str) -> Action:
        """Return an action.

        Raises:
            ServiceError: the pipeline has no such stage, or the stage no such action.
        """
        stage = next((stage for stage in self.stages if stage.name == stage_name), None)
        if stage is None:
            raise stage_not_found(f"Stage not found: {stage_name}")
        action = next((action for action in stage.actions if action.name == action_name), None)
        if action is None:
            raise action_not_found(action_name)
        return action

    def variables(self, overrides: list[Json]) -> dict[str, str]:
        """Return the value of each variable: its override, or its default.

        Raises:
            ServiceError: an override is not a declared variable, or a variable has no value.
        """
        values: dict[str, str | None] = dict(self.defaults)
        for variable in overrides:
            if variable["name"] not in values:
                raise validation_error(f"Variable {variable['name']} is not declared in pipeline {self.name}")
            values[variable["name"]] = variable["value"]
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise validation_error(f"Value missing for variable(s): {', '.join(missing)}")
        return {name: str(value) for name, value in values.items()}


def parse(raw: Json) -> Declaration:
    """Read a valid PipelineDeclaration.

    Raises:
        ServiceError: the structure breaks a rule of AWS, or the local cloud can't run it.
    """
    store = raw.get("artifactStore") or next(iter(raw.get("artifactStores", {}).values()), None)
    if store is None:
        raise invalid_structure("Pipeline should have an artifact store")
    declaration = Declaration(
        raw=raw,
        name=raw["name"],
        mode=raw.get("executionMode", "SUPERSEDED"),
        bucket=store["location"],
        key=store.get("encryptionKey", {}).get("id"),
        stages=tuple(_read_stage(stage) for stage in raw["stages"]),
        defaults={variable["name"]: variable.get("defaultValue") for variable in raw.get("variables", [])},
    )
    _check_type(raw, declaration)
    _check_stages(declaration)
    _check_artifacts(declaration)
    _check_expressions(declaration)
    return declaration


def _read_stage(raw: Json) -> Stage:
    """Read a stage, which may not have conditions: the local cloud does not evaluate them."""
    for member in ("onFailure", "onSuccess", "beforeEntry"):
        if member in raw:
            raise invalid_structure(f"Stage {raw['name']}: the local cloud has no {member}")
    return Stage(raw["name"], tuple(read_action(action, raw["name"]) for action in raw["actions"]))


def read_action(raw: Json, stage: str) -> Action:
    """Read an action."""
    type_id = raw["actionTypeId"]
    action = Action(
        name=raw["name"],
        category=type_id["category"],
        provider=type_id["provider"],
        type_id=type_id,
        run_order=raw.get("runOrder", 1),
        configuration=dict(raw.get("configuration", {})),
        inputs=tuple(artifact["name"] for artifact in raw.get("inputArtifacts", [])),
        outputs=tuple(artifact["name"] for artifact in raw.get("outputArtifacts", [])),
        namespace=raw.get("namespace", ""),
        timeout_minutes=raw.get("timeoutInMinutes"),
        role_arn=raw.get("roleArn", ""),
    )
    _check_provider(action, stage)
    return action


def _check_provider(action: Action, stage: str) -> None:
    """Check that the local cloud can run an action, and that its configuration is complete."""
    required = REQUIRED_CONFIGURATION.get((action.category, action.provider))
    where = f"Action {action.name} of stage {stage}"
    if required is None:
        supported = ", ".join(sorted({name for _, name in REQUIRED_CONFIGURATION}))
        why = UNSUPPORTED_PROVIDERS.get(action.provider, f"it runs {supported}")
        raise invalid_action(f"{where}: the local cloud can't run {action.provider}: {why}")
    missing = [name for name in required if not action.configuration.get(name)]
    if missing:
        raise invalid_action(f"{where}: missing required configuration {', '.join(missing)}")


def _check_type(raw: Json, declaration: Declaration) -> None:
    """Check that a pipeline of type V1 has no feature of type V2."""
    v2_feature = raw.get("variables") or declaration.mode != "SUPERSEDED" or raw.get("triggers")
    if raw.get("pipelineType", "V1") == "V1" and v2_feature:
        raise invalid_structure("Variables, triggers and execution modes need a pipeline of type V2")


def _check_stages(declaration: Declaration) -> None:
    """Check the stages by AWS's rules: at least two, sources in the first only, unique names."""
    stages = declaration.stages
    if len(stages) < MIN_STAGES:
        raise invalid_structure(
            f"Pipeline has {len(stages)} stage(s). There should be a minimum of 2 stages in a pipeline"
        )
    for stage in stages:
        sources = [action for action in stage.actions if action.category == "Source"]
        if stage is stages[0] and len(sources) < len(stage.actions):
            raise invalid_structure(f"Pipeline stage {stage.name} should only contain source actions")
        if stage is not stages[0] and sources:
            raise invalid_structure(
                f"Pipeline stage {stage.name} has source actions: only the first stage can"
            )
        _check_unique([action.name for action in stage.actions], f"action name in stage {stage.name}")
    _check_unique([stage.name for stage in stages], "stage name")


def _check_artifacts(declaration: Declaration) -> None:
    """Check that every artifact is an output of one action, before another action takes it as input."""
    outputs: set[str] = set()
    for stage in declaration.stages:
        for group in stage.groups():
            for action in group:
                for name in action.inputs:
                    if name not in outputs:
                        raise invalid_structure(
                            f"Input Artifact Bundle {name} in action {action.name} is not declared as Output "
                            "Artifact Bundle in any of the preceding actions"
                        )
            added = [name for action in group for name in action.outputs]
            _check_unique([*outputs, *added], "output artifact")
            outputs.update(added)


def _check_expressions(declaration: Declaration) -> None:
    """Check that the namespace of every `#{namespace.name}` belongs to an earlier action."""
    available: set[str] = set(BUILT_IN_NAMESPACES)
    for stage in declaration.stages:
        for group in stage.groups():
            for action in group:
                for namespace in namespaces_in(action.configuration.values()) - available:
                    raise invalid_action(
                        f"Action {action.name} uses namespace {namespace}, which no preceding action has"
                    )
            available |= {action.namespace for action in group if action.namespace}


def _check_unique(names: list[Any], what: str) -> None:
    """Check that no name occurs twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise invalid_structure(f"Each {what} must be unique: {', '.join(twice)}")
