"""Templates as they are deployed: with values for their parameters, conditions decided, choices made.

cfn-lint sees of a parameter its default alone; here it sees each side of every condition with real values.
"""

from __future__ import annotations

import copy
import json
import logging
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Template = dict[str, Any]
    Values = dict[str, str]

REGION, ACCOUNT = "eu-central-1", "111122223333"
NOTHING = {"Ref": "AWS::NoValue"}
DECIDED = ("Condition", "ForEach")  # what is carried out, and not left
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


def variants(template: Template) -> list[Values]:
    """Give values for all parameters, again and again, until each side of every condition was on."""
    return spread({name: choices(template, name) for name in template.get("Parameters", {})})


def enumerated(template: Template) -> list[Values]:
    """Give values for all parameters until each that a parameter allows was given, too."""
    parameters = template.get("Parameters", {})
    return spread(
        {name: one.get("AllowedValues") or choices(template, name) for name, one in parameters.items()}
    )


def spread(found: Mapping[str, list[Any]]) -> list[Values]:
    """Give each value once at least, all in as few steps as the longest list has."""
    steps = max(map(len, found.values()), default=1)
    return [{name: str(some[step % len(some)]) for name, some in found.items()} for step in range(steps)]


def choices(template: Template, name: str) -> list[Any]:
    """List the values of a parameter on which a condition turns, or else its own one."""
    parameter = template["Parameters"][name]
    given = EXAMPLES.get(name, parameter.get("Default", ""))
    compared = [
        value for parameter, value in comparisons(template.get("Conditions", {})) if parameter == name
    ]
    if not compared:
        return [given]
    listed = parameter.get("AllowedValues", [given])
    return list(dict.fromkeys([parameter.get("Default", given), *compared, *listed]))


def comparisons(node: Any) -> Iterator[tuple[str, Any]]:
    """Give each parameter that a condition compares, with what it is compared to."""
    match node:
        case {"Fn::Equals": [{"Ref": name} | {"Fn::Join": [_, {"Ref": name}]}, value]}:
            yield name, value
        case dict():
            for member in node.values():
                yield from comparisons(member)
        case list():
            for member in node:
                yield from comparisons(member)


def broken_rules(template: Template, values: Values) -> list[str]:
    """Name the template's rules that refuse the values, and the parameters whose patterns do."""
    found = [
        name
        for name, rule in template.get("Rules", {}).items()
        if decided(template, rule.get("RuleCondition", {"Fn::Equals": ["", ""]}), values)
        and not all(decided(template, one["Assert"], values) for one in rule["Assertions"])
    ]
    patterns = ((name, one.get("AllowedPattern", "(?s).*")) for name, one in template["Parameters"].items())
    return found + [name for name, pattern in patterns if not re.fullmatch(pattern, values[name])]


# Deciding


def settled(template: Template, values: Values) -> Template:
    """Give the template that is left when parameters have these values: no condition, no choice."""
    held = {name: decided(template, one, values) for name, one in template.get("Conditions", {}).items()}
    kept = ("AWSTemplateFormatVersion", "Transform", "Description")
    made: Template = {key: value for key, value in template.items() if key in kept}
    for section in ("Resources", "Outputs"):
        made[section] = {
            name: {key: settle(value, each, held) for key, value in entry.items() if key not in DECIDED}
            for name, entry, each in unrolled(template.get(section, {}), values)
            if held.get(entry.get("Condition"), True)
        }
    return {
        **made,
        **({"Globals": settle(template["Globals"], values, held)} if "Globals" in template else {}),
    }


def unrolled(entries: Mapping[str, Any], values: Values) -> Iterator[tuple[str, Any, Values]]:
    """Give each entry with the values that hold in it: one of a loop for each item, under its own name."""
    for name, entry in entries.items():
        if "ForEach" not in entry:
            yield name, entry, values
            continue
        identifier = entry["ForEach"]["Identifier"]
        for item in values[entry["ForEach"]["Collection"]["Ref"]].split(","):
            plain = re.sub("[^A-Za-z0-9]", "", item)
            yield name.replace(f"&{{{identifier}}}", plain), entry, values | {identifier: item}


def decided(template: Template, condition: Any, values: Values) -> bool:
    """Tell whether a condition holds."""
    ((function, given),) = condition.items()
    match function:
        case "Condition":
            return decided(template, template["Conditions"][given], values)
        case "Fn::Not":
            return not decided(template, given[0], values)
        case "Fn::And":
            return all(decided(template, one, values) for one in given)
        case "Fn::Or":
            return any(decided(template, one, values) for one in given)
    left, right = (settle(side, values, {}) for side in given)
    return str(left) == str(right)


