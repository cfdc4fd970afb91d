"""The templates: roles allow what the state machines do and no more, and data outlive their stack."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from delivery.templates.read import machines_in, read_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {
    path.name: read_template(path)
    for path in (*ROOT.glob("pipeline/*.yml"), *ROOT.glob("stacks/*.yml"))
    if path.name != "buildspec.yml"
}
# Actions that accept no ARN (service authorization reference).
WITHOUT_ARN = {
    "application-autoscaling:DescribeScalableTargets",
    "application-autoscaling:DescribeScalingPolicies",
    "application-autoscaling:DescribeScheduledActions",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:UnassignPrivateIpAddresses",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
    "cloudformation:GetTemplateSummary",
    "cloudformation:ValidateTemplate",
    "cloudwatch:PutMetricData",
    "kms:CreateKey",
    "kms:ListAliases",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}
# Actions of a task's call; a .sync task also describes, stops and tags the job, and passes its role.
SYNC = {"sagemaker:AddTags", "iam:PassRole", "events:PutRule", "events:PutTargets", "events:DescribeRule"}
ACTIONS = {
    "sagemaker:createProcessingJob.sync": SYNC
    | {f"sagemaker:{verb}ProcessingJob" for verb in ("Create", "Describe", "Stop")},
    "sagemaker:createTrainingJob.sync": SYNC
    | {f"sagemaker:{verb}TrainingJob" for verb in ("Create", "Describe", "Stop")},
    "aws-sdk:s3:listObjectsV2": {"s3:ListBucket"},
    "aws-sdk:s3:getObject": {"s3:GetObject", "kms:Decrypt"},
    "aws-sdk:s3:putObject": {"s3:PutObject", "kms:GenerateDataKey"},
    "aws-sdk:s3:copyObject": {"s3:GetObject", "s3:PutObject", "kms:Decrypt", "kms:GenerateDataKey"},
    "aws-sdk:sagemaker:createModelPackage": {
        "sagemaker:CreateModelPackage",
        *("s3:GetObject", "kms:Decrypt", "ecr:BatchGetImage", "ecr:DescribeImages"),
    },
    "aws-sdk:sagemaker:describeModelPackage": {"sagemaker:DescribeModelPackage"},
    "aws-sdk:sagemaker:updateModelPackage": {"sagemaker:UpdateModelPackage"},
    "aws-sdk:codepipeline:getPipelineState": {"codepipeline:GetPipelineState"},
    "aws-sdk:codepipeline:putApprovalResult": {"codepipeline:PutApprovalResult"},
    "aws-sdk:cloudformation:describeStacks": {"cloudformation:DescribeStacks"},
    "aws-sdk:ssm:getParameter": {"ssm:GetParameter"},
    "aws-sdk:ssm:putParameter": {"ssm:PutParameter"},
    "lambda:invoke": {"lambda:InvokeFunction"},
    "aws-sdk:cloudwatch:describeAlarms": {"cloudwatch:DescribeAlarms"},
    "aws-sdk:codepipeline:listPipelineExecutions": {"codepipeline:ListPipelineExecutions"},
    "aws-sdk:codepipeline:startPipelineExecution": {"codepipeline:StartPipelineExecution"},
    "aws-sdk:scheduler:createSchedule": {"scheduler:CreateSchedule", "iam:PassRole"},
    "states:startExecution": {"states:StartExecution"},
    "sns:publish": {"sns:Publish", "kms:Decrypt", "kms:GenerateDataKey"},
}
# Actions for a state machine's own settings: encrypted volumes of its jobs, and its log group.
VOLUMES = {"kms:CreateGrant", "kms:DescribeKey"}
DELIVERY = {action for action in WITHOUT_ARN if action.startswith("logs:")}


def resources(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """List the resources of a type over all templates."""
    return [
        (name, resource)
        for template in TEMPLATES.values()
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    ]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """List the statements of a role's policies."""
    policies = role["Properties"].get("Policies", [])
    found = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    return [statement["Fn::If"][1] if "Fn::If" in statement else statement for statement in found]


def machine(stack: str) -> dict[str, Any]:
    """Read a state machine."""
    return dict(json.loads((ROOT / "stacks" / f"{stack}.asl.json").read_text(encoding="utf-8")))


def task_faults(definition: dict[str, Any], role: dict[str, Any]) -> list[str]:
    """List the actions that a task needs and the role lacks, and those that no task needs."""
    states = [state for _, inner in machines_in(definition, "") for state in inner["States"].values()]
    calls = {
        state["Resource"].removeprefix("arn:aws:states:::") for state in states if state["Type"] == "Task"
    }
    needed = set().union(*(ACTIONS[call] for call in calls)) | DELIVERY
    if any(call.endswith(".sync") for call in calls):
        needed |= VOLUMES
    allowed = {action for statement in statements(role) for action in as_list(statement["Action"])}
    missing = [f"it may not {action}" for action in sorted(needed - allowed)]
    return missing + [f"it never does {action}" for action in sorted(allowed - needed)]


