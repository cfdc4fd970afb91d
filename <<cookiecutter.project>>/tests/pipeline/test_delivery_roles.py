"""The roles of the delivery pipeline: enough rights for its actions and stacks, and no others."""

import json
import re

import pytest

from tests.pipeline.delivery_template import (
    EXECUTION_ID,
    RESOURCES,
    SOURCES,
    STACKS,
    TEMPLATE,
    actions,
    as_list,
    holds,
    ordered_actions,
    organization_parameters,
    resolve,
    source_parameters,
    stages,
    statements,
    substitute,
)

ACTIONS_BY_PROVIDER = {
    "S3": {"s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion", "s3:GetObjectVersionTagging"},
    "CodeStarSourceConnection": {"codeconnections:UseConnection", "codestar-connections:UseConnection"},
    "CodeCommit": {
        f"codecommit:{verb}"
        for verb in (
            "CancelUploadArchive",
            "GetBranch",
            "GetCommit",
            "GetUploadArchiveStatus",
            "UploadArchive",
        )
    },
    "CodeBuild": {"codebuild:BatchGetBuilds", "codebuild:StartBuild"},
    "CloudFormation": {
        f"cloudformation:{verb}"
        for verb in ("CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "UpdateStack")
    }
    | {"cloudformation:TagResource", "cloudformation:UntagResource"}  # configurations have tags
    | {"iam:PassRole"},
    "StepFunctions": {
        f"states:{verb}" for verb in ("DescribeExecution", "DescribeStateMachine", "StartExecution")
    },
    "Manual": {"sns:Publish"},
}
ARTIFACT_ACTIONS = {
    *(f"s3:{verb}" for verb in ("GetBucketAcl", "GetBucketLocation", "GetBucketVersioning", "ListBucket")),
    *(f"s3:{verb}" for verb in ("GetObject", "GetObjectVersion", "PutObject")),
    *(f"kms:{verb}" for verb in ("Decrypt", "DescribeKey", "GenerateDataKey")),
}


def test_the_pipelines_role_allows_exactly_its_actions_calls() -> None:
    """Nothing is missing or unused, over all kinds of sources."""
    providers = {a["ActionTypeId"]["Provider"] for kind in SOURCES for a, _ in ordered_actions(stages(kind))}
    assert actions("PipelineRole") == ARTIFACT_ACTIONS.union(
        *(ACTIONS_BY_PROVIDER[provider] for provider in providers)
    )


def test_the_pipelines_role_covers_its_stacks_and_state_machines() -> None:
    """A stack that was added only to the pipeline would be refused when the pipeline runs."""
    text = json.dumps(statements("PipelineRole"))
    for action, _ in ordered_actions(stages("S3")):
        configuration = action["Configuration"]
        if "StackName" in configuration:
            assert f"stack/{configuration['StackName']}/*" in text
        if "StateMachineArn" in configuration:
            assert configuration["StateMachineArn"] in text
            machine = configuration["StateMachineArn"].replace(":stateMachine:", ":execution:")
            assert f"{machine}:*" in text


def may_deploy(arn: str) -> bool:
    """Return whether the deployment's role allows actions on the resource."""
    patterns = [one for statement in statements("DeployRole") for one in as_list(statement["Resource"])]
    return any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), arn) for p in patterns if p != "*")


