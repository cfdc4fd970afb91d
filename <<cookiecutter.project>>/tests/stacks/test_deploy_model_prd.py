"""The production stack: a canary deploys a new model, and only alarms of the new version roll it back."""

from __future__ import annotations

import itertools
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery.templates.read import read_template

from tests.lint import variants

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "stacks" / "deploy-model-prd.yml"
EXECUTION_ID = "0f0cbb6e-3b0e-4a7e-9d3a-6a2f8f2f5a10"
GIVEN = {
    "Project": "p" * 16,
    "ExecutionId": EXECUTION_ID,
    "DeploymentHash": "0123456789abcdef" * 4,
    "ImageUri": "000000000000.dkr.ecr.eu-central-1.amazonaws.com/house:1",
    "ModelDataUrl": "s3://the-bucket/models/1/model.tar.gz",
    "GoldenUrl": "s3://the-bucket/models/1/golden.json",
    "ArtifactBucket": "the-bucket",
    "KmsKeyArn": "arn:aws:kms:eu-central-1:000000000000:key/1",
    "NotificationTopicArn": "arn:aws:sns:eu-central-1:000000000000:topic",
    "SageMakerRoleArn": "arn:aws:iam::000000000000:role/sagemaker",
}
ROLLBACK_ALARMS = {
    "VersionErrorsAlarm",
    "VersionSlowAlarm",
    "VersionTailAlarm",
    "EndpointErrorsAlarm",
    "EndpointTailAlarm",
    "HandledFailuresAlarm",
}
IMAGE = {"ApiPackage": "image", "LambdaImageUri": "000000000000.dkr.ecr.eu-central-1.amazonaws.com/api:1"}


@cache
def source() -> str:
    """Return the template as packaging leaves it, as JSON."""
    return json.dumps(variants.with_packages(read_template(PATH)))


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def transformed(template: dict[str, Any] | None = None, /, **parameters: str) -> dict[str, Any]:
    """Translate the template with its defaults, values for the rest, and these parameters."""
    given = template or json.loads(source())
    values = {name: entry["Default"] for name, entry in given["Parameters"].items() if "Default" in entry}
    return variants.transform_sam(given, {**values, **GIVEN, **parameters})


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: r for name, r in template["Resources"].items() if r["Type"] == kind}


def versions(template: dict[str, Any]) -> set[str]:
    return set(resources(template, "AWS::Lambda::Version"))


def references(content: Any) -> Iterator[str]:
    """Return the names that a part of the template refers to."""
    if isinstance(content, list):
        yield from itertools.chain.from_iterable(map(references, content))
    elif isinstance(content, dict):
        for key, value in content.items():
            if key == "Ref":
                yield value
            elif key == "Fn::GetAtt":
                yield (value if isinstance(value, list) else value.split("."))[0]
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from (name.split(".")[0] for name in re.findall(r"\$\{([\w:.]+)\}", text))
            yield from references(value)


def test_only_a_new_hash_makes_a_new_version() -> None:
    """A new model comes with the old code: without a version of its own, the alias keeps the old endpoint."""
    before = transformed()
    assert versions(transformed(DeploymentHash="f" * 64)).isdisjoint(versions(before))
    assert versions(transformed()) == versions(before)
    for other in ({"ExecutionId": "2"}, {"GoldenTolerance": "0.5"}, {"MaxCapacity": "9"}):
        assert versions(transformed(**other)) == versions(before)


def test_without_the_hash_a_new_model_makes_no_version() -> None:
    """SAM hashes the code and the references, not the values behind the references."""
    template = json.loads(source())
    for name in ("ApiFunction", "ApiImageFunction"):
        del template["Resources"][name]["Properties"]["AutoPublishCodeSha256"]
    del template["Globals"]["Function"]["Environment"]["Variables"]["DEPLOYMENT_HASH"]
    assert versions(transformed(template, ExecutionId="2")) == versions(transformed(template))