@pytest.mark.parametrize("stack", ["workflow", "verify", "governor", "registry"])
def test_the_state_machines_role_allows_exactly_its_tasks(stack: str) -> None:
    """The role allows every task, and every allowed action is used."""
    assert task_faults(machine(stack), TEMPLATES[f"{stack}.yml"]["Resources"]["StateMachineRole"]) == []


def test_a_task_that_is_not_allowed_is_found() -> None:
    """Another call lacks its action, and leaves an unused one."""
    broken, role = machine("verify"), TEMPLATES["verify.yml"]["Resources"]["StateMachineRole"]
    broken["States"]["ReadWatermark"]["Resource"] = "arn:aws:states:::aws-sdk:s3:putObject"
    assert task_faults(broken, role) == ["it may not s3:PutObject", "it never does s3:GetObject"]
    broken["States"]["ReadWatermark"]["Resource"] = "arn:aws:states:::sagemaker:createTrainingJob.sync"
    assert "it may not events:PutRule" in task_faults(broken, role)


@pytest.mark.parametrize(("name", "role"), resources("AWS::IAM::Role"))
def test_roles_name_their_resources(name: str, role: dict[str, Any]) -> None:
    """No Resource "*" where AWS accepts an ARN, and no wildcard over the actions of a service."""
    for statement in statements(role):
        actions = set(as_list(statement["Action"]))
        assert not [action for action in actions if action.endswith(":*")], name
        if "*" in as_list(statement["Resource"]):
            assert actions <= WITHOUT_ARN, statement["Sid"]
    metrics = [
        statement for statement in statements(role) if statement["Action"] == "cloudwatch:PutMetricData"
    ]
    assert all("cloudwatch:namespace" in json.dumps(statement["Condition"]) for statement in metrics)


@pytest.mark.parametrize(("name", "role"), resources("AWS::IAM::Role"))
def test_roles_are_assumed_by_a_service_of_this_account(name: str, role: dict[str, Any]) -> None:
    """A service acting for another account is refused."""
    for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
        if statement["Principal"] == {"Service": "servicecatalog.amazonaws.com"}:
            continue  # contains no source account
        assert "Service" in statement["Principal"], name
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, (
            name
        )


def test_a_role_is_passed_to_one_service() -> None:
    """iam:PassRole without a condition would pass the role to any service."""
    for _, role in resources("AWS::IAM::Role"):
        for statement in statements(role):
            if "iam:PassRole" in as_list(statement["Action"]):
                assert "iam:PassedToService" in json.dumps(statement["Condition"])


@pytest.mark.parametrize(("name", "role"), resources("AWS::IAM::Role"))
def test_every_role_takes_the_boundary(name: str, role: dict[str, Any]) -> None:
    """An organization that requires a boundary refuses to create a role without it."""
    chosen = ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
    assert role["Properties"]["PermissionsBoundary"] == {"Fn::If": chosen}, name


@pytest.mark.parametrize("kind", ["AWS::S3::Bucket", "AWS::KMS::Key", "AWS::EFS::FileSystem"])
def test_state_outlives_its_stack(kind: str) -> None:
    """Resources with data are retained when a stack is deleted or replaces them."""
    assert resources(kind)
    for name, resource in resources(kind):
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain"), name


def test_retained_resources_have_no_fixed_name() -> None:
    """A retained bucket with a fixed name would prevent a new stack."""
    for _, resource in resources("AWS::S3::Bucket"):
        assert "BucketName" not in resource["Properties"]


def test_buckets_are_closed_encrypted_and_versioned() -> None:
    """Public access is off at each of the four switches, and transport without TLS is refused."""
    for name, bucket in resources("AWS::S3::Bucket"):
        properties = bucket["Properties"]
        assert all(properties["PublicAccessBlockConfiguration"].values()), name
        assert len(properties["PublicAccessBlockConfiguration"]) == 4
        assert properties["VersioningConfiguration"]["Status"] == "Enabled"
        method = "AES256" if name == "TemplateBucket" else "aws:kms"  # templates are not secret
        assert method in json.dumps(properties["BucketEncryption"])
    policies = {
        policy["Properties"]["Bucket"]["Ref"]: policy for _, policy in resources("AWS::S3::BucketPolicy")
    }
    assert policies.keys() == {name for name, _ in resources("AWS::S3::Bucket")}
    for policy in policies.values():
        assert any(
            statement["Effect"] == "Deny"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": False}}
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        )


