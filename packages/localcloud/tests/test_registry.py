"""The model registry on the local cloud: groups, versions, approvals, and word of them."""

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
    """Make a group."""
    name = str(rig.unique("models"))
    rig.sagemaker.create_model_package_group(ModelPackageGroupName=name)
    return name


@pytest.fixture
def register(rig: Any, group: str) -> Callable[..., str]:
    """Return what registers a version in the group."""

    def made(**more: Any) -> str:
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

    return made


def refusal(act: Callable[[], Any]) -> tuple[str, str]:
    """Return code and message of what is refused."""
    with pytest.raises(ClientError) as raised:
        act()
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_versions_are_counted_and_wait_for_approval(
    rig: Any, group: str, register: Callable[..., str]
) -> None:
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


def test_a_token_makes_one_version(register: Callable[..., str]) -> None:
    """A state machine's retry of a call that did arrive adds nothing."""
    assert register(ClientToken="once") == register(ClientToken="once")  # no secret
    assert register(ClientToken="twice").endswith("/2")


def test_a_version_says_what_it_was_given(rig: Any, register: Callable[..., str]) -> None:
    """Metrics and lineage are there for whoever asks, and an approval with who gave it."""
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


def test_changes_are_told_to_eventbridge(rig: Any, group: str, register: Callable[..., str]) -> None:
    """A rule on group and status hears of an approval, as AWS tells it."""
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
def test_what_no_version_can_be_is_refused(rig: Any, group: str, change: dict[str, Any], words: str) -> None:
    """With AWS's code and a sentence."""
    request = {"ModelPackageGroupName": group, **change}
    code, message = refusal(lambda: rig.sagemaker.create_model_package(**request))
    assert code == "ValidationException"
    assert words in message


def test_a_model_that_is_not_there_is_no_version(rig: Any, group: str) -> None:
    """Nobody could deploy it."""
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


def test_a_version_that_is_not_there_is_refused(rig: Any, group: str) -> None:
    """Describing, approving and deleting it alike."""
    missing = f"arn:aws:sagemaker:eu-central-1:000000000000:model-package/{group}/7"
    for act in (
        lambda: rig.sagemaker.describe_model_package(ModelPackageName=missing),
        lambda: rig.sagemaker.update_model_package(ModelPackageArn=missing, ModelApprovalStatus="Approved"),
        lambda: rig.sagemaker.delete_model_package(ModelPackageName=missing),
    ):
        assert refusal(act) == ("ValidationException", f"ModelPackage {missing} does not exist.")


def test_a_group_of_a_stack_lives_while_it_has_models(rig: Any) -> None:
    """CloudFormation can't delete it with models in it, and can when they are gone."""
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
    """Whether the group is gone."""
    try:
        rig.sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    except ClientError:
        return True
    return False
