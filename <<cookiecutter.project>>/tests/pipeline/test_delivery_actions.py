"""The actions of the delivery pipeline: their inputs, their order, and the events that start them."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from delivery import deploy

from pipeline.settings import Data
from tests.lint.variants import transform_names
from tests.pipeline.delivery_template import (
    RESOURCES,
    ROOT,
    SOURCE_VARIABLES,
    SOURCES,
    STACKS,
    STEP_FUNCTIONS_VARIABLES,
    TEMPLATE,
    Action,
    find_action,
    holds,
    ordered_actions,
    resolve,
    source_parameters,
    stages,
    statements,
    substitute,
)


def artifact_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """List the artifacts that are used before they exist, and those that are never used."""
    given, taken = set(), set()
    for action, before in ordered_actions(pipeline):
        there = {output["Name"] for other in before for output in other.get("OutputArtifacts", [])}
        wanted = {artifact["Name"] for artifact in action.get("InputArtifacts", [])}
        named = set(re.findall(r"(\w+)::", json.dumps(action["Configuration"])))
        yield from (f"{action['Name']} uses {name} too early" for name in sorted(wanted - there))
        yield from (
            f"{action['Name']} refers to {name}, which is not an input" for name in sorted(named - wanted)
        )
        taken |= wanted
        given |= {output["Name"] for output in action.get("OutputArtifacts", [])}
    yield from (f"nothing uses {name}" for name in sorted(given - taken))


def file_faults(pipeline: list[dict[str, Any]], built: set[str]) -> Iterator[str]:
    """List the files that are used and not built, and those that are built and never used."""
    taken = set()
    for action, _ in ordered_actions(pipeline):
        configuration = action["Configuration"]
        paths = [configuration.get("TemplatePath", ""), configuration.get("TemplateConfiguration", "")]
        taken |= {path.partition("::")[2] for path in paths if path}
        if configuration.get("InputType") == "FilePath":
            taken.add(configuration["Input"])
    yield from (f"{name} is not built" for name in sorted(taken - built))
    yield from (f"nothing uses {name}" for name in sorted(built - taken))


def variable_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """List the references #{namespace.variable} without an earlier action that outputs the variable."""
    declared = {entry["Name"] for entry in RESOURCES["Pipeline"]["Properties"]["Variables"]}
    for action, before in ordered_actions(pipeline):
        known = {"codepipeline": {"PipelineExecutionId"}, "variables": declared}
        known |= {other["Namespace"]: output_variables(other) for other in before if "Namespace" in other}
        for space, name in re.findall(r"#\{(\w+)\.(\w+)\}", json.dumps(action["Configuration"])):
            if name not in known.get(space, ()):
                yield f"{action['Name']}: nothing outputs {space}.{name}"


def output_variables(action: Action) -> set[str]:
    """Return the output variables of an action."""
    provider = action["ActionTypeId"]["Provider"]
    if provider == "CloudFormation":
        return set(STACKS.get(template_of(action), {}).get("Outputs", {}))
    return SOURCE_VARIABLES.get(provider, STEP_FUNCTIONS_VARIABLES if provider == "StepFunctions" else set())


def deployment_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """List the stacks with the configuration of another template, or with the wrong capabilities."""
    for action, _ in ordered_actions(pipeline):
        if action["ActionTypeId"]["Provider"] != "CloudFormation":
            continue
        name, configuration = action["Name"], action["Configuration"]
        template = configuration["TemplatePath"].partition("::")[2]
        if configuration["TemplateConfiguration"] != f"BuildOutput::{Path(template).stem}.json":
            yield f"{name}: {template} gets {configuration['TemplateConfiguration']}"
        needed = capabilities(STACKS[template]) if template in STACKS else None
        given = set(configuration.get("Capabilities", "").split(",")) - {""}
        if needed is not None and given != needed:
            yield f"{name}: capabilities {sorted(given)}, and needed are {sorted(needed)}"


