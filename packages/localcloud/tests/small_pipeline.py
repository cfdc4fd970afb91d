"""A small pipeline with every kind of action, and what it delivers."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

BUILDSPEC = """\
version: 0.2
env:
  variables:
    COLOUR: blue
  exported-variables: [COLOUR, VERSION]
phases:
  install:
    runtime-versions:
      python: "3.13"
  build:
    commands:
      - VERSION="v-$COMMIT_ID"
      - sh make.sh
artifacts:
  base-directory: out
  files: ["*.json", "*.yml"]
"""
# Writes what the next actions take: a template, its configuration, a state machine's input.
MAKE = """\
set -eu
mkdir -p out
cp thing.yml out/thing.yml
printf '{"Parameters": {"Value": "%s"}, "Tags": {"stage": "test"}}' "$DATA_VERSION" > out/thing.json
printf '{"Value": "%s", "Id": "%s"}' "$COLOUR" "$PIPELINE_EXECUTION_ID" > out/input.json
"""
THING = """\
Parameters:
  Value: {Type: String}
Resources:
  Thing:
    Type: AWS::SSM::Parameter
    Properties: {Type: String, Value: !Ref Value}
Outputs:
  Name: {Value: !Ref Thing}
"""
# Follows the resources of thing.yml.
ROLE = """\
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: []}
"""
CONFIGURATION = '{"Parameters": {"Value": "one"}, "Tags": {"stage": "test"}}'
FILES = {"buildspec.yml": BUILDSPEC, "make.sh": MAKE, "thing.yml": THING, "thing.json": CONFIGURATION}


def zipped(files: dict[str, str]) -> bytes:
    """Return a zip with these files."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sink.getvalue()