def test_the_hash_is_part_of_what_a_version_is_made_of() -> None:
    """PublishVersion returns the last version again if code and configuration are unchanged."""
    template = transformed()
    for function in resources(template, "AWS::Lambda::Function").values():
        if function.get("Condition") in ("HasZip", "HasImage"):
            assert function["Properties"]["Environment"]["Variables"]["DEPLOYMENT_HASH"]
    for version in resources(template, "AWS::Lambda::Version").values():
        assert version["DeletionPolicy"] == "Retain"


def test_a_function_is_made_of_a_zip_or_of_an_image() -> None:
    """The two have different names, so that one can exist while it replaces the other."""
    found = transformed(**IMAGE)["Resources"]
    zipped, image = found["ApiFunction"]["Properties"], found["ApiImageFunction"]["Properties"]
    assert zipped["Code"] == {"S3Bucket": "the-bucket", "S3Key": "code.zip"}
    assert image["Code"] == {"ImageUri": IMAGE["LambdaImageUri"]}
    assert zipped["FunctionName"] != image["FunctionName"]
    assert zipped["Environment"] == image["Environment"]


@pytest.mark.parametrize("name", ["ApiFunction", "ApiImageFunction"])
def test_the_alias_moves_by_codedeploy(name: str) -> None:
    """With both hooks, rollback on failure and alarm, a final notification, and the project's own role."""
    found = transformed()["Resources"]
    policy = found[f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
    assert policy == {
        "ApplicationName": {"Ref": "ServerlessDeploymentApplication"},
        "DeploymentGroupName": {"Ref": f"{name}DeploymentGroup"},
        "BeforeAllowTrafficHook": {"Ref": "PreTrafficFunction"},
        "AfterAllowTrafficHook": {"Ref": "PostTrafficFunction"},
    }
    group = found[f"{name}DeploymentGroup"]["Properties"]
    assert group["AutoRollbackConfiguration"]["Enabled"] is True
    assert {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(
        group["AutoRollbackConfiguration"]["Events"]
    )
    assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": "Canary10Percent5Minutes"}
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["CodeDeployRole", "Arn"]}
    (trigger,) = group["TriggerConfigurations"]
    assert {"DeploymentSuccess", "DeploymentFailure"} <= set(trigger["TriggerEvents"])
    names = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
    assert names == ROLLBACK_ALARMS
    assert len(names) <= 10


def test_hooks_and_alarms_are_renewed_before_the_alias_moves() -> None:
    """Resources to which the alias's policy refers, over any number of steps, are updated first."""
    found = transformed()["Resources"]
    seen: set[str] = set()
    waiting = set(references(found["ApiFunctionAliaslive"]))
    while waiting:
        name = waiting.pop()
        if name in found and name not in seen:
            seen.add(name)
            waiting |= set(references(found[name]))
    assert seen >= ROLLBACK_ALARMS | {"PreTrafficFunction", "PostTrafficFunction", "Endpoint", "ApiFunction"}


def test_nothing_that_waits_for_the_alias_is_needed_by_its_move() -> None:
    """The synthetic requests use the new golden set while traffic shifts."""
    assert "ApiFunctionAliaslive" not in set(references(transformed()["Resources"]["SyntheticFunction"]))


@pytest.mark.parametrize("name", ["PreTrafficFunction", "PostTrafficFunction"])
def test_hooks_have_the_names_that_codedeploy_may_invoke(name: str) -> None:
    """CodeDeploy invokes CodeDeployHook_* only, and Lambda accepts at most 64 characters."""
    found = transformed()["Resources"]
    function = found[name]["Properties"]["FunctionName"]["Fn::Sub"]
    assert function.startswith("CodeDeployHook_${Project}-")
    assert len(function.replace("${Project}", GIVEN["Project"])) <= 64
    assert f"function:{function}" in json.dumps(found["CodeDeployRole"])


@pytest.mark.parametrize("name", sorted(ROLLBACK_ALARMS))
def test_rollback_alarms_watch_only_the_new_version_or_endpoint(name: str) -> None:
    """Errors of the old version roll nothing back, and missing data raise no alarm."""
    template = transformed()
    alarm = template["Resources"][name]["Properties"]
    dimensions = {entry["Name"]: entry["Value"] for entry in alarm["Dimensions"]}
    if alarm["Namespace"] == "AWS/Lambda":
        assert dimensions.keys() == {"FunctionName", "Resource", "ExecutedVersion"}
        assert set(references(dimensions["ExecutedVersion"])) == versions(template)
    else:
        assert dimensions["EndpointName"] == {"Fn::GetAtt": ["Endpoint", "EndpointName"]}
        if alarm["Namespace"] == "AWS/SageMaker":
            assert dimensions["VariantName"] == "AllTraffic"
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "${ExecutionId}" in alarm["AlarmName"]["Fn::Sub"]  # or a broken model's alarm stops its successor
    assert "AlarmActions" not in alarm
    if "ExtendedStatistic" in alarm:
        assert alarm["EvaluateLowSampleCountPercentile"] == "ignore"


def test_other_alarms_only_notify() -> None:
    """An alarm on the alias counts the old version's errors too."""
    template = transformed()
    others = resources(template, "AWS::CloudWatch::Alarm").keys() - ROLLBACK_ALARMS
    assert others == {"AliasErrorsAlarm"}
    for name in others:
        alarm = template["Resources"][name]["Properties"]
        assert alarm["AlarmActions"] == [{"Ref": "NotificationTopicArn"}]
        assert "ExecutedVersion" not in {entry["Name"] for entry in alarm["Dimensions"]}


def test_alarms_watch_what_the_function_emits(capsys: pytest.CaptureFixture[str]) -> None:
    """Same namespace, metric and dimension in the template and in the code."""
    from functions.api import endpoint  # noqa: PLC0415 - only this test needs the code
    from functions.api.settings import Settings  # noqa: PLC0415 - as above

    endpoint.count_failure(Settings("the-endpoint", "1", "0", "the-namespace"), 404)
    (metric,) = json.loads(capsys.readouterr().out)["_aws"]["CloudWatchMetrics"]
    found = transformed()["Resources"]
    alarm = found["HandledFailuresAlarm"]["Properties"]
    variables = found["ApiFunction"]["Properties"]["Environment"]["Variables"]
    assert alarm["Namespace"] == variables["METRIC_NAMESPACE"]
    assert alarm["MetricName"] == metric["Metrics"][0]["Name"]
    assert [[entry["Name"] for entry in alarm["Dimensions"]]] == metric["Dimensions"]


def test_latency_thresholds_have_the_metrics_own_unit() -> None:
    """SageMaker measures in microseconds, Lambda in milliseconds."""
    found = transformed()["Resources"]
    assert found["EndpointTailAlarm"]["Properties"]["Threshold"] == {"Fn::Sub": "${LatencyThresholdMs}000"}
    assert found["VersionTailAlarm"]["Properties"]["Threshold"] == {"Ref": "LatencyThresholdMs"}
    assert found["VersionSlowAlarm"]["Properties"]["Threshold"] == {"Ref": "LatencyThresholdMs"}


def test_each_deployment_has_a_new_endpoint_with_the_same_variant_name() -> None:
    """Another name replaces the endpoint; another variant's name would leave a scaling target behind."""
    found = transformed()["Resources"]
    for name, key in (("Model", "ModelName"), ("EndpointConfig", "EndpointConfigName")):
        assert found[name]["Properties"][key] == {"Fn::Sub": "${Project}-prd-${ExecutionId}"}
    endpoint = found["Endpoint"]["Properties"]["EndpointName"]["Fn::Sub"]
    assert len(endpoint.replace("${Project}", "p" * 16).replace("${ExecutionId}", EXECUTION_ID)) <= 63
    (variant,) = found["EndpointConfig"]["Properties"]["ProductionVariants"]
    target = found["ScalableTarget"]["Properties"]["ResourceId"]["Fn::Sub"]
    assert target == f"endpoint/${{Endpoint.EndpointName}}/variant/{variant['VariantName']}"


def test_dev_and_production_serve_alike() -> None:
    """Except for the name, production gets the configuration that was tested in dev."""
    dev = read_template(ROOT / "stacks" / "deploy-model-dev.yml")["Resources"]
    prd = json.loads(source())["Resources"]
    for name in ("Model", "EndpointConfig", "Endpoint"):
        assert json.dumps(dev[name]).replace("-dev-", "-prd-") == json.dumps(prd[name])


def test_the_api_accepts_signed_requests_and_forwards_bytes() -> None:
    """The integration has no role: with one, callers would need a permission on the function."""
    body = transformed()["Resources"]["Api"]["Properties"]["Body"]
    post = body["paths"]["/invocations"]["post"]
    assert post["security"] == {"Fn::If": ["HasAuthorization", [{"sigv4": []}], []]}
    assert body["components"]["securitySchemes"]["sigv4"]["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert "credentials" not in post["x-amazon-apigateway-integration"]
    assert body["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    stage = transformed()["Resources"]["ApiprdStage"]["Properties"]["MethodSettings"][0]
    assert stage.keys() >= {"ThrottlingBurstLimit", "ThrottlingRateLimit"}
    defaults = json.loads(source())["Parameters"]
    assert defaults["AuthorizationType"]["Default"] == "AWS_IAM"


def test_a_change_of_the_apis_parameters_is_deployed() -> None:
    """SAM hashes the definition with its references unresolved, and would keep the old deployment."""
    assert json.loads(source())["Resources"]["Api"]["Properties"]["AlwaysDeploy"] is True


def test_the_functions_use_nothing_that_lambda_lacks() -> None:
    """They import the standard library and boto3, and the folders do not import each other."""
    allowed = sys.stdlib_module_names | {"boto3", "botocore"}
    for path in (ROOT / "functions").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        imported = set(re.findall(r"(?m)^\s*(?:from|import) (\w+)", text))
        assert imported <= allowed, path
        assert not re.search(r"from \.\.", text), path


LOGS, KEY = {"logs:CreateLogStream", "logs:PutLogEvents"}, {"kms:Decrypt"}
REPORT, GET = {"codedeploy:PutLifecycleEventHookExecutionStatus"}, {"s3:GetObject"}
RIGHTS = {
    "ApiRole": {"sagemaker:InvokeEndpoint", "xray:PutTelemetryRecords", "xray:PutTraceSegments"},
    "PreTrafficRole": REPORT
    | GET
    | KEY
    | {f"sagemaker:{verb}" for verb in ("DescribeEndpoint", "InvokeEndpoint")}
    | {"sagemaker:UpdateEndpointWeightsAndCapacities", "lambda:GetAlias", "lambda:GetFunctionConfiguration"},
    "PostTrafficRole": REPORT
    | GET
    | KEY
    | {"codedeploy:GetDeployment", "s3:ListBucket", "sagemaker:InvokeEndpoint"},
    "SyntheticRole": GET | KEY | {"lambda:GetAlias", "lambda:InvokeFunction"},
}


@pytest.mark.parametrize("name", sorted(RIGHTS))
def test_the_functions_roles_allow_exactly_their_calls(name: str) -> None:
    """Each has a role of its own; permissions of an option come with the option."""
    role = transformed()["Resources"][name]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    always = [statement for statement in role if "Fn::If" not in statement]
    allowed = {a for s in always for a in (s["Action"] if isinstance(s["Action"], list) else [s["Action"]])}
    assert allowed == RIGHTS[name] | LOGS
    options = {statement["Fn::If"][0] for statement in role if "Fn::If" in statement}
    assert options == ({"HasVpc", "HasFileSystem"} if name == "ApiRole" else set())


def test_every_role_can_be_bounded_and_every_log_is_kept_for_a_time() -> None:
    """An account that requires a boundary can deploy; every log group has a retention."""
    template = transformed()
    for name, role in resources(template, "AWS::IAM::Role").items():
        assert "HasPermissionsBoundary" in json.dumps(role["Properties"]["PermissionsBoundary"]), name
    for name, group in resources(template, "AWS::Logs::LogGroup").items():
        assert group["Properties"]["RetentionInDays"], name
        assert group["Properties"]["KmsKeyId"] == {"Ref": "KmsKeyArn"}, name
    for name, function in resources(template, "AWS::Lambda::Function").items():
        assert "LogGroup" in function["Properties"]["LoggingConfig"], name
