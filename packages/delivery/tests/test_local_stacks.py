"""Stacks of the local cloud: created, updated, made anew, and refused with their reason."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from delivery import local_stacks, stacks
from delivery.cloud import DeliveryError
from delivery.history.stack import stack_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from localcloud import Cloud

    Deploy = Callable[..., None]

NUMBERS = itertools.count(1)


@pytest.fixture
def name() -> str:
    return f"quick-{next(NUMBERS)}"


@pytest.fixture
def deploy(cloud: Cloud, tmp_path: Path, name: str) -> Deploy:
    """Return a function that deploys a parameter of SSM, by a template of at least `size` bytes."""

    def deploy(value: str, size: int = 0) -> None:
        setting = {"Type": "String", "Name": f"/{name}", "Value": {"Ref": "Value"}}
        template = {
            "Metadata": {"text": "x" * size},
            "Parameters": {"Value": {"Type": "String"}},
            "Resources": {"Setting": {"Type": "AWS::SSM::Parameter", "Properties": setting}},
            "Outputs": {"Setting": {"Value": {"Ref": "Setting"}}},
        }
        path = tmp_path / "template.json"
        path.write_text(json.dumps(template), encoding="utf-8")
        settings = local_stacks.StackSettings({"Value": value}, {"project": name})
        local_stacks.deploy(cloud, name, path, settings)

    return deploy


def test_a_stack_is_created_updated_and_left(cloud: Cloud, name: str, deploy: Deploy) -> None:
    """A deployment that changes nothing is not an error."""
    with pytest.raises(
        DeliveryError, match=rf"Stack {name} is not in the local cloud; 'python -m local run'"
    ):
        local_stacks.outputs(cloud, name)
    assert local_stacks.parameters(cloud, name) == {}
    for value, status in (("1", "CREATE_COMPLETE"), ("2", "UPDATE_COMPLETE"), ("2", "UPDATE_COMPLETE")):
        deploy(value)
        assert (stacks.find(cloud, name) or {})["StackStatus"] == status
        assert local_stacks.parameters(cloud, name) == {"Value": value}
    assert local_stacks.outputs(cloud, name) == {"Setting": f"/{name}"}


def test_a_long_template_goes_through_s3(cloud: Cloud, name: str, deploy: Deploy) -> None:
    """A request takes 51,200 bytes of a template, and a second deployment finds the bucket."""
    for value in ("1", "2"):
        deploy(value, size=local_stacks.MAX_BODY)
    stored = cloud.client("s3").list_objects_v2(Bucket=f"{name}-templates")["Contents"]
    assert [each["Key"] for each in stored] == ["template.json"]


def test_a_failure_says_why_and_is_made_anew(cloud: Cloud, name: str, deploy: Deploy) -> None:
    """As CodePipeline's REPLACE_ON_FAILURE does; the record of a run has the reason too."""
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name=f"/{name}", Type="String", Value="taken")
    with pytest.raises(
        DeliveryError, match=rf"Stack {name} ended as ROLLBACK_COMPLETE: Setting: "
    ) as refused:
        deploy("1")
    ssm.delete_parameter(Name=f"/{name}")
    since = (stacks.find(cloud, name) or {})["CreationTime"]
    failed = stack_record(cloud, "Pipeline", name, since)
    assert failed is not None
    assert (failed.status, failed.log) == ("Failed", ".local/logs/cloud.log")
    assert failed.reason in str(refused.value)
    deploy("1")
    made = stack_record(cloud, "Pipeline", name, since)
    assert made is not None
    assert (made.status, made.reason) == ("Succeeded", "")
    assert stack_record(cloud, "Pipeline", "another", since) is None