def test_publishers_to_the_topic_may_use_its_key() -> None:
    """An encrypted topic silently drops the messages of a publisher that cannot use its key."""
    (_, topic_policy), (_, key) = resources("AWS::SNS::TopicPolicy")[0], resources("AWS::KMS::Key")[0]
    publishers = {
        statement["Principal"]["Service"]
        for statement in topic_policy["Properties"]["PolicyDocument"]["Statement"]
    }
    granted = {
        service
        for statement in key["Properties"]["KeyPolicy"]["Statement"]
        if {"kms:Decrypt", "kms:GenerateDataKey*"} <= set(as_list(statement["Action"]))
        for service in as_list(statement["Principal"].get("Service", []))
        if isinstance(service, str)
    }
    assert publishers == granted == {"cloudwatch.amazonaws.com", "events.amazonaws.com"}


def test_failures_that_no_state_catches_are_published() -> None:
    """An execution that was stopped, timed out or failed beyond a Catch reaches the topic."""
    rule = TEMPLATES["workflow.yml"]["Resources"]["FailureRule"]
    detail = rule["Properties"]["EventPattern"]["detail"]
    assert detail == {
        "stateMachineArn": [{"Ref": "StateMachine"}],
        "status": ["FAILED", "TIMED_OUT", "ABORTED"],
    }
    assert rule["Properties"]["Targets"][0]["Arn"] == {"Ref": "NotificationTopicArn"}


def test_the_endpoint_captures_below_capture() -> None:
    """The role of the endpoint may write there, and the drift job reads there."""
    properties = TEMPLATES["deploy-model-dev.yml"]["Resources"]["EndpointConfig"]["Properties"]
    capture, (variant,) = properties["DataCaptureConfig"], properties["ProductionVariants"]
    assert capture["DestinationS3Uri"] == {"Fn::Sub": "s3://${ArtifactBucket}/capture"}
    assert [option["CaptureMode"] for option in capture["CaptureOptions"]] == ["Input", "Output"]
    assert variant["VariantName"] == "AllTraffic"
    role = TEMPLATES["pipeline.yml"]["Resources"]["SageMakerRole"]
    written = json.dumps(
        [statement for statement in statements(role) if "s3:PutObject" in as_list(statement["Action"])]
    )
    assert "/capture/*" in written
    assert (
        TEMPLATES["deploy-model-dev.yml"]["Resources"]["Model"]["Properties"]["EnableNetworkIsolation"]
        is True
    )


def test_the_network_reaches_only_aws() -> None:
    """The network has no gateway, other route or public address; ingress is from the project's own group."""
    found = TEMPLATES["network.yml"]["Resources"]
    kinds = {resource["Type"] for resource in found.values()}
    assert not kinds & {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::EIP",
    }
    for _, subnet in resources("AWS::EC2::Subnet"):
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False
    for name, group in resources("AWS::EC2::SecurityGroup"):
        for rule in group["Properties"].get("SecurityGroupIngress", []):
            assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": ["SecurityGroup", "GroupId"]}, name
    zones = [subnet["Properties"]["AvailabilityZone"] for _, subnet in resources("AWS::EC2::Subnet")]
    assert [zone["Fn::Select"][0] for zone in zones] == [0, 1]


def test_outputs_of_the_network_are_parameters_of_the_pipeline() -> None:
    """The deploying script passes outputs as the parameters of the same name."""
    given = TEMPLATES["network.yml"]["Outputs"].keys() - {"VpcId"}
    assert given == {"SubnetIds", "SecurityGroupIds", "EfsAccessPointArn"}
    assert given <= TEMPLATES["pipeline.yml"]["Parameters"].keys()


@pytest.mark.parametrize("stage", ["dev", "prd"])
def test_models_serve_in_the_given_network(stage: str) -> None:
    """SageMaker fetches the model and writes captured requests through it."""
    template = TEMPLATES[f"deploy-model-{stage}.yml"]
    groups, subnets = ({"Fn::Split": [",", {"Ref": name}]} for name in ("SecurityGroupIds", "SubnetIds"))
    config = {"SecurityGroupIds": groups, "Subnets": subnets}
    chosen = ["HasVpc", config, {"Ref": "AWS::NoValue"}]
    assert template["Resources"]["Model"]["Properties"]["VpcConfig"] == {"Fn::If": chosen}


@pytest.mark.parametrize(("name", "template"), TEMPLATES.items())
def test_templates_have_one_order(name: str, template: dict[str, Any]) -> None:
    """Sections have one order, and each parameter and output has a sentence."""
    order = [
        "AWSTemplateFormatVersion",
        "Transform",
        "Description",
        "Metadata",
        "Parameters",
        "Rules",
        "Conditions",
        "Globals",
        "Resources",
        "Outputs",
    ]
    assert list(template) == [section for section in order if section in template], name
    for kind in ("Parameters", "Outputs"):
        for entry, content in template[kind].items():
            assert re.fullmatch(r"(?s)\S.*[.]", content["Description"]), entry
    assert all(re.match(r"Has[A-Z]", condition) for condition in template.get("Conditions", {}))
