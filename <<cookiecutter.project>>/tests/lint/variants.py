"""Variants of templates: values for the parameters, conditions decided, and choices made, as in a deployment.

cfn-lint checks a parameter's default alone; in the variants it checks each side of every condition.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from delivery.templates.packaging import FORMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Template = dict[str, Any]
    Values = dict[str, str]

REGION, ACCOUNT = "eu-central-1", "111122223333"
NOTHING = {"Ref": "AWS::NoValue"}
RESOLVED = ("Condition", "ForEach")  # keys that a resolved resource lacks
SAM = "AWS::Serverless-2016-10-31"
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")
EXECUTION = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
# A value for each parameter that has no default, or an empty one.
EXAMPLES = {
    "AnalyzerImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/sagemaker-model-monitor-analyzer",
    "ArtifactBucket": "the-bucket",
    "ConnectionArn": f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/{EXECUTION}",
    "DeploymentHash": "0123456789abcdef" * 4,
    "EfsAccessPointArn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0",
    "EmailAddress": "somebody@example.org",
    "ExecutionId": EXECUTION,
    "GroundTruthPrefix": "ground-truth/",
    "GoldenUrl": "s3://the-bucket/models/1/golden.json",
    "ImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/house:1",
    "KmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{EXECUTION}",
    "LambdaImageUri": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/house/api:1",
    "MlflowTrackingUri": "https://mlflow.example.org",
    "ModelDataUrl": "s3://the-bucket/models/1/model.tar.gz",
    "NotificationTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:topic",
    "PermissionsBoundaryArn": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
    "ProductionParameter": "/house/production",
    "Project": "p" * 16,
    "RepositoryId": "owner/name",
    "SageMakerProjectId": "p-0123456789ab",
    "SageMakerProjectName": "house-prices",
    "SageMakerRoleArn": f"arn:aws:iam::{ACCOUNT}:role/sagemaker",
    "SecurityGroupIds": "sg-0123456789abcdef0",
    "StudioRoleArn": f"arn:aws:iam::{ACCOUNT}:role/service-role/Studio",
    "StudioRoleName": "Studio",
    "SubnetIds": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "Tags": "Owner=risk",
    "TemplateKey": "catalog/pipeline-0123456789abcdef.yml",
    "WatchedFeatures": "income,average age",
}


def variant_values(template: Template) -> list[Values]:
    """Return sets of values for all parameters, in which each side of every condition is chosen once."""
    return cover({name: parameter_values(template, name) for name in template.get("Parameters", {})})


def allowed_values(template: Template) -> list[Values]:
    """Return sets of values for all parameters, in which each allowed value occurs once."""
    parameters = template.get("Parameters", {})
    return cover(
        {
            name: one.get("AllowedValues") or parameter_values(template, name)
            for name, one in parameters.items()
        }
    )


def cover(choices: Mapping[str, list[Any]]) -> list[Values]:
    """Return as many sets of values as the longest list has values, in which each value occurs."""
    count = max(map(len, choices.values()), default=1)
    return [
        {name: str(values[number % len(values)]) for name, values in choices.items()}
        for number in range(count)
    ]


def parameter_values(template: Template, name: str) -> list[Any]:
    """List the values of a parameter that a condition compares, or else its example or default."""
    parameter = template["Parameters"][name]
    example = EXAMPLES.get(name, parameter.get("Default", ""))
    compared = [
        value for parameter, value in compared_values(template.get("Conditions", {})) if parameter == name
    ]
    if not compared:
        return [example]
    listed = parameter.get("AllowedValues", [example])
    return list(dict.fromkeys([parameter.get("Default", example), *compared, *listed]))


def compared_values(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield each parameter that a condition compares, with the value that it is compared to."""
    match node:
        case {"Fn::Equals": [{"Ref": name} | {"Fn::Join": [_, {"Ref": name}]}, value]}:
            yield name, value
        case dict():
            for member in node.values():
                yield from compared_values(member)
        case list():
            for member in node:
                yield from compared_values(member)


def violations(template: Template, values: Values) -> list[str]:
    """Name the template's rules that refuse the values, and the parameters whose patterns do."""
    rules = [
        name
        for name, rule in template.get("Rules", {}).items()
        if condition_holds(template, rule.get("RuleCondition", {"Fn::Equals": ["", ""]}), values)
        and not all(condition_holds(template, one["Assert"], values) for one in rule["Assertions"])
    ]
    patterns = ((name, one.get("AllowedPattern", "(?s).*")) for name, one in template["Parameters"].items())
    return rules + [name for name, pattern in patterns if not re.fullmatch(pattern, values[name])]


def resolve(template: Template, values: Values) -> Template:
    """Return the template for these values of parameters, without conditions and choices."""
    conditions = {
        name: condition_holds(template, one, values) for name, one in template.get("Conditions", {}).items()
    }
    kept = ("AWSTemplateFormatVersion", "Transform", "Description")
    resolved: Template = {key: value for key, value in template.items() if key in kept}
    for section in ("Resources", "Outputs"):
        resolved[section] = {
            name: {
                key: resolve_node(value, entry_values, conditions)
                for key, value in entry.items()
                if key not in RESOLVED
            }
            for name, entry, entry_values in expand_loops(template.get(section, {}), values)
            if conditions.get(entry.get("Condition"), True)
        }
    if "Globals" in template:
        resolved["Globals"] = resolve_node(template["Globals"], values, conditions)
    return resolved


