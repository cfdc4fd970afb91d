"""A pipeline's structure, read from what the API takes; what AWS or this machine can't run is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from localcloud.core.errors import ServiceError
from localcloud.services.codepipeline.expressions import namespaces_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localcloud.core.service import Json

# What each provider needs to be told, by category and provider.
PROVIDERS = {
    ("Source", "S3"): ("S3Bucket", "S3ObjectKey"),
    ("Build", "CodeBuild"): ("ProjectName",),
    ("Test", "CodeBuild"): ("ProjectName",),
    ("Deploy", "CloudFormation"): ("ActionMode", "StackName"),
    ("Invoke", "StepFunctions"): ("StateMachineArn",),
    ("Approval", "Manual"): (),
}
ELSEWHERE = {
    "CodeStarSourceConnection": "a connection leads to a host of repositories: deploy with SourceType=S3",
    "CodeCommit": "it has no CodeCommit: deploy with SourceType=S3",
}
MODES = ("SUPERSEDED", "QUEUED", "PARALLEL")
OWN_NAMESPACES = ("codepipeline", "variables")
LEAST_STAGES = 2


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
    """A stage, which one execution at a time is in."""

    name: str
    actions: tuple[Action, ...]

    def groups(self) -> Iterator[list[Action]]:
        """Return the actions that run side by side, in order."""
        for order in sorted({action.run_order for action in self.actions}):
            yield [action for action in self.actions if action.run_order == order]


@dataclass(frozen=True)
class Declaration:
    """A pipeline as it was declared last."""

    raw: Json
    name: str
    mode: str
    bucket: str
    key: str | None
    stages: tuple[Stage, ...]
    defaults: dict[str, str | None]

    def action(self, stage_name: str, action_name: str) -> Action:
        """Return an action."""
        stage = next((stage for stage in self.stages if stage.name == stage_name), None)
        if stage is None:
            raise ServiceError("StageNotFoundException", f"Stage not found: {stage_name}")
        found = next((action for action in stage.actions if action.name == action_name), None)
        if found is None:
            raise ServiceError("ActionNotFoundException", f"Action not found: {action_name}")
        return found

    def variables(self, given: list[Json]) -> dict[str, str]:
        """Return the value of each variable: the one given, or the default."""
        values: dict[str, str | None] = dict(self.defaults)
        for variable in given:
            if variable["name"] not in values:
                raise ServiceError(
                    "ValidationException",
                    f"Variable {variable['name']} is not declared in pipeline {self.name}",
                )
            values[variable["name"]] = variable["value"]
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise ServiceError("ValidationException", f"Value missing for variable(s): {', '.join(missing)}")
        return {name: str(value) for name, value in values.items()}


def parse(raw: Json) -> Declaration:
    """Read a valid PipelineDeclaration; raise ServiceError for what does not hold together."""
    store = raw.get("artifactStore") or next(iter(raw.get("artifactStores", {}).values()), None)
    if store is None:
        raise structure("Pipeline should have an artifact store")
    declaration = Declaration(
        raw=raw,
        name=raw["name"],
        mode=raw.get("executionMode", "SUPERSEDED"),
        bucket=store["location"],
        key=store.get("encryptionKey", {}).get("id"),
        stages=tuple(read_stage(stage) for stage in raw["stages"]),
        defaults={variable["name"]: variable.get("defaultValue") for variable in raw.get("variables", [])},
    )
    check_type(raw, declaration)
    check_stages(declaration)
    check_artifacts(declaration)
    check_expressions(declaration)
    return declaration


def structure(message: str) -> ServiceError:
    """Return AWS's answer to a structure that does not hold."""
    return ServiceError("InvalidStructureException", message)


def read_stage(raw: Json) -> Stage:
    """Read a stage; its conditions are refused, because nothing here looks at them."""
    for member in ("onFailure", "onSuccess", "beforeEntry"):
        if member in raw:
            raise structure(f"Stage {raw['name']}: the local cloud has no {member}")
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
    check_provider(action, stage)
    return action


def check_provider(action: Action, stage: str) -> None:
    """Refuse an action that nothing here can run, or that is not told enough."""
    needed = PROVIDERS.get((action.category, action.provider))
    where = f"Action {action.name} of stage {stage}"
    if needed is None:
        why = ELSEWHERE.get(action.provider, "it runs " + ", ".join(sorted({name for _, name in PROVIDERS})))
        raise ServiceError(
            "InvalidActionDeclarationException",
            f"{where}: the local cloud can't run {action.provider}: {why}",
        )
    missing = [name for name in needed if not action.configuration.get(name)]
    if missing:
        raise ServiceError(
            "InvalidActionDeclarationException",
            f"{where}: missing required configuration {', '.join(missing)}",
        )


def check_type(raw: Json, declaration: Declaration) -> None:
    """Refuse what a pipeline of the first type has not."""
    later = raw.get("variables") or declaration.mode != "SUPERSEDED" or raw.get("triggers")
    if raw.get("pipelineType", "V1") == "V1" and later:
        raise structure("Variables, triggers and execution modes need a pipeline of type V2")


def check_stages(declaration: Declaration) -> None:
    """Hold stages to AWS's rules: two at least, sources in the first only, no name twice."""
    stages = declaration.stages
    if len(stages) < LEAST_STAGES:
        raise structure(
            f"Pipeline has {len(stages)} stage(s). There should be a minimum of 2 stages in a pipeline"
        )
    for stage in stages:
        sources = [action for action in stage.actions if action.category == "Source"]
        if stage is stages[0] and len(sources) < len(stage.actions):
            raise structure(f"Pipeline stage {stage.name} should only contain source actions")
        if stage is not stages[0] and sources:
            raise structure(f"Pipeline stage {stage.name} has source actions: only the first stage can")
        unique([action.name for action in stage.actions], f"action name in stage {stage.name}")
    unique([stage.name for stage in stages], "stage name")


def check_artifacts(declaration: Declaration) -> None:
    """Refuse an artifact that is taken before it is given, or given twice."""
    given: set[str] = set()
    for stage in declaration.stages:
        for group in stage.groups():
            for action in group:
                for name in action.inputs:
                    if name not in given:
                        raise structure(
                            f"Input Artifact Bundle {name} in action {action.name} is not declared as Output "
                            "Artifact Bundle in any of the preceding actions"
                        )
            made = [name for action in group for name in action.outputs]
            unique([*given, *made], "output artifact")
            given.update(made)


def check_expressions(declaration: Declaration) -> None:
    """Refuse a `#{namespace.name}` whose namespace no earlier action has."""
    known: set[str] = set(OWN_NAMESPACES)
    for stage in declaration.stages:
        for group in stage.groups():
            for action in group:
                for namespace in namespaces_in(action.configuration.values()) - known:
                    raise ServiceError(
                        "InvalidActionDeclarationException",
                        f"Action {action.name} uses namespace {namespace}, which no preceding action has",
                    )
            known |= {action.namespace for action in group if action.namespace}


def unique(names: list[Any], what: str) -> None:
    """Refuse a name that stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise structure(f"Each {what} must be unique: {', '.join(twice)}")
