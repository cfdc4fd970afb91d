"""Deploy what a platform team deploys once: the network, the pipeline, and its template in SageMaker Studio.

Each command may be repeated: what is there already is changed where it differs, and nothing is deleted first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from scripts.delivery import endpoints, projects, studio, view
from scripts.delivery.cloud import Account, Cloud, DeliveryError, Project
from scripts.delivery.stacks import Outcome, Stack, deploy, find, outputs, recover
from scripts.delivery.templates import ROOT, own

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Parameters = Annotated[
    list[str], typer.Option("--parameter", "-p", help="NAME=VALUE of the template's; repeatable.")
]
Tags = Annotated[list[str], typer.Option("--tag", help="NAME=VALUE for what is made; repeatable.")]
NONE: list[str] = []


@dataclass(frozen=True)
class Choices:
    """What the user gave: parameters of the template, and tags."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @classmethod
    def read(cls, parameters: Sequence[str], tags: Sequence[str]) -> Choices:
        """Read texts such as NAME=VALUE."""
        return cls(pairs("--parameter", parameters), pairs("--tag", tags))


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """Read NAME=VALUE; raise DeliveryError for another form."""
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise DeliveryError(f"{option} {text} is no pair: write it as NAME=VALUE.")
    return dict(text.split("=", 1) for text in given)


# Commands


@app.command()
def network(parameter: Parameters = NONE, tag: Tags = NONE) -> None:
    """Deploy pipeline/network.yml: a VPC without a way out, its endpoints, and a file system."""
    project, cloud = begin()
    view.outcome(deploy_network(cloud, project, Choices.read(parameter, tag)))


@app.command()
def pipeline(parameter: Parameters = NONE, tag: Tags = NONE) -> None:
    """Deploy pipeline/pipeline.yml; where the network of this project stands, inside it."""
    project, cloud = begin()
    view.outcome(deploy_pipeline(cloud, project, Choices.read(parameter, tag)))


@app.command(name="studio")
def studio_template(
    role: Annotated[str, typer.Option("--studio-role", help="Name of Studio's execution role.")],
    domain: Annotated[
        str | None, typer.Option("--domain-id", help="The domain that is told where templates lie.")
    ] = None,
    parameter: Parameters = NONE,
    tag: Tags = NONE,
) -> None:
    """Deploy pipeline/studio.yml: Studio offers the pipeline by Service Catalog and from S3."""
    project, cloud = begin()
    choices = Choices.read(parameter, tag)
    outcome, uploaded = deploy_studio(cloud, project, role, choices)
    view.outcome(outcome)
    for address in uploaded:
        view.say(f"Uploaded {address}.")
    if domain is not None:
        location = studio.tell_domain(cloud, domain, project.stack("studio"))
        view.say(f"Domain {domain} lists the templates of {location}.")


@app.command(name="recover")
def recover_production() -> None:
    """Delete a production stack whose first creation failed, which no pipeline can update; no other one."""
    project, cloud = begin()
    name = project.stack("deploy-prd")
    if remove_what_never_stood(cloud, project):
        view.say(f"{name} never stood and is deleted; the next execution of the pipeline makes it.")
    else:
        view.say(f"{name} needs no recovery; nothing was done.")


def begin() -> tuple[Project, Cloud]:
    """Read the project's file and take the account that is signed in."""
    project = Project.read(ROOT / "project.toml")
    return project, Account(project.region)


# What they do


def deploy_network(cloud: Cloud, project: Project, choices: Choices) -> Outcome:
    """Bring the network about."""
    return bring_about(cloud, project, "network", choices)


def deploy_pipeline(cloud: Cloud, project: Project, choices: Choices) -> Outcome:
    """Bring the pipeline about, unless Studio has: its names would be taken."""
    made = projects.find(cloud, project)
    if made is not None:
        raise DeliveryError(
            f"{project.name} was made in Studio, as {made['StackName']}: update the project there."
        )
    given = replace(choices, parameters=parameters_of_the_pipeline(cloud, project, choices))
    return bring_about(cloud, project, "pipeline", given)


def parameters_of_the_pipeline(cloud: Cloud, project: Project, choices: Choices) -> dict[str, str]:
    """Take the network's outputs and the tags for parameters, unless they are given."""
    found = outputs(find(cloud, project.stack("network")))
    parameters = {name: value for name, value in found.items() if name in own("pipeline.yml").parameters}
    if choices.tags:
        parameters["Tags"] = ",".join(f"{name}={value}" for name, value in choices.tags.items())
    return parameters | dict(choices.parameters)


def deploy_studio(cloud: Cloud, project: Project, role: str, choices: Choices) -> tuple[Outcome, list[str]]:
    """Bring Studio's stack about: first its bucket, then what lies in it, then what offers that.

    What became of the stack comes with the addresses of what was uploaded.
    """
    own("pipeline.yml").check(cloud)
    arn = studio.role_arn(cloud, role)
    roles = {"StudioRoleName": role, "StudioRoleArn": arn}
    given = replace(choices, parameters=roles | dict(choices.parameters))
    bucket, first = outputs(find(cloud, project.stack("studio"))).get("TemplateBucket"), None
    if bucket is None:
        first = bring_about(cloud, project, "studio", given)
        bucket = first.outputs["TemplateBucket"]
    key, uploaded = studio.upload(cloud, bucket, own("pipeline.yml"), project)
    offering = replace(given, parameters={**given.parameters, "TemplateKey": key})
    return bring_about(cloud, project, "studio", offering).after(first), uploaded


def bring_about(cloud: Cloud, project: Project, kind: str, choices: Choices) -> Outcome:
    """Check the template of that kind, then deploy it as the project's stack, and as no other's."""
    for given in (choices.parameters.get("Project"), choices.tags.get("project")):
        if given not in (None, project.name):
            raise DeliveryError(
                f"project.toml names the project {project.name}, and its stacks take no other: not {given}."
            )
    template = own(f"{kind}.yml")
    template.check(cloud)
    stack = Stack(
        project.stack(kind),
        template,
        {"Project": project.name, **choices.parameters},
        {**choices.tags, "project": project.name},
    )
    return deploy(cloud, stack)


def remove_what_never_stood(cloud: Cloud, project: Project) -> bool:
    """Delete the production stack if its first creation failed; not where an endpoint serves all the same."""
    serving = [one.name for one in endpoints.of_project(cloud, project) if one.serves and one.stage == "prd"]
    if serving:
        raise DeliveryError(f"{', '.join(serving)} serves production, so its stack is not deleted.")
    return recover(cloud, project.stack("deploy-prd"))


def main() -> None:
    """Run the command; an expected fault ends in one sentence and exit code 1."""
    view.run(app, "python scripts/deploy")