def settle(node: Any, values: Values, held: Mapping[str, bool]) -> Any:
    """Put values in place of references to parameters, and what is chosen in place of choices."""
    if isinstance(node, list):
        return [item for item in (settle(one, values, held) for one in node) if item != NOTHING]
    match node:
        case {"Fn::If": [condition, chosen, otherwise]}:
            return settle(chosen if held[condition] else otherwise, values, held)
        case {"Ref": str(name)}:
            return values.get(name, node)
        case {"Fn::Sub": given}:
            text, own = given if isinstance(given, list) else (given, {})
            return substituted(text, values, settle(own, values, held))
        case dict():
            members = ((key, settle(value, values, held)) for key, value in node.items())
            return calculated({key: value for key, value in members if value != NOTHING})
    return node


def calculated(node: Any) -> Any:
    """Carry a function out where all that it needs is known."""
    match node:
        case {"Fn::Split": [delimiter, str(text)]}:
            return text.split(delimiter)
        case {"Fn::Join": [delimiter, list(parts)]} if all(isinstance(part, str) for part in parts):
            return delimiter.join(parts)
        case {"Fn::Join": [delimiter, str(text)]}:  # a list as a parameter is given
            return delimiter.join(text.split(","))
        case {"Fn::Select": [number, list(items)]}:
            return items[int(number)]
    return node


def substituted(text: str, values: Values, own: Mapping[str, Any]) -> Any:
    """Put values into a text; what only a deployment knows stays to be put in."""
    known = {**values, **{key: value for key, value in own.items() if isinstance(value, str)}}
    text = PLACEHOLDER.sub(lambda found: known.get(found[1], found[0]), text)
    later = {key: value for key, value in own.items() if not isinstance(value, str)}
    if "${" not in text:
        return text
    return {"Fn::Sub": [text, later] if later else text}


# Transforming


def transforms(template: Template) -> set[str]:
    """Name the transforms that CloudFormation runs over a template: its own, and those of Fn::Transform."""
    own = template.get("Transform", [])
    return {*([own] if isinstance(own, str) else own), *embedded(template)}


def embedded(node: Any) -> Iterator[str]:
    """Name the transforms that Fn::Transform calls at or below a node."""
    if isinstance(node, dict):
        if "Fn::Transform" in node:
            yield node["Fn::Transform"]["Name"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from embedded(item)


def packaged(template: Template) -> Template:
    """Return the template as packaging leaves it: its code is in S3."""
    made = copy.deepcopy(template)
    for resource in made["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Lambda::Function" and isinstance(properties["Code"], str):
            properties["Code"] = {"S3Bucket": "the-bucket", "S3Key": "code.zip"}
        elif "CodeUri" in properties:
            properties["CodeUri"] = "s3://the-bucket/code.zip"
    return made


def transformed(template: Template, values: Values) -> Template:
    """Translate a template, packaged or not, as CloudFormation does, which gives the macro values."""
    from samtranslator.translator.transform import transform  # noqa: PLC0415 - a second that few need

    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)  # it tells of its own affairs
    return dict(transform(packaged(template), dict(values), SimpleNamespace(load=dict)))


def written(path: Path, template: Template, folder: Path) -> Iterator[tuple[Path, Values]]:
    """Write a template in every variant, before and after its transformation, with the values of each."""
    for number, values in enumerate(variants(template), start=1):
        stages = {"": template}
        if SAM in transforms(template):
            stages[".transformed"] = transformed(template, values)
        for stage, content in stages.items():
            file = folder / f"{path.stem}.{number}{stage}.json"
            file.write_text(json.dumps(settled(content, values)), encoding="utf-8")
            yield file, values


def value_faults(templates: Mapping[Path, Template]) -> Iterator[str]:
    """Say which examples a template refuses itself, and which of its variants SAM does not translate."""
    from samtranslator.model.exceptions import InvalidDocumentException  # noqa: PLC0415 - as above

    for path, template in templates.items():
        for values in enumerated(template):
            yield from (f"{path.name}: {name} refuses the example" for name in broken_rules(template, values))
            try:
                if SAM in transforms(template):
                    transformed(template, values)
            except InvalidDocumentException as error:
                yield from (f"{path.name}: {cause.message}" for cause in error.causes)
