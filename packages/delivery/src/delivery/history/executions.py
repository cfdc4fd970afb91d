"""Executions of the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from delivery.cloud import is_missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.cloud import Cloud

UNDER_WAY = ("InProgress", "Stopping")


def list_executions(cloud: Cloud, pipeline: str) -> list[dict[str, Any]]:
    """List the pipeline's executions, the newest first; none for a pipeline that does not exist."""
    try:
        found = cloud.client("codepipeline").list_pipeline_executions(pipelineName=pipeline)
    except ClientError as error:
        if is_missing(error):
            return []
        raise
    return list(found["pipelineExecutionSummaries"])


def executions_of(cloud: Cloud, pipeline: str, revision: str) -> list[str]:
    """Name the executions that took a revision of the source."""
    return [
        execution["pipelineExecutionId"]
        for execution in list_executions(cloud, pipeline)
        if any(taken["revisionId"] == revision for taken in execution.get("sourceRevisions", []))
    ]


def execution_status(cloud: Cloud, pipeline: str, execution_id: str) -> str:
    """Return the status of an execution of the pipeline."""
    answer = cloud.client("codepipeline").get_pipeline_execution(
        pipelineName=pipeline, pipelineExecutionId=execution_id
    )
    return str(answer["pipelineExecution"]["status"])


def waits_for(cloud: Cloud, pipeline: str, execution_id: str, stage: str) -> bool:
    """Return whether the execution waits until another execution leaves the stage."""
    return stage in {name for name, _ in stages_awaited(cloud, pipeline, execution_id)}


def stages_awaited(cloud: Cloud, pipeline: str, execution_id: str) -> Iterator[tuple[str, str]]:
    """Yield the stages that the execution waits for, each with the execution that is in it."""
    state = cloud.client("codepipeline").get_pipeline_state(name=pipeline)
    for stage in state["stageStates"]:
        if any(one["pipelineExecutionId"] == execution_id for one in stage.get("inboundExecutions", [])):
            yield stage["stageName"], stage.get("latestExecution", {}).get("pipelineExecutionId", "")
