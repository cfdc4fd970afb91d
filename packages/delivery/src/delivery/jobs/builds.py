"""Builds of CodeBuild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from delivery.cloud import pages
from delivery.jobs.job import COMPLETED, FAILED, IN_PROGRESS, STOPPED, Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.cloud import Cloud
    from delivery.jobs.job import Known

AT_ONCE = 100  # builds of one request
STATUS = {"IN_PROGRESS": IN_PROGRESS, "SUCCEEDED": COMPLETED, "STOPPED": STOPPED}


class Builds:
    """The builds of all projects."""

    kind = "build"

    def all(self, cloud: Cloud, known: Known) -> Iterator[Job]:
        """Yield every build; those of `known` that have ended are not described again."""
        ids = list(pages(cloud.client("codebuild"), "list_builds", "ids"))
        ended = {one: job for one in ids if (job := known.ended(one))}
        wanted = [one for one in ids if one not in ended]
        yield from ended.values()
        for start in range(0, len(wanted), AT_ONCE):
            yield from self._described(cloud, wanted[start : start + AT_ONCE])

    def read(self, cloud: Cloud, job: Job) -> Job | None:
        """Return a build as it is now, or None when it does not exist any more."""
        return next(iter(self._described(cloud, [job.id])), None)

    def stop(self, cloud: Cloud, job: Job) -> None:
        """Stop a build; nothing happens to one that has ended."""
        cloud.client("codebuild").stop_build(id=job.id)

    def log_streams(self, job: Job) -> tuple[str, str]:
        """Return the group of CloudWatch Logs, and the prefix of the build's stream."""
        project, _, unique = job.id.partition(":")
        return f"/aws/codebuild/{project}", unique

    @staticmethod
    def _described(cloud: Cloud, ids: list[str]) -> Iterator[Job]:
        for found in cloud.client("codebuild").batch_get_builds(ids=ids).get("builds", []):
            yield _job(found)


def _job(found: dict[str, Any]) -> Job:
    status = STATUS.get(found["buildStatus"], FAILED)
    return Job(
        kind=Builds.kind,
        id=found["id"],
        arn=found["arn"],
        status=status,
        started=found["startTime"],
        ended=found.get("endTime"),
        parameters={
            "initiator": found.get("initiator", ""),
            "phase": found.get("currentPhase", ""),
            **{one["name"]: one["value"] for one in _variables(found)},
        },
        reason=_reason(found) if status in (FAILED, STOPPED) else "",
    )


def _variables(found: dict[str, Any]) -> list[dict[str, str]]:
    """Return the variables of the project; a value that is the name of a parameter or secret is that name."""
    return list(found.get("environment", {}).get("environmentVariables", []))


def _reason(found: dict[str, Any]) -> str:
    """Return why a build ended: its status where that is not FAILED, and the message of a phase."""
    status = found["buildStatus"]
    messages = [
        context["message"]
        for phase in found.get("phases", [])
        for context in phase.get("contexts", [])
        if context.get("message")
    ]
    return ": ".join(filter(None, ["" if status == "FAILED" else status, *messages[:1]]))
