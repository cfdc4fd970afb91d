"""CodePipeline: a deployed pipeline's own stages, from the source to the last action."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core.service import Resource, Service
from localcloud.services.codepipeline.action_context import Tools
from localcloud.services.codepipeline.cloudformation import PipelineResource, target
from localcloud.services.codepipeline.pipelines import Pipelines

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.core.context import CloudContext
    from localcloud.services.codebuild.projects import Projects


def service(context: CloudContext, connect: Callable[[str], Any], builds: Projects) -> Service:
    """Return the service; its actions call this cloud's services by `connect`, and CodeBuild directly."""
    pipelines = Pipelines(Tools(context, connect, builds))
    resource = PipelineResource(pipelines)
    return Service(
        name="codepipeline",
        operations={
            "GetPipeline": pipelines.get,
            "ListPipelines": pipelines.list,
            "StartPipelineExecution": pipelines.start,
            "StopPipelineExecution": pipelines.stop,
            "DisableStageTransition": pipelines.close_stage,
            "EnableStageTransition": pipelines.open_stage,
            "GetPipelineState": pipelines.state,
            "GetPipelineExecution": pipelines.execution,
            "ListPipelineExecutions": pipelines.executions,
            "ListActionExecutions": pipelines.actions,
            "PutApprovalResult": pipelines.approve,
        },
        resources={
            "AWS::CodePipeline::Pipeline": Resource(resource.made, resource.changed, resource.deleted)
        },
        target=partial(target, pipelines),
        close=pipelines.close,
    )
