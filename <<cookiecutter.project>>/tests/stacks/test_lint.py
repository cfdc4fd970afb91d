"""The checks behind `make lint` find what they are for; a check that never fails checks nothing."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.lint.command import variant_faults
from scripts.lint.machines import machine_faults, substitution_faults
from scripts.templates import variants
from scripts.templates.read import read_template, template_paths

ROOT = Path(__file__).resolve().parents[2]
MACHINE = json.loads((ROOT / "stacks" / "workflow.asl.json").read_text(encoding="utf-8"))
TEMPLATES = {path.name: read_template(path) for path in template_paths()}


def faults_of(definition: dict[str, Any], folder: Path) -> list[str]:
    path = folder / "broken.asl.json"
    path.write_text(json.dumps(definition), encoding="utf-8")
    return list(machine_faults(path))


def test_the_projects_own_state_machines_are_whole(tmp_path: Path) -> None:
    """Otherwise the cases below would prove nothing."""
    assert faults_of(MACHINE, tmp_path) == []
    assert list(substitution_faults(ROOT / "stacks")) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["StartAt"], "Nowhere", "'Nowhere', which is not a state"),
        (["States", "Write the manifest", "Next"], "Prepared", "'Prepared', which is not a state"),
        (["States", "Gate", "Default"], "Refuse", "nothing leads to 'Refuse the model'"),
        (["States", "Gate", "Choices", 1, "Next"], "Copy", "'Copy', which is not a state"),
        (["States", "Evaluate", "Catch", 0, "Next"], "Gone", "'Gone', which is not a state"),
        (
            ["States", "Baseline and train", "Branches", 1, "StartAt"],
            "Training failed",
            "nothing leads to 'Train'",
        ),
        (["States", "Trained", "Output", "Result"], "{% $states.input( %}", "Trained.Output.Result"),
        (["States", "Trained", "Output", "Result"], "{% $metrics.rmse %}", "nothing assigns $metrics"),
        (["States", "Trained", "Output", "Result"], "{% $eval('1') %}", "nothing assigns $eval"),
    ],
)
def test_broken_state_machines_are_told(tmp_path: Path, path: list[Any], value: Any, words: str) -> None:
    """Targets, unreachable states, syntax, unset variables: what cfn-lint and statelint let pass."""
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
def test_broken_substitutions_are_told(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    """${X} is replaced both ways: none is left open, none is given in vain, every file is deployed."""
    shutil.copytree(ROOT / "stacks", tmp_path, dirs_exist_ok=True)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new), encoding="utf-8")
    assert any(words in fault for fault in substitution_faults(tmp_path))


# Templates in all variants


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_side_of_every_condition_and_every_value_is_tried(name: str) -> None:
    """What no variant has is deployed unseen."""
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
def test_a_variant_is_what_is_deployed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to decide, and nothing refers to what is not made."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", variants.REGION)
    template = TEMPLATES[name]
    for values in variants.variant_values(template):
        made = variants.transform_sam(template, values) if "Transform" in template else template
        left = variants.resolve(made, values)
        text = json.dumps(left)
        assert not [word for word in ("Fn::If", '"Condition": "', "AWS::NoValue") if word in text]
        named = set(re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"', text))
        assert named <= left["Resources"].keys()


def test_what_only_values_show_is_told(tmp_path: Path) -> None:
    """A reference may be to anything until it has a value: a role's name is no ARN."""
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
def test_values_that_do_not_fit_are_told(
    monkeypatch: pytest.MonkeyPatch, path: list[Any], value: Any, words: str
) -> None:
    """Patterns, rules, and what SAM does not translate."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", variants.REGION)
    template = TEMPLATES["deploy-model-prd.yml"]
    assert list(variants.value_faults({Path("prd.yml"): template})) == []
    broken = copy.deepcopy(template)
    place = broken
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert any(words in fault for fault in variants.value_faults({Path("prd.yml"): broken}))