def expand_loops(entries: Mapping[str, Any], values: Values) -> Iterator[tuple[str, Any, Values]]:
    """Yield each entry with its name and values; an entry in a loop once for each item of the loop."""
    for name, entry in entries.items():
        if "ForEach" not in entry:
            yield name, entry, values
            continue
        identifier = entry["ForEach"]["Identifier"]
        for item in values[entry["ForEach"]["Collection"]["Ref"]].split(","):
            plain = re.sub("[^A-Za-z0-9]", "", item)
            yield name.replace(f"&{{{identifier}}}", plain), entry, values | {identifier: item}


def condition_holds(template: Template, condition: Any, values: Values) -> bool:
    """Return whether a condition holds."""
    ((function, argument),) = condition.items()
    match function:
        case "Condition":
            return condition_holds(template, template["Conditions"][argument], values)
        case "Fn::Not":
            return not condition_holds(template, argument[0], values)
        case "Fn::And":
            return all(condition_holds(template, one, values) for one in argument)
        case "Fn::Or":
            return any(condition_holds(template, one, values) for one in argument)
    left, right = (resolve_node(side, values, {}) for side in argument)
    return str(left) == str(right)


def resolve_node(node: Any, values: Values, conditions: Mapping[str, bool]) -> Any:
    """Replace references to parameters by values, and each Fn::If by the side that its condition chooses."""
    if isinstance(node, list):
        return [item for item in (resolve_node(one, values, conditions) for one in node) if item != NOTHING]
    match node:
        case {"Fn::If": [condition, chosen, otherwise]}:
            return resolve_node(chosen if conditions[condition] else otherwise, values, conditions)
        case {"Ref": str(name)}:
            return values.get(name, node)
        case {"Fn::Sub": argument}:
            text, variables = argument if isinstance(argument, list) else (argument, {})
            return substitute(text, values, resolve_node(variables, values, conditions))
        case dict():
            members = ((key, resolve_node(value, values, conditions)) for key, value in node.items())
            return evaluate({key: value for key, value in members if value != NOTHING})
    return node


def evaluate(node: Any) -> Any:
    """Evaluate an intrinsic function whose arguments are all known."""
    match node:
        case {"Fn::Split": [delimiter, str(text)]}:
            return text.split(delimiter)
        case {"Fn::Join": [delimiter, list(parts)]} if all(isinstance(part, str) for part in parts):
            return delimiter.join(parts)
        case {"Fn::Join": [delimiter, str(text)]}:  # the text form of a list parameter
            return delimiter.join(text.split(","))
        case {"Fn::Select": [number, list(items)]}:
            return items[int(number)]
    return node


def substitute(text: str, values: Values, variables: Mapping[str, Any]) -> Any:
    """Replace placeholders by values; those that only a deployment can replace stay in an Fn::Sub."""
    texts = {**values, **{key: value for key, value in variables.items() if isinstance(value, str)}}
    text = PLACEHOLDER.sub(lambda match: texts.get(match[1], match[0]), text)
    unresolved = {key: value for key, value in variables.items() if not isinstance(value, str)}
    if "${" not in text:
        return text
    return {"Fn::Sub": [text, unresolved] if unresolved else text}


def transform_names(template: Template) -> set[str]:
    """Name the transforms that CloudFormation runs over a template: its own, and those of Fn::Transform."""
    declared = template.get("Transform", [])
    return {*([declared] if isinstance(declared, str) else declared), *embedded_names(template)}


def embedded_names(node: Any) -> Iterator[str]:
    """Name the transforms that Fn::Transform calls at or below a node."""
    if isinstance(node, dict):
        if "Fn::Transform" in node:
            yield node["Fn::Transform"]["Name"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from embedded_names(item)


def with_packages(template: Template) -> Template:
    """Return the template as packaging leaves it: its code is in S3."""
    packaged = copy.deepcopy(template)
    for resource in packaged["Resources"].values():
        properties = resource.get("Properties", {})
        for key, value in properties.items():
            form = FORMS.get((resource["Type"], key))
            if form and isinstance(value, str):
                properties[key] = form.location("the-bucket", "code.zip")
    return packaged


def transform_sam(template: Template, values: Values) -> Template:
    """Translate a template as CloudFormation does, which passes the values of parameters to the macro."""
    from samtranslator.translator.transform import transform  # noqa: PLC0415 - the import takes a second, and few callers need it

    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)  # its progress
    return dict(transform(with_packages(template), dict(values), SimpleNamespace(load=dict)))


def write_variants(path: Path, template: Template, folder: Path) -> Iterator[tuple[Path, Values]]:
    """Write a template in every variant, before and after its transformation, with the values of each."""
    for number, values in enumerate(variant_values(template), start=1):
        stages = {"": template}
        if SAM in transform_names(template):
            stages[".transformed"] = transform_sam(template, values)
        for stage, content in stages.items():
            file = folder / f"{path.stem}.{number}{stage}.json"
            file.write_text(json.dumps(resolve(content, values)), encoding="utf-8")
            yield file, values


def value_faults(templates: Mapping[Path, Template]) -> Iterator[str]:
    """Name the examples that a template refuses, and the variants that SAM does not translate."""
    from samtranslator.model.exceptions import InvalidDocumentException  # noqa: PLC0415 - the import takes a second, and few callers need it

    for path, template in templates.items():
        for values in allowed_values(template):
            yield from (f"{path.name}: {name} refuses the example" for name in violations(template, values))
            try:
                if SAM in transform_names(template):
                    transform_sam(template, values)
            except InvalidDocumentException as error:
                yield from (f"{path.name}: {cause.message}" for cause in error.causes)
