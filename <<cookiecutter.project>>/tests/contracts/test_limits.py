"""Limits of AWS that would otherwise be found only during a deployment."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery.inference import rows
from delivery.templates.read import read_template, template_paths

from container import data
from tests.lint import variants

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: read_template(path) for path in template_paths(ROOT)}
SIZES = {path.name: path.stat().st_size for path in template_paths(ROOT)}
# CloudFormation's limits for one template; Service Catalog and pipelines read templates from S3.
MAX_ENTRIES = {"Parameters": 200, "Resources": 500, "Outputs": 200, "Mappings": 200}
MAX_BYTES, MAX_DESCRIPTION_LENGTH, MAX_EXPLANATION_LENGTH = 1_000_000, 1024, 4000
# IAM's limits for one role, without white space.
MAX_POLICY_LENGTH, MAX_TRUST_LENGTH = 10_240, 2048
# The longest values that AWS has, in place of values that are known only after a deployment.
LONGEST = {
    "AWS::AccountId": "1" * 12,
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": "ap-southeast-2",
    "AWS::URLSuffix": "amazonaws.com",
}
LONGEST_ARN = f"arn:aws-us-gov:iam::{LONGEST['AWS::AccountId']}:role/{'r' * 64}"


def size_faults(name: str, template: dict[str, Any], size: int) -> Iterator[str]:
    """List the parts of a template that exceed CloudFormation's limits."""
    if size > MAX_BYTES:
        yield f"{name} has {size} bytes, and {MAX_BYTES} are allowed"
    if len(template["Description"].encode()) > MAX_DESCRIPTION_LENGTH:
        yield f"{name}: the description is too long"
    for section, most in MAX_ENTRIES.items():
        entries = template.get(section, {})
        if len(entries) > most:
            yield f"{name} has {len(entries)} {section}, and {most} are allowed"
        for logical, entry in entries.items():
            # A loop (`Fn::ForEach`) inserts letters and digits only.
            if not re.fullmatch(r"[A-Za-z0-9]{1,255}", re.sub(r"&\{\w+\}", "", logical)):
                yield f"{name}: {logical} is not a valid name of a {section[:-1]}"
            if len(entry.get("Description", "")) > MAX_EXPLANATION_LENGTH and section == "Parameters":
                yield f"{name}: {logical} has a description that is too long"


def policy_faults(template: dict[str, Any]) -> Iterator[str]:
    """List the roles whose policies are longer than IAM allows, in any variant of the template."""
    for values in variants.variant_values(template):
        for name, resource in variants.resolve(template, values)["Resources"].items():
            if resource["Type"] == "AWS::IAM::Role":
                properties = resource["Properties"]
                trust = length(properties["AssumeRolePolicyDocument"])
                own = sum(length(policy["PolicyDocument"]) for policy in properties.get("Policies", []))
                if trust > MAX_TRUST_LENGTH:
                    yield f"{name} has a trust policy of {trust} characters, but {MAX_TRUST_LENGTH} fit"
                if own > MAX_POLICY_LENGTH:
                    yield f"{name} has policies of {own} characters, and {MAX_POLICY_LENGTH} are allowed"


def length(document: Any) -> int:
    """Count the characters of a policy as IAM does."""
    return len(re.sub(r"\s", "", json.dumps(with_longest_values(document))))


def with_longest_values(node: Any) -> Any:
    """Replace values that are known only after a deployment by the longest possible ones."""
    match node:
        case {"Fn::GetAtt": _}:
            return LONGEST_ARN
        case {"Ref": name}:
            return LONGEST.get(name, LONGEST_ARN)
        case {"Fn::Sub": given}:
            text = given if isinstance(given, str) else given[0]
            return re.sub(r"\$\{([\w:.]+)\}", lambda found: LONGEST.get(found[1], LONGEST_ARN), text)
        case dict():
            return {key: with_longest_values(value) for key, value in node.items()}
        case list():
            return [with_longest_values(one) for one in node]
    return node


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_respect_cloudformations_limits(name: str) -> None:
    """The limits are of size, number of entries, names and descriptions."""
    assert list(size_faults(name, TEMPLATES[name], SIZES[name])) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_policies_fit_their_roles(name: str) -> None:
    """Policies fit with every option on."""
    assert list(policy_faults(TEMPLATES[name])) == []


def test_an_exceeded_limit_is_reported() -> None:
    """Each kind of limit is checked."""
    broken = copy.deepcopy(TEMPLATES["workflow.yml"])
    broken["Parameters"] |= {f"More{number}": {"Type": "String"} for number in range(200)}
    broken["Parameters"]["Not-A-Name"] = {"Type": "String", "Description": "x" * 4001}
    broken["Description"] = "x" * 1025
    found = set(size_faults("w", broken, 1_000_001))
    assert found >= {
        "w has 1000001 bytes, and 1000000 are allowed",
        "w: the description is too long",
        "w: Not-A-Name is not a valid name of a Parameter",
        "w: Not-A-Name has a description that is too long",
    }
    assert any("Parameters, and 200 are allowed" in fault for fault in found)


def test_a_policy_that_is_too_long_is_reported() -> None:
    """A policy grows by one statement after the other until the stack fails."""
    broken = copy.deepcopy(TEMPLATES["workflow.yml"])
    role = broken["Resources"]["StateMachineRole"]["Properties"]
    role["Policies"][0]["PolicyDocument"]["Statement"] *= 5
    role["AssumeRolePolicyDocument"]["Statement"] *= 20
    kinds = ("has policies of", "has a trust policy of")
    assert all(any(kind in fault for fault in policy_faults(broken)) for kind in kinds)


def test_prediction_accepts_cells_as_long_as_the_container_does() -> None:
    """`local infer` reads files itself, and must not refuse a file that the container accepts."""
    assert rows.LONGEST_CELL == data.LONGEST_ROW