ARN_PATTERNS = {
    "AWS::CloudWatch::Dashboard": ("DashboardName", "arn:aws:cloudwatch::111122223333:dashboard/{}"),
    "AWS::CloudWatch::Alarm": ("AlarmName", "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:{}"),
    "AWS::Lambda::Function": ("FunctionName", "arn:aws:lambda:eu-central-1:111122223333:function:{}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "arn:aws:logs:eu-central-1:111122223333:log-group:{}"),
    "AWS::SSM::Parameter": ("Name", "arn:aws:ssm:eu-central-1:111122223333:parameter{}"),
    "AWS::SageMaker::Endpoint": ("EndpointName", "arn:aws:sagemaker:eu-central-1:111122223333:endpoint/{}"),
    "AWS::SageMaker::Model": ("ModelName", "arn:aws:sagemaker:eu-central-1:111122223333:model/{}"),
    "AWS::SageMaker::MonitoringSchedule": (
        "MonitoringScheduleName",
        "arn:aws:sagemaker:eu-central-1:111122223333:monitoring-schedule/{}",
    ),
    "AWS::Scheduler::Schedule": ("Name", "arn:aws:scheduler:eu-central-1:111122223333:schedule/default/{}"),
    "AWS::Serverless::Function": ("FunctionName", "arn:aws:lambda:eu-central-1:111122223333:function:{}"),
    "AWS::StepFunctions::StateMachine": (
        "StateMachineName",
        "arn:aws:states:eu-central-1:111122223333:stateMachine:{}",
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_deploy_role_covers_the_names_in_a_stack(name: str) -> None:
    """Names begin with the project, and the role covers no other project's names."""
    parameters = source_parameters("S3") | {"ExecutionId": EXECUTION_ID}
    for logical, resource in STACKS[name]["Resources"].items():
        if resource["Type"] in ARN_PATTERNS:
            key, arn = ARN_PATTERNS[resource["Type"]]
            given = substitute(resource["Properties"][key]["Fn::Sub"], parameters)
            assert may_deploy(arn.format(given)), logical
            assert not may_deploy(arn.format(given.replace("p" * 16, "another"))), logical
        if resource["Type"] == "AWS::IAM::Role":
            path = substitute(resource["Properties"]["Path"]["Fn::Sub"], parameters)
            assert may_deploy(f"arn:aws:iam::111122223333:role{path}{logical}-1ABCDEFGHIJKL"), logical


def test_the_deploy_role_covers_only_roles_of_its_project() -> None:
    """It covers neither the pipeline's role nor itself, nor the roles of a project with a longer name."""
    taken = "arn:aws:iam::111122223333:role{}-1ABCDEFGHIJKL".format
    project = "p" * 16
    assert may_deploy(taken(f"/project/{project}/verify-StateMachineRole"))
    assert not may_deploy(taken(f"/{project}-pipeline-DeployRole"))
    assert not may_deploy(taken(f"/project/{project}-eu/verify-StateMachineRole"))


def test_the_key_policy_covers_every_encrypted_log_group() -> None:
    """CloudWatch Logs may use the key only for the log groups in the key's policy."""
    parameters = source_parameters("S3")
    (statement,) = [
        one
        for one in resolve(RESOURCES["KmsKey"]["Properties"]["KeyPolicy"]["Statement"], parameters)
        if one["Sid"] == "LogGroups"
    ]
    patterns = statement["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    for template in (*STACKS.values(), TEMPLATE):
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Logs::LogGroup":
                name = substitute(resource["Properties"]["LogGroupName"]["Fn::Sub"], parameters)
                arn = f"arn:aws:logs:eu-central-1:111122223333:log-group:{name}"
                assert any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), arn) for p in patterns), name


def test_a_given_key_replaces_the_stacks_own_key_everywhere() -> None:
    """The own key is then not created, and a reference to it would fail the deployment."""
    given = organization_parameters("S3")
    for name, resource in RESOURCES.items():
        if name not in ("KmsKey", "KmsAlias"):
            assert "KmsKey.Arn" not in json.dumps(resolve(resource["Properties"], given)), name
        else:
            assert not holds(TEMPLATE["Conditions"][resource["Condition"]], given)
    assert resolve(TEMPLATE["Outputs"]["KmsKeyArn"]["Value"], given) == given["KmsKeyArn"]


def test_with_a_boundary_only_bounded_roles_can_be_created() -> None:
    """Otherwise a deployment could create a role beyond the boundary and use that role."""
    (roles,) = [one for one in statements("DeployRole", organization_parameters) if one["Sid"] == "Roles"]
    boundary = organization_parameters("S3")["PermissionsBoundaryArn"]
    assert roles["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    assert {"iam:CreateRole", "iam:PutRolePolicy"} <= set(roles["Action"])
    (roles,) = [one for one in statements("DeployRole") if one["Sid"] == "Roles"]
    assert "Condition" not in roles


def test_rights_for_a_network_exist_only_with_a_network() -> None:
    """EC2's actions accept no ARN, so a role without a network has none of them."""
    for role in ("SageMakerRole", "DeployRole"):
        assert not [action for action in actions(role) if action.startswith(("ec2:", "elasticfilesystem:"))]
        assert any(
            "ec2:DescribeSubnets" in one["Action"] for one in statements(role, organization_parameters)
        )
