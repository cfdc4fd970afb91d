"""The model registry on the local cloud: groups, versions, approvals, and their events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP_TEMPLATE = """\
Parameters:
  Name: {Type: String}
Resources:
  Group:
    Type: AWS::SageMaker::ModelPackageGroup
    Properties:
      ModelPackageGroupName: !Ref Name
      Tags: [{Key: project, Value: test}]
Outputs:
  Arn: {Value: !Ref Group}
"""


@pytest.fixture
def group(rig: Any) -> str:
    """Return a new group."""
    name = str(rig.unique("models"))
    rig.sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return name


@pytest.fixture
def register(rig: Any, group: str) -> Callable[..., str]:
    """Return a function that registers a version in the group."""

    def create(**more: Any) -> str:
        container = {"Image": "image", "ModelDataUrl": "s3://artifacts/model/model.tar.gz"}
        inference = {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        answer = rig.sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=inference, **more
        )
        return str(answer["ModelPackageArn"])

    return create


def refusal(act: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of the refusal."""
    with pytest.raises(ClientError) as raised:
        act()
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_versions_are_numbered_and_await_approval(rig: Any, group: str, register: Callable[..., str]) -> None:
    """A group gives each version its number, and lists the newest first."""
    first, second = register(), register(ModelPackageDescription="the second")
    assert (first.rpartition("/")[2], second.rpartition("/")[2]) == ("1", "2")
    described = rig.sagemaker.describe_model_package(ModelPackageName=second)
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert (described["ModelPackageGroupName"], described["ModelPackageVersion"]) == (group, 2)
    rig.sagemaker.update_model_package(ModelPackageArn=first, ModelApprovalStatus="Approved")
    listed = rig.sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert [(one["ModelPackageVersion"], one["ModelApprovalStatus"]) for one in listed] == [
        (2, "PendingManualApproval"),
        (1, "Approved"),
    ]
    approved = rig.sagemaker.list_model_packages(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    assert [one["ModelPackageArn"] for one in approved["ModelPackageSummaryList"]] == [first]


def test_a_token_registers_one_version(register: Callable[..., str]) -> None:
    """A state machine may repeat a call that did arrive."""
    assert register(ClientToken="once") == register(ClientToken="once")  # not a secret
    assert register(ClientToken="twice").endswith("/2")


def test_a_version_has_its_metrics_and_lineage(rig: Any, register: Callable[..., str]) -> None:
    """A description has metrics and lineage, and an approval has its author."""
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/k"}}}
    arn = register(ModelMetrics=metrics, CustomerMetadataProperties={"Commit": "3f2a91c"})
    rig.sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="too slow"
    )
    described = rig.sagemaker.describe_model_package(ModelPackageName=arn)
    assert (described["ModelMetrics"], described["CustomerMetadataProperties"]) == (
        metrics,
        {"Commit": "3f2a91c"},
    )
    assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == ("Rejected", "too slow")
    assert described["LastModifiedBy"]["IamIdentity"]["Arn"].endswith("user/local")


def test_changes_are_sent_to_eventbridge(rig: Any, group: str, register: Callable[..., str]) -> None:
    """A rule on group and status matches an approval's event in AWS's form."""
    queue = rig.sqs.create_queue(QueueName=rig.unique("heard"))["QueueUrl"]
    arn = rig.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"]},
    }
    rule = rig.unique("approved")
    rig.events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    rig.events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    package = register()
    rig.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    rig.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    heard = rig.until(lambda: rig.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"))
    events = [json.loads(message["Body"]) for message in heard]
    assert [event["resources"] for event in events] == [[package]]
    detail = events[0]["detail"]
    assert (detail["ModelPackageArn"], detail["ModelPackageVersion"]) == (package, 1)
    assert detail["CreationTime"].endswith("Z")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ModelPackageGroupName": "no-such-group"}, 'Could not find model package group "arn:'),
        ({"Tags": [{"Key": "a", "Value": "b"}]}, "without Tags of their own"),
        ({"CustomerMetadataProperties": {}}, "greater than or equal to 1"),
        ({"ModelApprovalStatus": "Perhaps"}, "enum value set"),
    ],
)
def test_an_invalid_version_is_refused(rig: Any, group: str, change: dict[str, Any], words: str) -> None:
    """The error has AWS's code and a sentence."""
    request = {"ModelPackageGroupName": group, **change}
    code, message = refusal(lambda: rig.sagemaker.create_model_package(**request))
    assert code == "ValidationException"
    assert words in message