def capabilities(template: dict[str, Any]) -> set[str]:
    """Return the capabilities that CloudFormation requires."""
    roles = [one for one in template["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    assert not any("RoleName" in role["Properties"] for role in roles)
    found = {"CAPABILITY_IAM"} if roles else set()
    return found | ({"CAPABILITY_AUTO_EXPAND"} if transform_names(template) else set())


def invocation_faults(pipeline: list[dict[str, Any]]) -> Iterator[str]:
    """List the state machines that are started and not deployed by an earlier action."""
    for action, before in ordered_actions(pipeline):
        if action["ActionTypeId"]["Provider"] != "StepFunctions":
            continue
        machine = action["Configuration"]["StateMachineArn"].rpartition(":")[2]
        there = {
            substitute(resource["Properties"]["StateMachineName"]["Fn::Sub"], source_parameters("S3"))
            for other in before
            if other["ActionTypeId"]["Provider"] == "CloudFormation"
            for resource in STACKS.get(template_of(other), {"Resources": {}})["Resources"].values()
            if resource["Type"] == "AWS::StepFunctions::StateMachine"
        }
        if machine not in there:
            yield f"{action['Name']}: no stack before it has {machine}"


def template_of(action: Action) -> str:
    return str(action["Configuration"]["TemplatePath"].partition("::")[2])


def faults(pipeline: list[dict[str, Any]], built: set[str]) -> list[str]:
    """Return the faults of every check."""
    return [
        *artifact_faults(pipeline),
        *file_faults(pipeline, built),
        *variable_faults(pipeline),
        *deployment_faults(pipeline),
        *invocation_faults(pipeline),
    ]


@pytest.fixture
def built(rendered: dict[str, Any]) -> set[str]:
    """Return the names of the files that the build outputs."""
    return {*rendered, *STACKS}


@pytest.mark.parametrize("kind", SOURCES)
def test_the_inputs_of_every_action_exist_before_it(kind: str, built: set[str]) -> None:
    """Artifacts, files, variables, capabilities and state machines are checked, for each kind of source."""
    assert faults(stages(kind), built) == []


@pytest.mark.parametrize(
    ("action", "key", "value", "words"),
    [
        ("DeployDev", "TemplatePath", "BuildOutput::deploy-dev.yml", "deploy-dev.yml is not built"),
        (
            "DeployDev",
            "TemplateConfiguration",
            "BuildOutput::workflow.json",
            "gets BuildOutput::workflow.json",
        ),
        ("DeployDev", "TemplatePath", "SourceOutput::stacks/deploy-model-dev.yml", "refers to SourceOutput"),
        ("DeployWorkflow", "Capabilities", "", "capabilities []"),
        ("DeployMonitor", "Capabilities", "CAPABILITY_IAM", "needed are ['CAPABILITY_AUTO_EXPAND', 'CAP"),
        ("Train", "Input", "input.json", "nothing uses workflow-input.json"),
        ("Train", "StateMachineArn", "arn:aws:states:::stateMachine:train", "no stack before it has train"),
        ("Approve", "CustomData", "#{DeployDev.Endpoint}", "nothing outputs DeployDev.Endpoint"),
        ("Approve", "CustomData", "#{variables.Cause}", "nothing outputs variables.Cause"),
    ],
)
def test_a_fault_of_the_pipeline_is_reported(
    action: str, key: str, value: str, words: str, built: set[str]
) -> None:
    """Each check finds its kind of fault."""
    broken = copy.deepcopy(stages("S3"))
    find_action(broken, action)["Configuration"][key] = value
    assert any(words in fault for fault in faults(broken, built)), faults(broken, built)


def test_a_wrong_order_of_actions_is_reported(built: set[str]) -> None:
    """An input has to exist before the action that uses it, and not only somewhere."""
    broken = copy.deepcopy(stages("S3"))
    find_action(broken, "DeployWorkflow")["RunOrder"] = 1
    assert "DeployWorkflow uses BuildOutput too early" in faults(broken, built)
    broken[1], broken[2] = broken[2], broken[1]
    assert any("Train: no stack before it has" in fault for fault in faults(broken, built))


def test_the_commit_is_the_variable_of_the_kind_of_source() -> None:
    """A zip in S3 has a version and no commit."""
    for kind in SOURCES:
        (source,), (build, *_) = (stage["Actions"] for stage in stages(kind)[:2])
        given = json.loads(build["Configuration"]["EnvironmentVariables"])
        assert source["ActionTypeId"]["Provider"] == {"Connection": "CodeStarSourceConnection"}.get(
            kind, kind
        )
        assert given[0] == {
            "name": "COMMIT_ID",
            "value": "#{Source.VersionId}" if kind == "S3" else "#{Source.CommitId}",
        }


def test_configurations_and_variables_respect_codepipelines_limits() -> None:
    """A value has 1 to 1,000 characters, and so has the default of a variable."""
    for kind in SOURCES:
        for action, _ in ordered_actions(stages(kind)):
            for key, value in action["Configuration"].items():
                assert 1 <= len(str(value)) <= 1000, key
    for variable in RESOURCES["Pipeline"]["Properties"]["Variables"]:
        assert 1 <= len(variable["DefaultValue"]) <= 1000


def test_no_execution_reaches_dev_while_another_awaits_approval() -> None:
    """The approval is the last action of the stage DeployDev, and a stage has one execution at a time."""
    (dev,) = [stage for stage in stages("S3") if stage["Name"] == "DeployDev"]
    ordered = [action["Name"] for action in sorted(dev["Actions"], key=lambda action: action["RunOrder"])]
    assert ordered == ["DeployDev", "VerifyDev", "Approve"]
    approve = find_action(stages("S3"), "Approve")
    assert approve["TimeoutInMinutes"] == source_parameters("S3")["ApprovalTimeoutInMinutes"]


def test_production_is_never_deleted() -> None:
    """Replacing a failed stack would delete the endpoint, so the action only creates and updates."""
    modes = {
        action["Name"]: action["Configuration"]["ActionMode"]
        for action, _ in ordered_actions(stages("S3"))
        if "ActionMode" in action["Configuration"]
    }
    assert [name for name, mode in modes.items() if mode == "CREATE_UPDATE"] == ["DeployPrd"]
    for statement in statements("PipelineRole"):
        if "cloudformation:DeleteStack" in statement["Action"]:
            assert "deploy-prd" not in json.dumps(statement["Resource"])


@pytest.mark.parametrize("kind", SOURCES)
def test_exactly_one_trigger_starts_the_pipeline_for_a_commit(kind: str) -> None:
    """A connection is its own trigger, other sources have a rule, and nothing polls."""
    parameters = source_parameters(kind)
    has_rule = holds(TEMPLATE["Conditions"]["HasSourceRule"], parameters)
    assert has_rule is (kind != "Connection")
    source = stages(kind)[0]["Actions"][0]["Configuration"]
    assert source.get("PollForSourceChanges", "own") == ("own" if kind == "Connection" else False)
    if has_rule:
        pattern = resolve(RESOURCES["SourceRule"]["Properties"]["EventPattern"], parameters)
        assert pattern["source"] == [f"aws.{kind.lower()}"]


def test_data_and_source_do_not_trigger_each_other() -> None:
    """The zip of the source, the data and the pipeline's artifacts, which expire, have different prefixes."""
    key = TEMPLATE["Parameters"]["SourceKey"]["Default"]
    assert re.fullmatch(TEMPLATE["Parameters"]["SourceKey"]["AllowedPattern"], key)
    rule = {one.name: one for one in dataclasses.fields(Data)}["prefix"].metadata["rule"]
    assert not rule.accepts("source/")
    assert not rule.accepts("packages/")
    assert rule.accepts("raw/")


def test_the_message_of_a_failed_production_deployment_names_a_command() -> None:
    """The rule matches an action of the pipeline, and its message has a command of this project."""
    rule = RESOURCES["ProductionRule"]["Properties"]
    (name,) = rule["EventPattern"]["detail"]["action"]
    action = find_action(stages("S3"), name)
    assert action["Configuration"]["ActionMode"] == "CREATE_UPDATE"
    said = rule["Targets"][0]["InputTransformer"]["InputTemplate"]["Fn::Sub"]
    assert "\n" not in said
    assert (
        substitute("${Project}-deploy-prd", source_parameters("S3")) == action["Configuration"]["StackName"]
    )
    (script, command) = re.findall(r"python (scripts/\w+) (\w+)", said)[0]
    assert (ROOT / script).is_file()
    assert command in {one.name for one in deploy.app.registered_commands}
