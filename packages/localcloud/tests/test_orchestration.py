"""State machines and stacks: what ministack runs calls our services, and gets what AWS gives."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

patches = importlib.import_module("localcloud.core.patches")
registration = importlib.import_module("localcloud.services.registration")


def machine(rig: Any, states: dict[str, Any], start: str = "Task") -> str:
    """Start an execution of a machine with these states, and return its ARN."""
    definition = {"QueryLanguage": "JSONata", "StartAt": start, "States": states}
    arn = rig.stepfunctions.create_state_machine(
        name=rig.unique("machine"), roleArn=rig.role, definition=json.dumps(definition)
    )["stateMachineArn"]
    return str(rig.stepfunctions.start_execution(stateMachineArn=arn)["executionArn"])


def finished(rig: Any, arn: str) -> Any:
    return rig.until(
        lambda: rig.stepfunctions.describe_execution(executionArn=arn),
        lambda seen: seen["status"] != "RUNNING",
    )


def task(resource: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Arguments": arguments, **more} | (
        {} if "Next" in more else {"End": True}
    )


def train(rig: Any, told: dict[str, str] | None = None, **more: Any) -> tuple[str, dict[str, Any]]:
    request = rig.training(told)
    return request["TrainingJobName"], task("sagemaker:createTrainingJob.sync", request, **more)


def test_a_sync_task_returns_the_description(rig: Any) -> None:
    """`.sync` waits for the job, and returns what Describe does, times in milliseconds."""
    name, state = train(rig)
    execution = finished(rig, machine(rig, {"Task": state}))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert (output["TrainingJobName"], output["TrainingJobStatus"]) == (name, "Completed")
    assert output["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{name}/output/model.tar.gz")
    assert output["CreationTime"] > 1e12


def test_a_sync_task_fails_as_on_aws(rig: Any) -> None:
    """A failed job is States.TaskFailed with its description; a refused request has the Java SDK's name."""
    name, state = train(rig, {"fail": "no rows"})
    failed = finished(rig, machine(rig, {"Task": state}))
    assert (failed["status"], failed["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(failed["cause"])["FailureReason"] == "AlgorithmError: no rows, exit code: 1"
    again = finished(rig, machine(rig, {"Task": state}))
    assert again["error"] == "SageMaker.ResourceInUseException", name
    _, wrong = train(rig)
    wrong["Arguments"]["RoleArn"] = "nobody"
    assert finished(rig, machine(rig, {"Task": wrong}))["error"] == "SageMaker.AmazonSageMakerException"


@pytest.mark.parametrize("how", ["stopped", "timed out"])
def test_nobody_waits_nobody_runs(rig: Any, how: str) -> None:
    """Stopping an execution, or a state's time-out, stops the job that it waited for."""
    name, state = train(rig, {"sleep": "60"}, **({"TimeoutSeconds": 2} if how == "timed out" else {}))
    arn = machine(rig, {"Task": state})
    rig.until(lambda: rig.sagemaker.list_training_jobs(NameContains=name)["TrainingJobSummaries"])
    if how == "stopped":
        rig.stepfunctions.stop_execution(executionArn=arn)
    assert finished(rig, arn)["status"] == ("ABORTED" if how == "stopped" else "FAILED")
    assert rig.ended(name)["TrainingJobStatus"] == "Stopped"
    time.sleep(0.2)
    assert rig.stepfunctions.describe_execution(executionArn=arn)["status"] in ("ABORTED", "FAILED")


def test_parallel_branches_keep_their_variables_and_give_their_results(rig: Any) -> None:
    """Assign of a Parallel state sees the branches' results; what a branch assigns stays within."""

    def branch(value: int) -> dict[str, Any]:
        states = {
            "B": {"Type": "Pass", "Assign": {"x": value}, "Next": "C"},
            "C": {"Type": "Pass", "Output": "{% $x %}", "End": True},
        }
        return {"StartAt": "B", "States": states}

    states = {
        "Begin": {"Type": "Pass", "Assign": {"x": 0}, "Next": "Task"},
        "Task": {
            "Type": "Parallel",
            "Branches": [branch(1), branch(2)],
            "Assign": {"second": "{% $states.result[1] %}"},
            "Next": "End",
        },
        "End": {"Type": "Pass", "Output": {"second": "{% $second %}", "x": "{% $x %}"}, "End": True},
    }
    assert json.loads(finished(rig, machine(rig, states, "Begin"))["output"]) == {"second": 2, "x": 0}


def test_a_succeed_state_gives_its_output(rig: Any) -> None:
    """At the end of a machine and of a branch; without any it passes its input on."""
    done = {"Type": "Succeed", "Output": {"of": "{% $x %}", "in": "{% $states.input %}"}}
    branches = [{"StartAt": "B", "States": {"B": end}} for end in (done, {"Type": "Succeed"})]
    states = {
        "Begin": {"Type": "Pass", "Assign": {"x": 1}, "Output": 2, "Next": "Task"},
        "Task": {"Type": "Parallel", "Branches": branches, "Next": "End"},
        "End": done,
    }
    output = json.loads(finished(rig, machine(rig, states, "Begin"))["output"])
    assert output == {"of": 1, "in": [{"of": 1, "in": 2}, 2]}


def test_a_failed_branch_ends_the_others(rig: Any) -> None:
    """When one branch of a Parallel state fails, the jobs of the others are stopped."""
    slow, waiting = train(rig, {"sleep": "60"})
    _, failing = train(rig, {"fail": "no rows"})
    branches = [{"StartAt": "B", "States": {"B": state}} for state in (waiting, failing)]
    execution = finished(rig, machine(rig, {"Task": {"Type": "Parallel", "Branches": branches, "End": True}}))
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert rig.ended(slow)["TrainingJobStatus"] == "Stopped"


def test_s3_tasks_have_s3s_types(rig: Any) -> None:
    """Sizes are numbers, truth is truth, a body that is JSON is written as such, errors have their names."""
    folder = rig.unique("sdk")
    bucket = {"Bucket": rig.bucket}
    states = {
        "Task": task(
            "aws-sdk:s3:putObject", {**bucket, "Key": f"{folder}/a", "Body": [{"a": 1}]}, Next="List"
        ),
        "List": task(
            "aws-sdk:s3:listObjectsV2",
            {**bucket, "Prefix": folder},
            Next="Get",
            Assign={"list": "{% $states.result %}"},
        ),
        "Get": task(
            "aws-sdk:s3:getObject",
            {**bucket, "Key": f"{folder}/a"},
            Output="{% {'list': $list, 'body': $states.result.Body} %}",
        ),
    }
    execution = finished(rig, machine(rig, states))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["body"] == '[{"a":1}]'
    assert (output["list"]["IsTruncated"], output["list"]["Contents"][0]["Size"]) == (False, 9)
    missing = finished(rig, machine(rig, {"Task": task("aws-sdk:s3:getObject", {**bucket, "Key": "none"})}))
    assert missing["error"] == "S3.NoSuchKeyException"


def test_sagemaker_is_one_of_the_sdks_services(rig: Any) -> None:
    """`aws-sdk:sagemaker` tasks reach the same operations, with the names of the second Java SDK."""
    name = rig.trained()["TrainingJobName"]
    described = task("aws-sdk:sagemaker:describeTrainingJob", {"TrainingJobName": name})
    output = json.loads(finished(rig, machine(rig, {"Task": described}))["output"])
    assert (output["TrainingJobName"], output["TrainingJobStatus"]) == (name, "Completed")
    unknown = task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": "unknown"})
    assert finished(rig, machine(rig, {"Task": unknown}))["error"] == "SageMaker.SageMakerException"


TEMPLATE = """
Parameters: {Name: {Type: String}, Count: {Type: Number, Default: 1}, Broken: {Type: String, Default: ""}}
Resources:
  Model:
    Type: AWS::SageMaker::Model
    Properties:
      ModelName: !Ref Name
      ExecutionRoleArn: arn:aws:iam::000000000000:role/service-role
      PrimaryContainer: {Image: image, Environment: {BROKEN: !Ref Broken}}
  Config:
    Type: AWS::SageMaker::EndpointConfig
    Properties:
      ProductionVariants:
        - VariantName: v
          ModelName: !GetAtt Model.ModelName
          InitialInstanceCount: !Ref Count
          InstanceType: ml.m5.large
  Endpoint:
    Type: AWS::SageMaker::Endpoint
    Properties: {EndpointName: !Ref Name, EndpointConfigName: !GetAtt Config.EndpointConfigName}
Outputs: {Name: {Value: !GetAtt Endpoint.EndpointName}, Arn: {Value: !Ref Endpoint}}
"""


def deployed(rig: Any, stack: str, parameters: dict[str, str], *, update: bool = False) -> Any:
    """Create or update a stack, and return its description when it has settled."""
    act = rig.cloudformation.update_stack if update else rig.cloudformation.create_stack
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    act(StackName=stack, TemplateBody=TEMPLATE, Parameters=given, Tags=[{"Key": "stage", "Value": "dev"}])
    return rig.until(
        lambda: rig.cloudformation.describe_stacks(StackName=stack)["Stacks"][0],
        lambda seen: not seen["StackStatus"].endswith("PROGRESS"),
    )


def endpoints(rig: Any, part: str) -> list[str]:
    return [item["EndpointName"] for item in rig.sagemaker.list_endpoints(NameContains=part)["Endpoints"]]


def test_a_stack_makes_replaces_and_deletes_an_endpoint(rig: Any) -> None:
    """An endpoint is in service when its stack is complete; a new name replaces it, and the old one goes."""
    stack = rig.unique("stack")
    made = deployed(rig, stack, {"Name": f"{stack}-a"})
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    outputs = {item["OutputKey"]: item["OutputValue"] for item in made["Outputs"]}
    assert outputs["Arn"].endswith(f":endpoint/{stack}-a")
    assert rig.sagemaker.describe_endpoint(EndpointName=outputs["Name"])["EndpointStatus"] == "InService"
    assert {"Key": "stage", "Value": "dev"} in rig.sagemaker.list_tags(ResourceArn=outputs["Arn"])["Tags"]
    assert deployed(rig, stack, {"Name": f"{stack}-b"}, update=True)["StackStatus"] == "UPDATE_COMPLETE"
    rig.until(lambda: endpoints(rig, stack), lambda names: names == [f"{stack}-b"])
    rig.cloudformation.delete_stack(StackName=stack)
    rig.until(
        lambda: not endpoints(rig, stack) and not rig.sagemaker.list_models(NameContains=stack)["Models"]
    )


def test_a_stack_whose_endpoint_fails_rolls_back(rig: Any) -> None:
    """The stack's events have the server's own words, and nothing of it is left."""
    stack = rig.unique("stack")
    made = deployed(rig, stack, {"Name": f"{stack}-a", "Broken": "1"})
    assert made["StackStatus"] == "ROLLBACK_COMPLETE"
    events = rig.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    assert any("the model is broken" in event.get("ResourceStatusReason", "") for event in events)
    assert not endpoints(rig, stack)
    assert not rig.sagemaker.list_models(NameContains=stack)["Models"]


def test_private_names_of_ministack_are_there() -> None:
    """Every private name that is used exists in the pinned version, for which each patch was written."""
    patches.check()
    assert importlib.metadata.version("ministack") == patches.PINNED
    assert {each.version for each in patches.patches()} == {patches.PINNED}


def test_a_missing_private_name_is_named() -> None:
    """A ministack that has changed is refused at the start, with what is missing and what is needed."""
    names = {"ministack.app": {"app", "gone"}, "ministack.nowhere": {"x"}}
    with pytest.raises(
        patches.MissingNameError, match=r"lacks ministack\.app\.gone, ministack\.nowhere.*1\.5\.33"
    ):
        patches.check(names)


def test_the_pin_is_said_once_more_and_the_same() -> None:
    """The distribution requires the ministack whose private names are used."""
    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"ministack == {patches.PINNED}" in declared["project"]["dependencies"]


@pytest.mark.parametrize(("given", "made"), [("", False), ("a,b", True)])
def test_a_condition_may_join_a_list(rig: Any, given: str, *, made: bool) -> None:
    """An empty list of a template's parameters is known by its joined text."""
    template = {
        "Parameters": {"Names": {"Type": "CommaDelimitedList", "Default": ""}},
        "Conditions": {
            "HasNames": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "Names"}]}, ""]}]},
        },
        "Resources": {
            "Always": {"Type": "AWS::SNS::Topic"},
            "Sometimes": {"Type": "AWS::SNS::Topic", "Condition": "HasNames"},
        },
    }
    name = rig.unique("joined")
    parameters = [{"ParameterKey": "Names", "ParameterValue": given}]
    rig.cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Parameters=parameters)
    stacks = rig.cloudformation.describe_stacks
    rig.until(lambda: stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")
    resources = rig.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    assert ("Sometimes" in {resource["LogicalResourceId"] for resource in resources}) == made
