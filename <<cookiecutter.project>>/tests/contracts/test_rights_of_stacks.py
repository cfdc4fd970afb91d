"""Roles that deploy stacks allow the calls of CloudFormation for the stacks' resources, and no other calls.

CloudFormation's registry says of each type of resource what its handlers call; cfn-lint brings the schemas.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER
from delivery.templates.read import read_template, template_paths

from tests.lint import variants

if TYPE_CHECKING:
    from collections.abc import Iterable

Template = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: read_template(path) for path in template_paths(ROOT)}
PLATFORM = ("network.yml", "pipeline.yml", "studio.yml")
DELIVERED = [name for name in TEMPLATES if name not in PLATFORM]
# Actions that a handler calls for one property only; they are needed once a template has the property.
FOR_A_PROPERTY = {
    ("AWS::ApiGateway::RestApi", "Policy"): "apigateway:UpdateRestApiPolicy",
    ("AWS::ApplicationAutoScaling::ScalableTarget", "ScheduledActions"): r"\S+:(Put|Delete)ScheduledAction",
    (
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "PredictiveScalingPolicyConfiguration",
    ): "cloudwatch:GetMetricData",
    (
        "AWS::CodeDeploy::DeploymentGroup",
        "OnPremisesInstanceTagFilters",
    ): "codedeploy:RegisterOnPremisesInstance",
    ("AWS::CodePipeline::Pipeline", "DisableInboundStageTransitions"): r"\S+:(Dis|En)ableStageTransition",
    ("AWS::IAM::Role", "Description"): "iam:UpdateRoleDescription",
    ("AWS::IAM::Role", "ManagedPolicyArns"): r"iam:(At|De)tachRolePolicy",
    ("AWS::KMS::Key", "Enabled"): r"kms:(Dis|En)ableKey",
    (
        "AWS::Lambda::(Alias|Version)|AWS::ApplicationAutoScaling::ScalableTarget",
        "ProvisionedConcurrencyConfig",
    ): r"lambda:(Put|Delete)ProvisionedConcurrencyConfig",
    ("AWS::Lambda::Function", "CapacityProviderConfig"): "lambda:PassCapacityProvider",
    (
        "AWS::Lambda::Function",
        "CodeSigningConfigArn",
    ): r"lambda:(GetCodeSigningConfig|(Put|Delete)FunctionCodeSigningConfig)",
    ("AWS::Lambda::(Function|Version)", "FunctionScalingConfig"): "lambda:PutFunctionScalingConfig",
    ("AWS::Lambda::Function", "KmsKeyArn"): "kms:Encrypt",
    ("AWS::Lambda::Function", "Layers"): "lambda:GetLayerVersion",
    ("AWS::Lambda::Function", "RecursiveLoop"): "lambda:PutFunctionRecursionConfig",
    ("AWS::Lambda::Function", "ReservedConcurrentExecutions"): r"lambda:(Put|Delete)FunctionConcurrency",
    (
        "AWS::Lambda::(Function|Version)",
        "RuntimeManagementConfig",
    ): r"lambda:(PutRuntimeManagementConfig|AssociateRuntimeAlias)",
    ("AWS::Logs::LogGroup", "BearerTokenAuthenticationEnabled"): "logs:PutBearerTokenAuthentication",
    ("AWS::Logs::LogGroup", "DataProtectionPolicy"): r"logs:(Put|Delete)DataProtectionPolicy",
    ("AWS::Logs::LogGroup", "DeletionProtectionEnabled"): "logs:PutLogGroupDeletionProtection",
    ("AWS::Logs::LogGroup", "FieldIndexPolicies"): r"logs:(Put|Delete)IndexPolicy",
    (
        "AWS::Logs::LogGroup",
        "LogGroupClass",
    ): r"firehose:TagDeliveryStream|logs:CreateLogDelivery|s3:REST\.PUT\.OBJECT",
    ("AWS::Logs::LogGroup", "ResourcePolicyDocument"): r"logs:(Put|Delete)ResourcePolicy",
    ("AWS::S3::Bucket", "AbacStatus"): r"s3:\w*Abac",
    ("AWS::S3::Bucket", "AccelerateConfiguration"): r"s3:\w*Accelerate\w*",
    ("AWS::S3::Bucket", "AccessControl"): r"s3:\w*Acl",
    ("AWS::S3::Bucket", "AnalyticsConfigurations"): r"s3:\w*Analytics\w*",
    ("AWS::S3::Bucket", "CorsConfiguration"): r"s3:\w*(CORS|Cors)",
    ("AWS::S3::Bucket", "IntelligentTieringConfigurations"): r"s3:\w*IntelligentTiering\w*",
    ("AWS::S3::Bucket", "InventoryConfigurations"): r"s3:\w*Inventory\w*",
    ("AWS::S3::Bucket", "LoggingConfiguration"): r"s3:\w*Logging",
    ("AWS::S3::Bucket", "MetadataTableConfiguration"): r"s3:\w*Metadata\w*|s3tables:\w+",
    ("AWS::S3::Bucket", "MetricsConfigurations"): r"s3:\w*Metrics\w*",
    ("AWS::S3::Bucket", "ObjectLockConfiguration"): r"s3:\w*ObjectLock\w*",
    ("AWS::S3::Bucket", "ReplicationConfiguration"): r"s3:\w*Replication\w*",
    ("AWS::S3::Bucket", "WebsiteConfiguration"): r"s3:\w*Website",
    ("AWS::SNS::Subscription", "FilterPolicy"): "sns:SetSubscriptionAttributes",
    ("AWS::SNS::Topic", "DataProtectionPolicy"): "sns:PutDataProtectionPolicy",
}
# Actions that are never called for these templates, with the reason.
NEVER_CALLED = {
    "codepipeline:StartPipelineExecution",  # RestartExecutionOnUpdate is false
    "iam:DeleteRolePermissionsBoundary",  # without its boundary a role would not be bounded
    "kms:DisableKeyRotation",  # keys rotate
    "s3:DeleteBucketEncryption",  # a property that each version of the template has is not removed
    "s3:DeleteBucketLifecycle",
    "s3:DeleteBucketTagging",
    "s3:DeleteObject",  # buckets are created, not emptied
    "s3files:ListMountTargets",  # the file system of the function is in EFS
}
# Types of resources for which the registry has no handlers.
WITHOUT_HANDLERS = {
    "AWS::CodeBuild::Project": {
        *(f"codebuild:{verb}" for verb in ("BatchGetProjects", "CreateProject", "DeleteProject")),
        "codebuild:UpdateProject",
        "iam:PassRole",
    }
}
# Further actions that the creation of a stack needs.
FURTHER_ACTIONS = {
    "DeployRole": {
        "cloudformation:CreateChangeSet",  # on transforms; test_transforms.py checks which
        *(f"ecr:{verb}" for verb in ("BatchGetImage", "GetDownloadUrlForLayer", "GetRepositoryPolicy")),
        "sagemaker:UpdateEndpointWeightsAndCapacities",  # registering a scalable variant needs it
    },
    "LaunchRole": {
        *(f"cloudformation:{verb}Stack" for verb in ("Create", "Delete", "Update")),
        *(f"cloudformation:{verb}" for verb in ("DescribeStackEvents", "DescribeStacks", "SetStackPolicy")),
        *(f"cloudformation:{verb}" for verb in ("GetTemplateSummary", "ValidateTemplate")),
        *(f"cloudformation:{verb}Resource" for verb in ("Tag", "Untag")),
        "codeconnections:PassConnection",  # codestar-connections:PassConnection under its newer name
        "s3:GetObject",  # the template
        "s3:GetObjectTagging",
    },
}


def resources_by_type(templates: Iterable[Template]) -> dict[str, list[dict[str, Any]]]:
    """Return all resources by type, as CloudFormation creates them in any variant."""
    found: dict[str, list[dict[str, Any]]] = {}
    for template in templates:
        for values in variants.variant_values(template):
            whole = variants.transform_sam(template, values) if "Transform" in template else template
            for resource in variants.resolve(whole, values)["Resources"].values():
                found.setdefault(resource["Type"], []).append(resource)
    return found


def needed(templates: Iterable[Template]) -> set[str]:
    """List the actions of CloudFormation for the resources; retained resources are not deleted."""
    found, resources = set(), resources_by_type(templates)
    for kind, own in resources.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        retained = all(one.get("DeletionPolicy") == "Retain" for one in own)
        handlers = ("create", "read", "update", *(() if retained else ("delete",)))
        called = WITHOUT_HANDLERS.get(kind, set()).union(
            *(schema.get("handlers", {}).get(one, {}).get("permissions", []) for one in handlers)
        )
        if (schema.get("tagging") or {}).get("taggable"):
            called |= set(schema["tagging"].get("permissions", []))
        assert called, f"{kind} has no handlers, and WITHOUT_HANDLERS does not list its actions"
        found |= {action for action in called if not is_for_an_absent_property(kind, action, resources)}
    return found - NEVER_CALLED


def is_for_an_absent_property(kind: str, action: str, resources: dict[str, list[dict[str, Any]]]) -> bool:
    """Return whether an action serves a property that no resource has."""
    return any(
        re.fullmatch(kinds, kind)
        and re.fullmatch(pattern, action)
        and not any(
            name in one.get("Properties", {})
            for other, some in resources.items()
            if re.fullmatch(kinds, other)
            for one in some
        )
        for (kinds, name), pattern in FOR_A_PROPERTY.items()
    )


def allowed(role: dict[str, Any]) -> set[str]:
    """List the actions that a role allows, with every option on."""
    found = set()
    for policy in role["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Fn::If"][1]["Action"] if "Fn::If" in statement else statement["Action"]
            found |= set(actions if isinstance(actions, list) else [actions])
    return found


def faults(name: str, role: dict[str, Any], templates: Iterable[Template]) -> list[str]:
    """List the needed actions that a role does not allow, and the allowed ones that are never needed."""
    required, permitted = needed(templates) | FURTHER_ACTIONS[name], allowed(role)
    missing = {
        one for one in required if not any(re.fullmatch(one.replace("*", r"\w*"), own) for own in permitted)
    }
    idle = {
        own for own in permitted if not any(re.fullmatch(one.replace("*", r"\w*"), own) for one in required)
    }
    return [f"{name} may not {one}" for one in sorted(missing)] + [
        f"{name} never does {one}" for one in sorted(idle)
    ]


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", variants.REGION)


def test_the_deploy_role_can_create_the_stacks() -> None:
    """Otherwise a deployment fails halfway."""
    role = TEMPLATES["pipeline.yml"]["Resources"]["DeployRole"]
    assert faults("DeployRole", role, [TEMPLATES[name] for name in DELIVERED]) == []


def test_the_launch_role_can_create_the_pipeline() -> None:
    """Otherwise the creation of a project in Studio fails halfway."""
    role = TEMPLATES["studio.yml"]["Resources"]["LaunchRole"]
    assert faults("LaunchRole", role, [TEMPLATES["pipeline.yml"]]) == []


def test_a_new_resource_property_or_action_is_reported() -> None:
    """The cases are a new type, a new property and an unused action."""
    broken = copy.deepcopy(TEMPLATES["workflow.yml"])
    broken["Resources"]["Queue"] = {"Type": "AWS::SQS::Queue", "Properties": {}}
    broken["Resources"]["StateMachineRole"]["Properties"]["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/x"]
    role = copy.deepcopy(TEMPLATES["pipeline.yml"]["Resources"]["DeployRole"])
    role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]["Action"] = "s3:PutBucketAcl"
    templates = [broken if name == "workflow.yml" else TEMPLATES[name] for name in DELIVERED]
    found = faults("DeployRole", role, templates)
    assert {
        "DeployRole may not sqs:CreateQueue",
        "DeployRole may not iam:AttachRolePolicy",
        "DeployRole may not cloudformation:CreateChangeSet",
        "DeployRole never does s3:PutBucketAcl",
    } <= set(found)
