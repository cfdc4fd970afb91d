"""The action CloudFormation: a stack is created, updated or deleted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.core import archives
from localcloud.core import cloudformation as stacks
from localcloud.services.codepipeline.errors import configuration_error, job_failed

if TYPE_CHECKING:
    from localcloud.core.service import Json
    from localcloud.services.codepipeline.action_context import ActionContext

ACTION_MODES = ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "DELETE_ONLY")
# REPLACE_ON_FAILURE deletes a stack with one of these states first.
FAILED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
MAX_OVERRIDES_LENGTH = 1024


def run(context: ActionContext) -> dict[str, str]:
    """Create, update or delete the stack, and return its outputs.

    Raises:
        ActionError: the action is configured wrong, or the stack failed.
    """
    mode, stack = context.configuration["ActionMode"], context.configuration["StackName"]
    if mode not in ACTION_MODES:
        raise configuration_error(f"The local cloud has no ActionMode {mode}: {', '.join(ACTION_MODES)}")
    cloudformation = context.client("cloudformation")
    status = stacks.wait_until_settled(cloudformation, stack, context.wait)
    if status is not None and (mode == "DELETE_ONLY" or (mode == "REPLACE_ON_FAILURE" and status in FAILED)):
        _delete(context, stack)
        status = None
    if mode == "DELETE_ONLY":
        return {}
    _deploy(context, stack, status)
    outputs = stacks.outputs(stacks.describe(cloudformation, stack))
    for artifact in context.action.outputs:
        file = context.configuration.get("OutputFileName", "CreateStackOutput.json")
        context.artifacts.put(artifact, archives.pack_text(file, json.dumps(outputs)))
    return outputs


def _deploy(context: ActionContext, stack: str, status: str | None) -> None:
    """Create or update the stack and wait for its end."""
    cloudformation = context.client("cloudformation")
    request = _stack_request(context, stack)
    try:
        (cloudformation.create_stack if status is None else cloudformation.update_stack)(**request)
    except ClientError as error:
        response = error.response["Error"]
        if "No updates are to be performed" in response["Message"]:
            return
        raise configuration_error(f"{response['Message']} (Error Code: {response['Code']})") from None
    context.run.external_id = stacks.describe(cloudformation, stack).get("StackId", stack)
    status = stacks.wait_until_settled(cloudformation, stack, context.wait)
    context.run.summary = f"Stack {stack} is {status}"
    if status not in stacks.DONE:
        why = stacks.failure_reason(cloudformation, stack)
        raise job_failed(f"Stack {stack} ended as {status}: {why}")


def _stack_request(context: ActionContext, stack: str) -> Json:
    """Return the request of CreateStack or UpdateStack."""
    configuration = _template_configuration(context)
    parameters = {**configuration.get("Parameters", {}), **_parameter_overrides(context)}
    capabilities = [name.strip() for name in context.configuration.get("Capabilities", "").split(",")]
    template = context.artifacts.read(context.configuration.get("TemplatePath", ""))
    request: Json = {
        "StackName": stack,
        "TemplateURL": context.artifacts.publish("templates", template),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": [name for name in capabilities if name],
        "Tags": [{"Key": key, "Value": value} for key, value in configuration.get("Tags", {}).items()],
    }
    if role := context.configuration.get("RoleArn"):
        request["RoleARN"] = role
    return request


def _template_configuration(context: ActionContext) -> Json:
    """Read the template configuration: parameters and tags, whose values are strings."""
    path = context.configuration.get("TemplateConfiguration")
    if not path:
        return {}
    try:
        content = json.loads(context.artifacts.read(path))
        texts = [*content.get("Parameters", {}).values(), *content.get("Tags", {}).values()]
    except (ValueError, AttributeError):
        content, texts = None, []
    unknown = sorted(set(content or {}) - {"Parameters", "Tags", "StackPolicy"})
    if content is None or unknown or not all(isinstance(text, str) for text in texts):
        raise configuration_error(
            f"{path} is not a template configuration: JSON with Parameters, Tags, StackPolicy, all values"
            " texts"
        )
    return dict(content)


def _parameter_overrides(context: ActionContext) -> dict[str, str]:
    """Return the parameters that the action itself sets."""
    text = context.configuration.get("ParameterOverrides", "{}")
    if len(text) > MAX_OVERRIDES_LENGTH:
        raise configuration_error(f"ParameterOverrides has more than {MAX_OVERRIDES_LENGTH} characters")
    try:
        return {key: _parameter(context, value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise configuration_error(f"ParameterOverrides is not a JSON object: {text}") from None


def _parameter(context: ActionContext, value: Any) -> str:
    """Return a parameter's value, which may be taken from an artifact."""
    match value:
        case {"Fn::GetParam": [artifact, file, key]}:
            return str(json.loads(context.artifacts.read(f"{artifact}::{file}"))[key])
        case {"Fn::GetArtifactAtt": [artifact, "BucketName"]}:
            return str(context.artifacts.locations((artifact,))[0]["s3location"]["bucket"])
        case {"Fn::GetArtifactAtt": [artifact, "ObjectKey"]}:
            return str(context.artifacts.locations((artifact,))[0]["s3location"]["key"])
    return str(value)


def _delete(context: ActionContext, stack: str) -> None:
    """Delete the stack and wait until it is gone."""
    cloudformation = context.client("cloudformation")
    cloudformation.delete_stack(StackName=stack)
    status = stacks.wait_until_settled(cloudformation, stack, context.wait)
    if status is not None:
        why = stacks.failure_reason(cloudformation, stack)
        raise job_failed(f"Stack {stack} ended as {status}: {why}")
