"""The approval that a pipeline waits for, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from delivery.cloud import DeliveryError, is_missing, pages

if TYPE_CHECKING:
    from delivery.cloud import Cloud

HOW = "Answer in another terminal, by 'python -m local approve' or 'python -m local reject'."


@dataclass(frozen=True)
class Pending:
    """An approval that waits for its answer."""

    pipeline: str
    stage: str
    action: str
    token: str
    execution_id: str

    @property
    def question(self) -> str:
        """Where a person is asked."""
        return f"{self.action} of stage {self.stage} waits, execution {self.execution_id}"


def find(cloud: Cloud, pipeline: str) -> Pending | None:
    """Return the approval that waits now, if one does."""
    try:
        state = cloud.client("codepipeline").get_pipeline_state(name=pipeline)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    for stage in state["stageStates"]:
        for action in stage["actionStates"]:
            if token := action.get("latestExecution", {}).get("token"):
                own = stage["latestExecution"]["pipelineExecutionId"]
                return Pending(pipeline, stage["stageName"], action["actionName"], token, own)
    return None


def describe_model(cloud: Cloud, execution_id: str) -> str:
    """Return the description of the model package that an execution registered; empty where there is none."""
    sagemaker = cloud.client("sagemaker")
    newest = {"ModelPackageType": "Versioned", "SortBy": "CreationTime", "SortOrder": "Descending"}
    for one in pages(sagemaker, "list_model_packages", "ModelPackageSummaryList", **newest):
        found = sagemaker.describe_model_package(ModelPackageName=one["ModelPackageArn"])
        if found.get("CustomerMetadataProperties", {}).get("PipelineExecutionId") == execution_id:
            return str(found.get("ModelPackageDescription", ""))
    return ""


def answer(cloud: Cloud, pending: Pending, status: str, summary: str) -> None:
    """Answer as Approved or Rejected.

    Raises:
        DeliveryError: It was answered in the meantime.

    """
    try:
        cloud.client("codepipeline").put_approval_result(
            pipelineName=pending.pipeline,
            stageName=pending.stage,
            actionName=pending.action,
            token=pending.token,
            result={"status": status, "summary": summary},
        )
    except ClientError as error:
        raise DeliveryError(f"{pending.question}: {error.response['Error']['Message']}") from None


def reply(cloud: Cloud, pipeline: str, status: str, summary: str) -> Pending:
    """Answer the approval that waits.

    Raises:
        DeliveryError: None does.

    """
    pending = find(cloud, pipeline)
    if pending is None:
        raise DeliveryError(f"No approval of {pipeline} waits; 'python -m local status' shows its state.")
    answer(cloud, pending, status, summary)
    return pending
