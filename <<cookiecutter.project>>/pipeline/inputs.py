"""The inputs of executions of the state machines stacks/workflow.asl.json and stacks/verify.asl.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.run import endpoint_name, resource_tags
from pipeline.settings import encrypts_volume

if TYPE_CHECKING:
    from pipeline.run import Run
    from pipeline.settings import Data, Gate, Job, Settings

# The reasons of runs that no person started; their model replaces the champion only when it is better.
AUTOMATIC_REASONS = ("data", "schedule", "drift")


def workflow_input(settings: Settings, run: Run) -> dict[str, Any]:
    """Return the input of the workflow that prepares, trains and evaluates."""
    data, stages = settings.data, settings.stages
    return {
        "PipelineExecutionId": run.execution_id,
        "Commit": run.commit,
        "DataVersion": run.data_version,
        "Reason": run.reason,
        "ImageUri": run.image_uri,
        "RequireNewData": False,
        "Data": {"Workload": data.workload, "Prefix": data.prefix, "IntervalDays": data.interval_days},
        "Prepare": {
            **job(stages.prepare, stages.prepare.instance_count),
            "Environment": prepare_environment(data),
        },
        "Baseline": {**job(stages.baseline), "Threshold": f"{settings.monitor.drift_threshold:g}"},
        "Train": training_job(settings),
        "Evaluate": job(stages.evaluate),
        "Gate": quality_gate(settings.gate, run.reason),
        "Network": network(run),
        "Tags": [
            {"Key": key, "Value": value} for key, value in resource_tags(settings, run, "train").items()
        ],
    }


def verify_input(settings: Settings, run: Run, stage: str) -> dict[str, Any]:
    """Return the input of the verification of the endpoint of the stage dev or prd."""
    return {
        "Stage": stage,
        "EndpointName": endpoint_name(settings, run, stage),
        "PipelineExecutionId": run.execution_id,
    }


def quality_gate(gate: Gate, reason: str) -> dict[str, Any]:
    """Return the conditions for a model: its own metric, and how it compares with the champion's."""
    return {
        "Metric": gate.metric,
        "Comparison": gate.comparison,
        "Threshold": gate.threshold,
        "Champion": "better" if reason in AUTOMATIC_REASONS else gate.on_request,
        "Margin": gate.margin,
    }


def job(stage: Job, instances: int = 1) -> dict[str, Any]:
    """Return the instances of a job and the time after which SageMaker stops the job."""
    cluster = {
        "InstanceType": stage.instance_type,
        "InstanceCount": instances,
        "VolumeSizeInGB": stage.volume_gb,
    }
    return {
        "Cluster": cluster,
        "EncryptVolume": encrypts_volume(stage),
        "StoppingCondition": {"MaxRuntimeInSeconds": stage.max_runtime_seconds},
    }


def training_job(settings: Settings) -> dict[str, Any]:
    """Return the instances, the time limits and the hyperparameters of the training job."""
    train = settings.stages.train
    described = job(train, train.instance_count)
    if train.spot:  # SageMaker refuses a maximum wait for a job that does not run on spot capacity
        described["StoppingCondition"]["MaxWaitTimeInSeconds"] = train.max_wait_seconds
    reserved = {
        "model": settings.model.name,
        "seed": str(settings.data.seed),
        "refit": json.dumps(settings.model.refit),
    }
    return {
        **described,
        "Spot": train.spot,
        "HyperParameters": {**reserved, **settings.model.hyperparameters},
    }


def network(run: Run) -> dict[str, Any]:
    """Return the network through which SageMaker moves a job's data; the container itself has no network."""
    if not run.subnet_ids:
        return {}
    groups, subnets = run.security_group_ids.split(","), run.subnet_ids.split(",")
    return {"VpcConfig": {"SecurityGroupIds": groups, "Subnets": subnets}}


def prepare_environment(data: Data) -> dict[str, str]:
    """Return the environment variables of the container's command `prepare`."""
    return {
        "WORKLOAD": data.workload,
        "IMAGE_SIZE": str(data.image_size),
        "TARGET": data.target,
        "TASK": data.task,
        "SEED": str(data.seed),
        "VALIDATION_FRACTION": str(data.validation_fraction),
        "TEST_FRACTION": str(data.test_fraction),
        "GROUP": data.group,
        "TIME": data.time,
        "KINDS": json.dumps(dict(data.kinds), ensure_ascii=False),
        "MISSING_WORDS": json.dumps(list(data.missing_words), ensure_ascii=False),
        "KIND_SHARE": str(data.kind_share),
        "MAX_MISSING_TARGET": str(data.max_missing_target),
        "MAX_SKIPPED": str(data.max_skipped),
        "DELIMITER": data.delimiter,
        "DECIMAL": data.decimal,
        "DATE_ORDER": data.date_order,
    }
