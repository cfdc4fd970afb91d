"""The role that deploys a template may use its transforms, and its deployment acknowledges them.

CloudFormation authorizes a transform as a resource of its own: `cloudformation:CreateChangeSet` on its ARN.
A transform that the role may not use fails the deployment before any resource is made.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery import stacks
from delivery.templates.read import read_template, template_paths

from tests.lint.variants import transform_names

if TYPE_CHECKING:
    from collections.abc import Iterator

Content = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: read_template(path) for path in template_paths(ROOT)}
PLATFORM = ("network.yml", "pipeline.yml", "studio.yml")
# The template that declares a role, and the role; Service Catalog launches pipeline.yml with the second.
ROLES = {"DeployRole": "pipeline.yml", "LaunchRole": "studio.yml"}
HOSTED = "arn:${AWS::Partition}:cloudformation:${AWS::Region}:aws:transform/"


def deployed(templates: dict[str, Content]) -> dict[str, set[str]]:
    """Return the templates that each role deploys, by the pipeline's actions or by Service Catalog."""
    found: dict[str, set[str]] = {"LaunchRole": {"pipeline.yml"}}
    for action in actions(templates["pipeline.yml"]["Resources"]["Pipeline"]["Properties"]["Stages"]):
        role, attribute = action["RoleArn"]["Fn::GetAtt"]
        assert attribute == "Arn"
        found.setdefault(role, set()).add(action["TemplatePath"].partition("::")[2])
    return found


def actions(node: Any) -> Iterator[Content]:
    """Return the configuration of each action that deploys a template."""
    if isinstance(node, dict) and "TemplatePath" in node:
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from actions(child)


def statements(role: Content) -> Iterator[Content]:
    """Return the statements of a role's policies, those of options too."""
    for policy in role["Properties"]["Policies"]:
        for one in policy["PolicyDocument"]["Statement"]:
            yield from (
                entry for entry in one.get("Fn::If", [one]) if isinstance(entry, dict) and "Action" in entry
            )


def as_list(value: Any) -> list[Any]:
    """Return a list; a single value becomes a list of one."""
    return value if isinstance(value, list) else [value]


def allowed(role: Content) -> set[str]:
    """Return the ARNs, with their pseudo parameters, for which a role may create change sets."""
    found = set()
    for statement in statements(role):
        if "cloudformation:CreateChangeSet" in as_list(statement["Action"]):
            assert statement["Effect"] == "Allow"
            assert "Condition" not in statement
            found |= {
                one["Fn::Sub"] if isinstance(one, dict) else one for one in as_list(statement["Resource"])
            }
    return found


def arn(transform: str) -> str:
    """Return the ARN of a transform that AWS hosts."""
    assert transform.startswith("AWS::"), (
        f"{transform} is a macro of the account, which this check does not know"
    )
    return HOSTED + transform.removeprefix("AWS::")


def faults(templates: dict[str, Content]) -> list[str]:
    """List the used transforms that a role does not allow, and the allowed ones that are not used."""
    found = []
    for role, names in deployed(templates).items():
        may = allowed(templates[ROLES[role]]["Resources"][role])
        used = {arn(one) for name in names for one in transform_names(templates[name])}
        found += [f"{role} may not use {one}" for one in sorted(used - may)]
        found += [f"{role} never uses {one}" for one in sorted(may - used)]
    return found


def test_roles_may_use_the_transforms_of_the_templates_that_they_deploy() -> None:
    """Every template has a role or is deployed by a person; every transform is allowed, and no other."""
    by_roles = set().union(*deployed(TEMPLATES).values())
    assert by_roles == TEMPLATES.keys() - {"network.yml", "studio.yml"}
    assert faults(TEMPLATES) == []


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "workflow.yml",
            {"Transform": "AWS::SecretsManager-2020-07-23"},
            "may not use ${}SecretsManager-2020-07-23",
        ),
        ("workflow.yml", {"Transform": ["AWS::Include"]}, "may not use ${}Include"),
        ("workflow.yml", {"Metadata": {"Fn::Transform": {"Name": "AWS::Include"}}}, "may not use ${}Include"),
        ("monitor.yml", {"Transform": []}, "never uses ${}LanguageExtensions"),
        ("deploy-model-prd.yml", {"Transform": []}, "never uses ${}Serverless-2016-10-31"),
    ],
)
def test_another_transform_is_reported(name: str, change: Content, words: str) -> None:
    """The cases are one transform more in each of its three forms, and one fewer."""
    assert faults({**TEMPLATES, name: TEMPLATES[name] | change}) == [
        f"DeployRole {words.replace('${}', HOSTED)}"
    ]


def test_a_transform_in_a_template_of_studio_is_reported() -> None:
    """The launch role may use no transform, and pipeline.yml has none."""
    changed = TEMPLATES["pipeline.yml"] | {"Transform": "AWS::LanguageExtensions"}
    assert faults({**TEMPLATES, "pipeline.yml": changed}) == [
        f"LaunchRole may not use {HOSTED}LanguageExtensions"
    ]


@pytest.mark.parametrize(
    "resource", ["*", "arn:aws:cloudformation:${AWS::Region}:aws:transform/LanguageExtensions"]
)
def test_a_wide_or_misnamed_right_is_reported(resource: str) -> None:
    """A wildcard allows any transform; an ARN of one partition allows none in the others."""
    changed = copy.deepcopy(TEMPLATES["pipeline.yml"])
    statement = next(
        one for one in statements(changed["Resources"]["DeployRole"]) if one["Sid"] == "TransformTemplates"
    )
    statement["Resource"] = [resource, {"Fn::Sub": f"{HOSTED}Serverless-2016-10-31"}]
    assert set(faults({**TEMPLATES, "pipeline.yml": changed})) == {
        f"DeployRole may not use {HOSTED}LanguageExtensions",
        f"DeployRole never uses {resource}",
    }


def test_the_scripts_acknowledge_what_the_platforms_templates_need() -> None:
    """CloudFormation expands a transform only with CAPABILITY_AUTO_EXPAND."""
    needed = any(transform_names(TEMPLATES[name]) for name in PLATFORM)
    assert needed == ("CAPABILITY_AUTO_EXPAND" in stacks.CAPABILITIES)
