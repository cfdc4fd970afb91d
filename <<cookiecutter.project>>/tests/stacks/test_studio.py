"""Studio's template: its product is found, and is launched only by the role that may create it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import read_template

ROOT = Path(__file__).resolve().parents[2]
STUDIO = read_template(ROOT / "pipeline" / "studio.yml")
RESOURCES = STUDIO["Resources"]
PIPELINE = read_template(ROOT / "pipeline" / "pipeline.yml")
VISIBLE = {"Key": "sagemaker:studio-visibility", "Value": "true"}
ARN = "arn:aws:{}:eu-central-1:111122223333:"
# Names of a project `house`: from pipeline.yml, or generated from the name of its stack (SC-…, SP-…).
NAMED = {
    "codebuild:CreateProject": ARN.format("codebuild") + "project/house-build",
    "codepipeline:CreatePipeline": ARN.format("codepipeline") + "house-pipeline",
    "ecr:CreateRepository": ARN.format("ecr") + "repository/house/api",
    "events:PutRule": ARN.format("events") + "rule/SC-111122223333-pp-abc-SourceRule-1",
    "iam:CreateRole": "arn:aws:iam::111122223333:role/SP-house-p-0123-BuildRole-1",
    "iam:PassRole": "arn:aws:iam::111122223333:role/SC-111122223333-pp-abc-PipelineRole-1",
    "kms:CreateAlias": ARN.format("kms") + "alias/house",
    "logs:CreateLogGroup": ARN.format("logs") + "log-group:/aws/codebuild/house-build",
    "s3:CreateBucket": "arn:aws:s3:::sc-111122223333-pp-abc-artifactbucket-1",
    "sagemaker:CreateModelPackageGroup": ARN.format("sagemaker") + "model-package-group/house",
    "sns:CreateTopic": ARN.format("sns") + "SC-111122223333-pp-abc-NotificationTopic-1",
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def launch_statements() -> list[dict[str, Any]]:
    (policy,) = RESOURCES["LaunchRole"]["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def patterns(action: str) -> list[str]:
    """List the ARNs on which the launch role has an action."""
    values = {
        "AWS::Partition": "aws",
        "AWS::Region": "eu-central-1",
        "AWS::AccountId": "111122223333",
        "TemplateBucket.Arn": "arn:aws:s3:::the-bucket",
    }
    found = [
        resource
        for statement in launch_statements()
        if action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]
    texts = [one if isinstance(one, str) else one["Fn::Sub"] for one in found]
    return [re.sub(r"\$\{([\w:.]+)\}", lambda name: values[name[1]], text) for text in texts]


@pytest.mark.parametrize(("action", "arn"), NAMED.items())
def test_the_launch_role_reaches_projects_and_no_further(action: str, arn: str) -> None:
    """Names begin with the prefixes of Service Catalog and SageMaker, or are the project's own."""
    assert any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), arn) for one in patterns(action))
    if ":role/" in arn or ":rule/" in arn or ":s3:" in arn or ":sns:" in arn:
        foreign = re.sub(r"(?i)(S[CP])-", "other-", arn, count=1)
        assert not any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), foreign) for one in patterns(action))


def test_services_get_the_roles_of_the_pipelines_template() -> None:
    """The launch role may pass a role to each service that assumes one there."""
    assumed = {
        statement["Principal"]["Service"]
        for resource in PIPELINE["Resources"].values()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    }
    (passing,) = [one for one in launch_statements() if one["Action"] == "iam:PassRole"]
    assert set(passing["Condition"]["StringEquals"]["iam:PassedToService"]) == assumed


def test_the_product_is_seen_and_launched_by_its_role() -> None:
    """Without tag, associations or constraint, Studio shows nothing, or users need their own permissions."""
    product = RESOURCES["Product"]["Properties"]
    assert VISIBLE in product["Tags"]
    (artifact,) = product["ProvisioningArtifactParameters"]
    assert artifact["Info"]["LoadTemplateFromURL"]["Fn::Sub"].endswith("/${TemplateKey}")
    assert re.fullmatch(
        STUDIO["Parameters"]["TemplateKey"]["AllowedPattern"], "catalog/pipeline-" + "0a" * 8 + ".yml"
    )
    ids = {"PortfolioId": {"Ref": "Portfolio"}, "ProductId": {"Ref": "Product"}}
    assert RESOURCES["ProductAssociation"]["Properties"] == ids
    constraint = RESOURCES["LaunchConstraint"]
    assert constraint["Properties"].items() >= ids.items()
    assert constraint["DependsOn"] == "ProductAssociation"
    assert constraint["Properties"]["RoleArn"] == {"Fn::GetAtt": ["LaunchRole", "Arn"]}
    assert RESOURCES["PrincipalAssociation"]["Properties"]["PrincipalARN"] == {"Ref": "StudioRoleArn"}


def test_the_pipelines_template_takes_what_sagemaker_fills_in() -> None:
    """SageMaker requires these two parameters in a template; without SageMaker they stay empty."""
    for name, example in {
        "SageMakerProjectName": "house-prices",
        "SageMakerProjectId": "p-0123456789ab",
    }.items():
        rule = PIPELINE["Parameters"][name]
        assert (rule["Type"], rule["Default"]) == ("String", "")
        assert re.fullmatch(rule["AllowedPattern"], example)


def test_studio_reads_templates_from_its_own_pages_only() -> None:
    """The browser reads the list; it writes nothing."""
    (rule,) = RESOURCES["TemplateBucket"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == ["https://*.sagemaker.aws"]
    assert set(rule["AllowedMethods"]) == {"GET", "HEAD"}
    assert VISIBLE in RESOURCES["TemplateBucket"]["Properties"]["Tags"]


def test_users_create_and_start_but_do_not_approve() -> None:
    """The role of Studio passes one role to one service, and may not answer an approval."""
    document = RESOURCES["StudioPolicy"]["Properties"]["PolicyDocument"]
    text = json.dumps(document)
    assert "PutApprovalResult" not in text
    (passing,) = [one for one in document["Statement"] if one["Action"] == "iam:PassRole"]
    assert passing["Resource"] == {"Fn::GetAtt": ["LaunchRole", "Arn"]}
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "cloudformation.amazonaws.com"}}
    assert not [one for one in document["Statement"] if "*" in as_list(one["Resource"])]
