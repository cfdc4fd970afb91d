"""AWS's limits, of which a template learns only when it is deployed."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from container import data
from local import prediction
from scripts.templates import variants
from scripts.templates.read import read_template, template_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATES = {path.name: read_template(path) for path in template_paths()}
SIZES = {path.name: path.stat().st_size for path in template_paths()}
# Of CloudFormation, per template; Service Catalog and pipelines hand templates over by S3.
MOST = {"Parameters": 200, "Resources": 500, "Outputs": 200, "Mappings": 200}
MOST_BYTES, MOST_DESCRIPTION, MOST_EXPLANATION = 1_000_000, 1024, 4000
# Of IAM, per role and without blanks; of CodeBuild, per project.
MOST_POLICY, MOST_TRUST = 10_240, 2048
# The longest that AWS has: what only a deployment knows is taken to be so long.
LONGEST = {
    "AWS::AccountId": "1" * 12,
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-southeast-2",
    "AWS::URLSuffix": "amazonaws.com",
}
AN_ARN = f"arn:aws-us-gov:iam::{LONGEST['AWS::AccountId']}:role/{'r' * 64}"


def size_faults(name: str, template: dict[str, Any], size: int) -> Iterator[str]:
    """Say what of a template CloudFormation finds too much."""
    if size > MOST_BYTES:
        yield f"{name} has {size} bytes, and {MOST_BYTES} are taken"
    if len(template["Description"].encode()) > MOST_DESCRIPTION:
        yield f"{name}: the description is too long"
    for section, most in MOST.items():
        entries = template.get(section, {})
        if len(entries) > most:
            yield f"{name} has {len(entries)} {section}, and {most} are taken"
        for logical, entry in entries.items():
            # What a loop puts in has letters and digits alone.
            if not re.fullmatch(r"[A-Za-z0-9]{1,255}", re.sub(r"&\{\w+\}", "", logical)):
                yield f"{name}: {logical} is no name of a {section[:-1]}"
            if len(entry.get("Description", "")) > MOST_EXPLANATION and section == "Parameters":
                yield f"{name}: {logical} is explained at too great length"


def policy_faults(template: dict[str, Any]) -> Iterator[str]:
    """Say which roles have more to say than IAM takes, in any variant of the template."""
    for values in variants.variant_values(template):
        for name, resource in variants.resolve(template, values)["Resources"].items():
            if resource["Type"] == "AWS::IAM::Role":
                properties = resource["Properties"]
                trust = length(properties["AssumeRolePolicyDocument"])
                own = sum(length(policy["PolicyDocument"]) for policy in properties.get("Policies", []))
                if trust > MOST_TRUST:
                    yield f"{name} is trusted in {trust} characters, and {MOST_TRUST} are taken"
                if own > MOST_POLICY:
                    yield f"{name} has policies of {own} characters, and {MOST_POLICY} are taken"


def length(document: Any) -> int:
    """Count a policy's characters as IAM does."""
    return len(re.sub(r"\s", "", json.dumps(spelled(document))))


def spelled(node: Any) -> Any:
    """Put the longest there is in place of what only a deployment knows."""
    match node:
        case {"Fn::GetAtt": _}:
            return AN_ARN
        case {"Ref": name}:
            return LONGEST.get(name, AN_ARN)
        case {"Fn::Sub": given}:
            text = given if isinstance(given, str) else given[0]
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: LONGEST.get(found[1], AN_ARN), text)
        case dict():
            return {key: spelled(value) for key, value in node.items()}
        case list():
            return [spelled(one) for one in node]
    return node


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_keep_the_limits(name: str) -> None:
    """Bytes, entries, names and explanations."""
    assert list(size_faults(name, TEMPLATES[name], SIZES[name])) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_policies_fit_their_roles(name: str) -> None:
    """With every option on."""
    assert list(policy_faults(TEMPLATES[name])) == []


def test_what_is_too_much_is_told() -> None:
    """Of each kind."""
    broken = copy.deepcopy(TEMPLATES["workflow.yml"])
    broken["Parameters"] |= {f"More{number}": {"Type": "String"} for number in range(200)}
    broken["Parameters"]["Not-A-Name"] = {"Type": "String", "Description": "x" * 4001}
    broken["Description"] = "x" * 1025
    found = set(size_faults("w", broken, 1_000_001))
    assert found >= {
        "w has 1000001 bytes, and 1000000 are taken",
        "w: the description is too long",
        "w: Not-A-Name is no name of a Parameter",
        "w: Not-A-Name is explained at too great length",
    }
    assert any("Parameters, and 200 are taken" in fault for fault in found)


def test_a_role_with_too_much_to_say_is_told() -> None:
    """One statement after the other, and then the stack fails."""
    broken = copy.deepcopy(TEMPLATES["workflow.yml"])
    role = broken["Resources"]["StateMachineRole"]["Properties"]
    role["Policies"][0]["PolicyDocument"]["Statement"] *= 5
    role["AssumeRolePolicyDocument"]["Statement"] *= 20
    kinds = ("has policies of", "is trusted in")
    assert all(any(kind in fault for fault in policy_faults(broken)) for kind in kinds)


def test_a_file_is_predicted_with_all_the_cells_that_it_was_trained_with() -> None:
    """`local infer` reads files by itself, and must not refuse what the container takes."""
    assert prediction.LONGEST_CELL == data.LONGEST_ROW
