"""The content of each rendered file: the parameters and tags of a stack, or the input of an execution.

Most parameters are declared with the entry that fills them, in settings.py and run.py; the others are
computed here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from pipeline.dashboard import dashboard_parameters
from pipeline.inputs import verify_input, workflow_input
from pipeline.run import resource_tags
from pipeline.settings import Endpoint, encrypts_volume

if TYPE_CHECKING:
    from pipeline.run import Run
    from pipeline.settings import Settings

PLATFORM = ("ArtifactBucket", "KmsKeyArn", "NotificationTopicArn")  # outputs of pipeline/pipeline.yml
NETWORK = ("SubnetIds", "SecurityGroupIds")
VERIFICATION = ("LatencyThresholdMs", "GoldenTolerance", "AnswerTolerance")  # limits for golden requests


def render(settings: Settings, run: Run) -> dict[str, Any]:
    """Return the content of each file by its name.

    Raises:
        SettingsError: if stacks/dashboard.json cannot be rendered.
    """

    def stack(stage: str, parameters: dict[str, str]) -> dict[str, Any]:
        return {"Parameters": parameters, "Tags": resource_tags(settings, run, stage)}

    return {
        "workflow.json": stack("workflow", workflow_parameters(settings, run)),
        "workflow-input.json": workflow_input(settings, run),
        "verify.json": stack("verify", verify_parameters(settings, run)),
        "verify-dev.json": verify_input(settings, run, "dev"),
        "verify-prd.json": verify_input(settings, run, "prd"),
        "governor.json": stack("governor", governor_parameters(settings, run)),
        "registry.json": stack("registry", registry_parameters(settings, run)),
        "deploy-model-dev.json": stack("dev", model_parameters(settings, run, settings.stages.dev)),
        "deploy-model-prd.json": stack("prd", prd_parameters(settings, run)),
        "monitor.json": stack("monitor", monitor_parameters(settings, run)),
        "dashboard.json": stack("prd", dashboard_parameters(settings, run)),
    }


def filled_by(source: Any, *names: str) -> dict[str, str]:
    """Return the parameters that the fields of a section or a run fill; with names, only these parameters.

    A dictionary joined of several results keeps each parameter where it came first. So a call without names
    adds the parameters that earlier calls for the same source left out.
    """
    filled = {
        declared.metadata["parameter"]: parameter_text(declared, getattr(source, declared.name))
        for declared in fields(source)
        if declared.metadata["parameter"]
    }
    return {name: filled[name] for name in names or filled}


def parameter_text(declared: Any, value: Any) -> str:
    """Write a value as CloudFormation takes it: as text."""
    texts = declared.metadata["texts"]
    if texts:
        return str(texts[value])
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    return ",".join(value) if isinstance(value, list | tuple) else str(value)


def workflow_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/workflow.yml."""
    return {
        **filled_by(settings.project),
        **filled_by(run, *PLATFORM, "SageMakerRoleArn"),
        "ProductionParameter": production_parameter(settings),
        **filled_by(settings.experiments),
        **filled_by(run, *NETWORK, "PermissionsBoundaryArn"),
    }


def verify_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/verify.yml."""
    return {
        **filled_by(settings.project),
        **filled_by(run, *PLATFORM),
        "ProductionParameter": production_parameter(settings),
        **filled_by(settings.stages.prd, *VERIFICATION),
        **filled_by(run, "PermissionsBoundaryArn"),
    }


def governor_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/governor.yml."""
    return {
        **filled_by(settings.project),
        **filled_by(run, *PLATFORM),
        **filled_by(settings.data),
        "ProductionParameter": production_parameter(settings),
        **filled_by(settings.governor),
        **filled_by(run, "PermissionsBoundaryArn"),
    }


def registry_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/registry.yml."""
    return {**filled_by(settings.project), **filled_by(run, *PLATFORM, "PermissionsBoundaryArn")}


def model_parameters(settings: Settings, run: Run, endpoint: Endpoint) -> dict[str, str]:
    """Return the parameters of stacks/deploy-model-dev.yml, which stacks/deploy-model-prd.yml has too."""
    names = [declared.metadata["parameter"] for declared in fields(Endpoint)]
    return {
        **filled_by(settings.project),
        **filled_by(run, "ExecutionId", "ImageUri"),
        "ModelDataUrl": f"{model_folder(run)}/model.tar.gz",
        **filled_by(run, "SageMakerRoleArn", "KmsKeyArn", "ArtifactBucket"),
        **filled_by(endpoint, *names),
        "EncryptVolume": json.dumps(encrypts_volume(endpoint)),
        **filled_by(run, *NETWORK),
    }


def prd_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/deploy-model-prd.yml."""
    prd = settings.stages.prd
    return {
        **model_parameters(settings, run, prd),
        **filled_by(prd, *VERIFICATION),
        **filled_by(run, "NotificationTopicArn", "PermissionsBoundaryArn"),
        "GoldenUrl": f"{model_folder(run)}/golden.json",
        "DeploymentHash": deployment_hash(settings, run),
        **filled_by(prd, "DeploymentPreference"),
        **filled_by(prd),
        "ApiPackage": "image" if run.lambda_image_uri else "zip",
        **filled_by(run, "LambdaImageUri", "EfsAccessPointArn"),
    }


def monitor_parameters(settings: Settings, run: Run) -> dict[str, str]:
    """Return the parameters of stacks/monitor.yml."""
    monitor, machine = settings.monitor, settings.stages.monitor
    return {
        **filled_by(settings.project),
        **filled_by(run, "ExecutionId", "ImageUri", *PLATFORM, "SageMakerRoleArn", "PermissionsBoundaryArn"),
        **filled_by(monitor, "DriftEngine"),
        **filled_by(run, "AnalyzerImageUri"),
        **filled_by(machine, "InstanceType", "InstanceCount"),
        **filled_by(machine),
        "EncryptVolume": json.dumps(encrypts_volume(machine)),
        **filled_by(run, *NETWORK),
        **filled_by(monitor),
    }


def production_parameter(settings: Settings) -> str:
    """Name the SSM parameter that records the model in production; no stack owns the parameter."""
    return f"/{settings.project.name}/production"


def model_folder(run: Run) -> str:
    """Return the S3 address of the folder that the training copies its model to."""
    return f"s3://{run.artifact_bucket}/models/{run.execution_id}"


def deployment_hash(settings: Settings, run: Run) -> str:
    """Return a hexadecimal SHA-256 of the deployment: a new model alone makes a new version of the API."""
    facts = [run.commit, run.data_version, run.execution_id, asdict(settings)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
