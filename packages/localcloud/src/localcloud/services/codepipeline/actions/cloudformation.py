"""A stack of CloudFormation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import archives
from localcloud.core import cloudformation as stacks
from localcloud.services.codepipeline.errors import ActionError

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import Work

MODES = ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "DELETE_ONLY")
# What REPLACE_ON_FAILURE deletes first.
FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
OVERRIDES_MOST = 1024


def run(work: Work) -> dict[str, str]:
    """Make, change or delete the stack, and return its outputs."""
    mode, stack = work.configuration["ActionMode"], work.configuration["StackName"]
    if mode not in MODES:
        raise ActionError(
            "ConfigurationError", f"The local cloud has no ActionMode {mode}: {', '.join(MODES)}"
        )
    cloudformation = work.client("cloudformation")
    status = stacks.settled(cloudformation, stack, work.wait)
    if status is not None and (mode == "DELETE_ONLY" or (mode == "REPLACE_ON_FAILURE" and status in FAILED)):
        delete(work, stack)
        status = None
    if mode == "DELETE_ONLY":
        return {}
    deploy(work, stack, status)
    outputs = stacks.outputs(stacks.described(cloudformation, stack))
    for artifact in work.action.outputs:
        file = work.configuration.get("OutputFileName", "CreateStackOutput.json")
        work.artifacts.put(artifact, archives.packed_text(file, json.dumps(outputs)))
    return outputs


def deploy(work: Work, stack: str, status: str | None) -> None:
    """Create or update the stack, wait for it, and fail with what made it fail."""
    cloudformation = work.client("cloudformation")
    request = requested(work, stack)
    try:
        (cloudformation.create_stack if status is None else cloudformation.update_stack)(**request)
    except ClientError as error:
        said = error.response["Error"]
        if "No updates are to be performed" in said["Message"]:
            return
        raise ActionError("ConfigurationError", f"{said['Message']} (Error Code: {said['Code']})") from None
    work.run.external_id = stacks.described(cloudformation, stack).get("StackId", stack)
    status = stacks.settled(cloudformation, stack, work.wait)
    work.run.summary = f"Stack {stack} is {status}"
    if status not in stacks.DONE:
        why = stacks.cause(cloudformation, stack)
        raise ActionError("JobFailed", f"Stack {stack} ended as {status}: {why}")


def requested(work: Work, stack: str) -> Json:
    """Return what CloudFormation is asked for."""
    configuration = template_configuration(work)
    parameters = {**configuration.get("Parameters", {}), **overrides(work)}
    given = [name.strip() for name in work.configuration.get("Capabilities", "").split(",")]
    template = work.artifacts.read(work.configuration.get("TemplatePath", ""))
    request: Json = {
        "StackName": stack,
        "TemplateURL": work.artifacts.publish("templates", template),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": [name for name in given if name],
        "Tags": [{"Key": key, "Value": value} for key, value in configuration.get("Tags", {}).items()],
    }
    if role := work.configuration.get("RoleArn"):
        request["RoleARN"] = role
    return request


def template_configuration(work: Work) -> Json:
    """Read the template configuration: parameters and tags, all of them texts."""
    path = work.configuration.get("TemplateConfiguration")
    if not path:
        return {}
    try:
        content = json.loads(work.artifacts.read(path))
        texts = [*content.get("Parameters", {}).values(), *content.get("Tags", {}).values()]
    except (ValueError, AttributeError):
        content, texts = None, []
    unknown = sorted(set(content or {}) - {"Parameters", "Tags", "StackPolicy"})
    if content is None or unknown or not all(isinstance(text, str) for text in texts):
        raise ActionError(
            "ConfigurationError",
            f"{path} is no template configuration: JSON with Parameters, Tags, StackPolicy, all values texts",
        )
    return dict(content)


def overrides(work: Work) -> dict[str, str]:
    """Return the parameters that the action itself gives."""
    text = work.configuration.get("ParameterOverrides", "{}")
    if len(text) > OVERRIDES_MOST:
        raise ActionError(
            "ConfigurationError", f"ParameterOverrides has more than {OVERRIDES_MOST} characters"
        )
    try:
        return {key: parameter(work, value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise ActionError("ConfigurationError", f"ParameterOverrides is no JSON object: {text}") from None


def parameter(work: Work, value: Any) -> str:
    """Return a parameter's value, which may be taken from an artifact."""
    match value:
        case {"Fn::GetParam": [artifact, file, key]}:
            return str(json.loads(work.artifacts.read(f"{artifact}::{file}"))[key])
        case {"Fn::GetArtifactAtt": [artifact, "BucketName"]}:
            return str(work.artifacts.located((artifact,))[0]["s3location"]["bucket"])
        case {"Fn::GetArtifactAtt": [artifact, "ObjectKey"]}:
            return str(work.artifacts.located((artifact,))[0]["s3location"]["key"])
    return str(value)


def delete(work: Work, stack: str) -> None:
    """Delete the stack and wait until it is gone."""
    cloudformation = work.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    status = stacks.settled(cloudformation, stack, work.wait)
    if status is not None:
        why = stacks.cause(cloudformation, stack)
        raise ActionError("JobFailed", f"Stack {stack} ended as {status}: {why}")