def action(
    name: str, category: str, provider: str, configuration: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Return an action as a template has it."""
    kind = {"Category": category, "Owner": "AWS", "Provider": provider, "Version": "1"}
    return {"Name": name, "ActionTypeId": kind, "Configuration": configuration, **more}


def artifacts(*names: str) -> list[dict[str, str]]:
    """Return artifacts as a template names them."""
    return [{"Name": name} for name in names]


def source() -> dict[str, Any]:
    """Return the stage that takes the zip."""
    configuration = {
        "S3Bucket": {"Ref": "Bucket"},
        "S3ObjectKey": "source.zip",
        "PollForSourceChanges": False,
    }
    take = action(
        "Take", "Source", "S3", configuration, Namespace="Source", OutputArtifacts=artifacts("SourceOutput")
    )
    return {"Name": "Source", "Actions": [take]}


def build() -> dict[str, Any]:
    """Return the stage that builds."""
    variables = [
        {"name": "COMMIT_ID", "value": "#{Source.VersionId}"},
        {"name": "DATA_VERSION", "value": "#{variables.DataVersion}"},
        {"name": "PIPELINE_EXECUTION_ID", "value": "#{codepipeline.PipelineExecutionId}"},
    ]
    configuration = {"ProjectName": {"Ref": "Builds"}, "EnvironmentVariables": json.dumps(variables)}
    make = action(
        "Make",
        "Build",
        "CodeBuild",
        configuration,
        Namespace="Build",
        InputArtifacts=artifacts("SourceOutput"),
        OutputArtifacts=artifacts("BuildOutput"),
    )
    return {"Name": "Build", "Actions": [make]}


def stack(name: str, given: str = "SourceOutput", **more: Any) -> dict[str, Any]:
    """Return an action that deploys thing.yml of an artifact as a stack."""
    configuration = {
        "ActionMode": "REPLACE_ON_FAILURE",
        "StackName": name,
        "TemplatePath": f"{given}::thing.yml",
        "TemplateConfiguration": f"{given}::thing.json",
        **more,
    }
    taken = artifacts(given)
    return action("Stack", "Deploy", "CloudFormation", configuration, Namespace="Stack", InputArtifacts=taken)


def invoke(machine: str, name: str = "Invoke", **more: Any) -> dict[str, Any]:
    """Return an action that runs a state machine."""
    return action(name, "Invoke", "StepFunctions", {"StateMachineArn": machine}, **more)


def approval(**more: Any) -> dict[str, Any]:
    """Return an action that a person answers."""
    configuration = {"NotificationArn": {"Ref": "Topic"}, **more.pop("Configuration", {})}
    return action("Ask", "Approval", "Manual", configuration, **more)


def ask() -> dict[str, Any]:
    """Return a stage that is an approval."""
    return {"Name": "Ask", "Actions": [approval()]}


def platform(project: str, stages: list[dict[str, Any]]) -> str:
    """Return a template that stands for a project's pipeline.yml."""
    made = json.loads(template(f"{project}-pipeline", stages))
    made["Parameters"] = {"Project": {"Type": "String"}, "SourceType": {"Type": "String"}}
    made["Outputs"] = {
        "ArtifactBucket": {"Value": {"Ref": "Bucket"}},
        "SourceLocation": {"Value": {"Fn::Sub": "s3://${Bucket}/source.zip"}},
    }
    return json.dumps(made)


def builds(name: str) -> dict[str, Any]:
    """Return the project of CodeBuild that a pipeline builds with."""
    return {
        "Type": "AWS::CodeBuild::Project",
        "Properties": {
            "Name": f"{name}-build",
            "Artifacts": {"Type": "CODEPIPELINE"},
            "Source": {"Type": "CODEPIPELINE"},
            "Environment": {
                "Type": "LINUX_CONTAINER",
                "ComputeType": "BUILD_GENERAL1_SMALL",
                "Image": "aws/codebuild/standard:7.0",
                "EnvironmentVariables": [{"Name": "STAGE", "Value": "test"}],
            },
            "ServiceRole": "arn:aws:iam::000000000000:role/build",
            "TimeoutInMinutes": "5",
        },
    }


def uploads() -> dict[str, Any]:
    """Return the rule that starts the pipeline when its source is uploaded."""
    arn = "arn:aws:codepipeline:${AWS::Region}:${AWS::AccountId}:${Pipeline}"
    return {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventPattern": {
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {
                    "bucket": {"name": [{"Ref": "Bucket"}]},
                    "object": {"key": ["source.zip"]},
                },
            },
            "Targets": [
                {
                    "Id": "pipeline",
                    "RoleArn": "arn:aws:iam::000000000000:role/rule",
                    "Arn": {"Fn::Sub": arn},
                }
            ],
        },
    }


def template(name: str, stages: list[dict[str, Any]], mode: str = "SUPERSEDED") -> str:
    """Return a template of a pipeline with these stages after the source, and of what it needs."""
    variables = [
        {"Name": "DataVersion", "DefaultValue": "newest"},
        {"Name": "Reason", "DefaultValue": "commit"},
    ]
    return json.dumps(
        {
            "Resources": {
                "Bucket": {
                    "Type": "AWS::S3::Bucket",
                    "Properties": {
                        "VersioningConfiguration": {"Status": "Enabled"},
                        "NotificationConfiguration": {
                            "EventBridgeConfiguration": {"EventBridgeEnabled": True}
                        },
                    },
                },
                "Topic": {"Type": "AWS::SNS::Topic"},
                "Builds": builds(name),
                "Pipeline": {
                    "Type": "AWS::CodePipeline::Pipeline",
                    "Properties": {
                        "Name": name,
                        "PipelineType": "V2",
                        "ExecutionMode": mode,
                        "RoleArn": "arn:aws:iam::000000000000:role/pipeline",
                        "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Bucket"}},
                        "Variables": variables,
                        "Stages": [source(), *stages],
                    },
                },
                "Rule": uploads(),
            },
            "Outputs": {"Bucket": {"Value": {"Ref": "Bucket"}}, "Topic": {"Value": {"Ref": "Topic"}}},
        }
    )
