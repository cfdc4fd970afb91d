"""The actions that pipelines run here: each takes its work and returns its output variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cloud.codepipeline.actions import approval, build, machine, source, stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.cloud.codepipeline.work import Work

PROVIDERS: Mapping[str, Callable[[Work], dict[str, str]]] = {
    "S3": source.run,
    "CodeBuild": build.run,
    "CloudFormation": stack.run,
    "StepFunctions": machine.run,
    "Manual": approval.run,
}