def test_a_version_with_a_missing_model_is_refused(rig: Any, group: str) -> None:
    """Nobody could deploy such a version."""
    inference = {
        "Containers": [{"Image": "image", "ModelDataUrl": "s3://artifacts/nothing.tar.gz"}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    code, message = refusal(
        lambda: rig.sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=inference
        )
    )
    assert (code, message) == (
        "ValidationException",
        "Could not find model data at s3://artifacts/nothing.tar.gz.",
    )


def test_a_missing_version_is_refused(rig: Any, group: str) -> None:
    """Describing, approving and deleting it fail in the same way."""
    missing = f"arn:aws:sagemaker:eu-central-1:000000000000:model-package/{group}/7"
    for act in (
        lambda: rig.sagemaker.describe_model_package(ModelPackageName=missing),
        lambda: rig.sagemaker.update_model_package(ModelPackageArn=missing, ModelApprovalStatus="Approved"),
        lambda: rig.sagemaker.delete_model_package(ModelPackageName=missing),
    ):
        assert refusal(act) == ("ValidationException", f"ModelPackage {missing} does not exist.")


def test_a_stacks_group_is_kept_while_it_has_models(rig: Any) -> None:
    """CloudFormation can't delete a group with models, and deletes an empty one."""
    name = rig.unique("stacked")
    rig.deploy(name, GROUP_TEMPLATE, {"Name": name})
    described = rig.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    assert rig.outputs(name) == {"Arn": described["ModelPackageGroupArn"]}
    tags = rig.sagemaker.list_tags(ResourceArn=described["ModelPackageGroupArn"])["Tags"]
    assert {"Key": "project", "Value": "test"} in tags
    package = rig.sagemaker.create_model_package(ModelPackageGroupName=name)["ModelPackageArn"]
    rig.cloudformation.delete_stack(StackName=name)
    assert rig.settled(name)["StackStatus"] == "DELETE_FAILED"
    assert "delete them first" in rig.reasons(name)
    rig.sagemaker.delete_model_package(ModelPackageName=package)
    rig.cloudformation.delete_stack(StackName=name)
    rig.until(lambda: refusal_of_group(rig, name))


def refusal_of_group(rig: Any, name: str) -> bool:
    """Return whether the group is deleted."""
    try:
        rig.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    except ClientError:
        return True
    return False


def test_a_model_of_an_approved_package_has_its_container(rig: Any, register: Callable[..., str]) -> None:
    """Protects deployments from the registry, which name a package and no image."""
    arn, name = register(), rig.unique("model")
    request = {"ModelName": name, "ExecutionRoleArn": rig.role, "Containers": [{"ModelPackageName": arn}]}
    assert "must be Approved" in refusal(lambda: rig.sagemaker.create_model(**request))[1]
    rig.sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    rig.sagemaker.create_model(**request)
    (container,) = rig.sagemaker.describe_model(ModelName=name)["Containers"]
    data = "s3://artifacts/model/model.tar.gz"
    assert container == {"Image": "image", "ModelDataUrl": data, "ModelPackageName": arn}


def test_a_pipeline_of_several_containers_is_refused(rig: Any) -> None:
    """Protects a person from an endpoint of the first container alone."""
    containers = [{"Image": "one"}, {"Image": "two"}]
    request = {"ModelName": rig.unique("model"), "ExecutionRoleArn": rig.role, "Containers": containers}
    assert "The model has 2 containers" in refusal(lambda: rig.sagemaker.create_model(**request))[1]


def test_groups_and_their_versions_are_listed_as_the_sdk_reads_them(
    rig: Any, group: str, register: Callable[..., str]
) -> None:
    """Protects ModelBuilder.register, which lists groups, and ModelPackage.refresh, which keeps its name."""
    arn = register()
    groups = rig.sagemaker.list_model_package_groups(NameContains=group)["ModelPackageGroupSummaryList"]
    assert [(each["ModelPackageGroupName"], each["ModelPackageGroupStatus"]) for each in groups] == [
        (group, "Completed")
    ]
    (listed,) = rig.sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert "ModelPackageName" not in listed
    assert "ModelPackageName" not in rig.sagemaker.describe_model_package(ModelPackageName=arn)
    assert not rig.sagemaker.list_model_packages()["ModelPackageSummaryList"]
    every = rig.sagemaker.list_model_packages(ModelPackageType="Versioned", MaxResults=100)
    assert arn in [each["ModelPackageArn"] for each in every["ModelPackageSummaryList"]]


def test_the_policies_of_a_role_with_a_path_are_simulated(rig: Any) -> None:
    """Protects the SDK's check of roles: roles that the console makes have the path /service-role/."""
    name = rig.unique("role")
    role = rig.iam.create_role(RoleName=name, Path="/service-role/", AssumeRolePolicyDocument="{}")["Role"]
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    rig.iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    actions = ["s3:GetObject", "s3:PutObject"]
    answer = rig.iam.simulate_principal_policy(PolicySourceArn=role["Arn"], ActionNames=actions)
    decisions = {each["EvalActionName"]: each["EvalDecision"] for each in answer["EvaluationResults"]}
    assert decisions == {"s3:GetObject": "allowed", "s3:PutObject": "implicitDeny"}
    unknown = role["Arn"].replace(name, "nobody")
    simulate = rig.iam.simulate_principal_policy
    assert refusal(lambda: simulate(PolicySourceArn=unknown, ActionNames=actions))[0] == "NoSuchEntity"
