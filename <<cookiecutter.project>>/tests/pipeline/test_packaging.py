"""The project's own templates name local files only where the build packages them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.session import get_session
from delivery.templates import packaging
from delivery.templates.read import read_template

from tests.pipeline.aws import REGION

if TYPE_CHECKING:
    from tests.pipeline.aws import Aws

ROOT = Path(__file__).resolve().parents[2]
KEY_ARN = "arn:aws:kms:eu-central-1:000000000000:key/1"
# Every property that the AWS CLI looks into (`aws cloudformation package`, its `artifact_exporter.py`).
PACKAGED_BY_THE_CLI = {
    "BodyS3Location",
    "Code",
    "CodeUri",
    "Content",
    "ContentUri",
    "DefinitionS3Location",
    "DefinitionUri",
    "RequestMappingTemplateS3Location",
    "ResponseMappingTemplateS3Location",
    "SourceBundle",
    "TemplateURL",
}


@pytest.mark.parametrize("path", sorted((ROOT / "stacks").glob("*.yml")), ids=lambda path: path.name)
def test_no_local_path_is_left_in_the_projects_templates(
    path: Path, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every property that the CLI would package; and everything else is as it was."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    client = get_session().create_client("s3", region_name=REGION)
    made = tmp_path / path.name
    made.write_text(packaging.package(path, packaging.Uploads(client, "bucket", KEY_ARN)), encoding="utf-8")
    packaged, original = read_template(made), read_template(path)
    for name, resource in packaged["Resources"].items():
        properties = resource.get("Properties", {})
        for key in PACKAGED_BY_THE_CLI & properties.keys():
            value = properties[key]
            assert not isinstance(value, str) or value.startswith("s3://"), f"{name}.{key}"
            before = original["Resources"][name]["Properties"]
            if before[key] != value:
                before[key] = value
                assert packaging.FORMS[resource["Type"], key]
    assert packaged == original
