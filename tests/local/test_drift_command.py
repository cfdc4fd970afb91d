"""`python -m local drift`: a refused command changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local.__main__ import app
from local.project import LocalError
from typer.testing import CliRunner

BUCKET_OF_THE_PROJECT = json.dumps(
    {
        "Parameters": {"ExecutionId": {"Type": "String"}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"ArtifactBucket": {"Value": "artifacts"}},
    }
)


@pytest.fixture
def report(rig: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to the project of the cloud, and write the report of a delivery there."""
    monkeypatch.chdir(rig.cloud.root)
    path = Path(rig.cloud.root) / ".local" / "report.json"
    path.write_text('{"metrics": {"r2": 0.8}}\n', encoding="utf-8")
    return path


def refused(*arguments: str) -> str:
    """Return the reason why drift is refused."""
    fault = CliRunner().invoke(app, ["drift", *arguments]).exception
    assert isinstance(fault, LocalError)
    return str(fault)


def test_a_refusal_leaves_the_report_of_the_last_delivery(rig: Any, report: Path) -> None:
    """A person who mistypes a feature keeps the scores of the model in production."""
    before = report.read_bytes()
    assert "No model serves production" in refused()
    rig.put("models/v1/constraints.json", '{"features": [{"name": "age", "inferred_type": "Integral"}]}')
    for stack in ("stand-in-deploy-prd", "stand-in-pipeline"):
        rig.deploy(stack, BUCKET_OF_THE_PROJECT, {"ExecutionId": "v1"})
    try:
        assert "no feature agee: take one of age" in refused("--feature", "agee")
        assert "takes a feature of type" in refused("--scenario", "category")
        assert report.read_bytes() == before
    finally:
        for stack in ("stand-in-deploy-prd", "stand-in-pipeline"):
            rig.cloudformation.delete_stack(StackName=stack)
            rig.cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack)
