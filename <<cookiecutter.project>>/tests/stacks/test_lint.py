"""Each check of `make lint` finds its faults."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import read_template, template_paths

from tests.lint import variants
from tests.lint.command import variant_faults
from tests.lint.machines import machine_faults, substitution_faults

ROOT = Path(__file__).resolve().parents[2]
MACHINE = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
TEMPLATES = {path.name: read_template(path) for path in template_paths(ROOT)}


def faults_of(definition: dict[str, Any], folder: Path) -> list[str]:
    path = folder / "broken.asl.json"
    path.write_text(json.dumps(definition), encoding="utf-8")
    return list(machine_faults(path))


def test_the_projects_own_state_machines_have_no_faults(tmp_path: Path) -> None:
    """Otherwise the cases below would prove nothing."""
    assert faults_of(MACHINE, tmp_path) == []
    assert list(substitution_faults(ROOT / "stacks")) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["StartAt"], "Nowhere", "'Nowhere', which is not a state"),
        (["States", "WriteManifest", "Next"], "Prepared", "'Prepared', which is not a state"),
        (["States", "CheckQualityGate", "Default"], "Refuse", "nothing leads to 'RejectModel'"),
        (
            ["States", "CheckQualityGate", "Choices", 1, "Next"],
            "CopyFile",
            "'CopyFile', which is not a state",
        ),
        (["States", "EvaluateModel", "Catch", 0, "Next"], "Gone", "'Gone', which is not a state"),
        (
            ["States", "RunBaselineAndTraining", "Branches", 1, "StartAt"],
            "FailTraining",
            "nothing leads to 'TrainModel'",
        ),
        (
            ["States", "ReturnTrainedModel", "Output", "Result"],
            "{% $states.input( %}",
            "ReturnTrainedModel.Output.Result",
        ),
        (
            ["States", "ReturnTrainedModel", "Output", "Result"],
            "{% $metrics.rmse %}",
            "nothing assigns $metrics",
        ),
        (["States", "ReturnTrainedModel", "Output", "Result"], "{% $eval('1') %}", "nothing assigns $eval"),
    ],
)
def test_a_broken_state_machine_is_found(tmp_path: Path, path: list[Any], value: Any, words: str) -> None:
    """Wrong targets, unreachable states, syntax errors and unset variables are found."""
    broken = copy.deepcopy(MACHINE)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert any(words in fault for fault in faults_of(broken, tmp_path))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            "workflow.yml",
            "        Project: !Ref Project\n        SageMaker",
            "        SageMaker",
            "needs ${Project}",
        ),
        ("workflow.yml", "ProductionParameter: !Ref", "Production: !Ref", "has no ${Production}"),
        ("workflow.asl.json", "${ProductionParameter}", "/x", "has no ${ProductionParameter}"),
        ("workflow.yml", "workflow.asl.json", "train.asl.json", "train.asl.json is not there"),
    ],
)
def test_a_broken_substitution_is_found(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    """Every ${X} has a value, every value is used, and every definition is deployed."""
    shutil.copytree(ROOT / "stacks", tmp_path, dirs_exist_ok=True)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    assert any(words in fault for fault in substitution_faults(tmp_path))


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_side_of_every_condition_and_every_value_is_tried(name: str) -> None:
    """A side that no variant has would be deployed unseen."""
    template = TEMPLATES[name]
    tried = variants.variant_values(template)
    for condition, content in template.get("Conditions", {}).items():
        assert {variants.condition_holds(template, content, values) for values in tried} == {True, False}, (
            condition
        )
    for parameter, rule in template["Parameters"].items():
        allowed = set(map(str, rule.get("AllowedValues", [])))
        assert allowed <= {values[parameter] for values in variants.allowed_values(template)}, parameter


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_variant_is_resolved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no condition, and no reference to a resource that it lacks."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", variants.REGION)
    template = TEMPLATES[name]
    for values in variants.variant_values(template):
        made = variants.transform_sam(template, values) if "Transform" in template else template
        left = variants.resolve(made, values)
        text = json.dumps(left)
        assert not [word for word in ("Fn::If", '"Condition": "', "AWS::NoValue") if word in text]
        named = set(re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', text))
        assert named <= left["Resources"].keys()


def test_a_fault_that_only_values_show_is_found(tmp_path: Path) -> None:
    """A reference may be to anything until it has a value: a role's name is not an ARN."""
    broken = copy.deepcopy(TEMPLATES["studio.yml"])
    statements = broken["Resources"]["StudioPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (passing,) = [one for one in statements if one["Action"] == "iam:PassRole"]
    passing["Resource"] = {"Ref": "StudioRoleName"}
    found = variant_faults({tmp_path / "studio.yml": broken}, tmp_path)
    assert [line.partition(":")[0] for line in found if "E3510" in line] == ["studio.1.json", "studio.2.json"]
    assert all("StudioRoleName=Studio" in line for line in found)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["Parameters", "GoldenUrl", "AllowedPattern"], "https://.+", "GoldenUrl refuses the example"),
        (
            ["Rules", "VpcIsWhole", "Assertions", 0, "Assert"],
            {"Fn::Equals": ["a", "b"]},
            "VpcIsWhole refuses",
        ),
        (
            ["Globals", "Function", "AutoPublishAlias"],
            {"Name": "live"},
            "[ApiFunction] is invalid. 'AutoPublishAlias'",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_found(
    monkeypatch: pytest.MonkeyPatch, path: list[Any], value: Any, words: str
) -> None:
    """Patterns, rules, and properties that SAM does not translate."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", variants.REGION)
    template = TEMPLATES["deploy-model-prd.yml"]
    assert list(variants.value_faults({Path("prd.yml"): template})) == []
    broken = copy.deepcopy(template)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert any(words in fault for fault in variants.value_faults({Path("prd.yml"): broken}))
