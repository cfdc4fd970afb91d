"""CodePipeline: the stages of a deployed pipeline, from the source to the last action."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from localcloud.core.service import Resource, Service
from localcloud.services.codepipeline.action_context import Tools
from localcloud.services.codepipeline.cloudformation import PipelineResource
from localcloud.services.codepipeline.pipelines import Pipelines
from localcloud.services.codepipeline.rule_target import start_for_rule

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
            "DisableStageTransition": pipelines.disable_transition,
            "EnableStageTransition": pipelines.enable_transition,
            "GetPipelineState": pipelines.get_state,
            "GetPipelineExecution": pipelines.get_execution,
            "ListPipelineExecutions": pipelines.list_executions,
            "ListActionExecutions": pipelines.list_action_executions,
            "PutApprovalResult": pipelines.put_approval,
        },
        resources={
            "AWS::CodePipeline::Pipeline": Resource(resource.create, resource.update, resource.delete)
        },
        target=partial(start_for_rule, pipelines),
        close=pipelines.close,
        kept=pipelines.kept(),
    )
