"""The actions that pipelines run here: each takes its context and returns its output variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.services.codepipeline.actions import approval, cloudformation, codebuild, s3, stepfunctions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from localcloud.services.codepipeline.action_context import ActionContext

PROVIDERS: Mapping[str, Callable[[ActionContext], dict[str, str]]] = {
    "S3": s3.run,
    "CodeBuild": codebuild.run,
    "CloudFormation": cloudformation.run,
    "StepFunctions": stepfunctions.run,
    "Manual": approval.run,
}
