"""Deploy what a platform team deploys once: the network, the pipeline, and its template in SageMaker Studio.

Each command may be repeated: it changes what differs, and deletes nothing first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from delivery import endpoints, projects, studio, view
from delivery.cloud import Account, Cloud, DeliveryError, Project
from delivery.cloudformation import outputs
from delivery.stacks import Outcome, Stack, deploy, find, recover
from delivery.templates.template import load_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Parameters = Annotated[
    list[str],
    typer.Option("--parameter", "-p", help="A parameter of the template as NAME=VALUE; repeatable."),
]
Tags = Annotated[list[str], typer.Option("--tag", help="A tag of all resources as NAME=VALUE; repeatable.")]
NONE: list[str] = []


@dataclass(frozen=True)
class Choices:
    """The user's choices: parameters of the template, and tags."""

    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @classmethod
    def read(cls, parameters: Sequence[str], tags: Sequence[str]) -> Choices:
        """Read texts such as NAME=VALUE.

        Raises:
            DeliveryError: A text has another form.

        """
        return cls(pairs("--parameter", parameters), pairs("--tag", tags))


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read the NAME=VALUE texts of an option.

    Raises:
        DeliveryError: A text has another form.

    """
    for text in texts:
        if not text.partition("=")[0] or "=" not in text:
            raise DeliveryError(f"{option} {text} is not a pair: write it as NAME=VALUE.")
    return dict(text.split("=", 1) for text in texts)


@app.command()
def network(context: typer.Context, parameter: Parameters = NONE, tag: Tags = NONE) -> None:
    """Deploy pipeline/network.yml: a VPC without internet access, its endpoints, and a file system."""
    project, cloud = begin(context)
    view.print_outcome(deploy_network(cloud, project, Choices.read(parameter, tag)))


@app.command()
def pipeline(context: typer.Context, parameter: Parameters = NONE, tag: Tags = NONE) -> None:
    """Deploy pipeline/pipeline.yml, in the project's network if that is deployed."""
    project, cloud = begin(context)
    view.print_outcome(deploy_pipeline(cloud, project, Choices.read(parameter, tag)))


@app.command(name="studio")
def studio_template(
    context: typer.Context,
    role: Annotated[str, typer.Option("--studio-role", help="Name of Studio's execution role.")],
    domain: Annotated[
        str | None, typer.Option("--domain-id", help="The domain that lists the templates.")
    ] = None,
    parameter: Parameters = NONE,
    tag: Tags = NONE,
) -> None:
    """Deploy pipeline/studio.yml: Studio offers the pipeline by Service Catalog and from S3."""
    project, cloud = begin(context)
    choices = Choices.read(parameter, tag)
    outcome, uploaded = deploy_studio(cloud, project, role, choices)
    view.print_outcome(outcome)
    for address in uploaded:
        view.print_line(f"Uploaded {address}.")
    if domain is not None:
        location = studio.tag_domain(cloud, domain, project.stack("studio"))
        view.print_line(f"Domain {domain} lists the templates of {location}.")


@app.command(name="recover")
def recover_production(context: typer.Context) -> None:
    """Delete the production stack if its first creation failed, since no pipeline can update it then."""
    project, cloud = begin(context)
    name = project.stack("deploy-prd")
    if delete_failed_creation(cloud, project):
        view.print_line(f"{name} failed to create and was deleted; the next pipeline execution recreates it.")
    else:
        view.print_line(f"{name} needs no recovery; nothing was done.")


def begin(context: typer.Context) -> tuple[Project, Cloud]:
    """Read the project as `main` says, and use the account of the environment's credentials."""
    project: Project = context.obj()
    return project, Account(project.region)


def deploy_network(cloud: Cloud, project: Project, choices: Choices) -> Outcome:
    """Deploy the network."""
    return deploy_stack(cloud, project, "network", choices)


def deploy_pipeline(cloud: Cloud, project: Project, choices: Choices) -> Outcome:
    """Deploy the pipeline.

    Raises:
        DeliveryError: The project was made in Studio, so the names of its resources are in use.

    """
    stack = projects.find(cloud, project)
    if stack is not None:
        raise DeliveryError(
            f"{project.name} was made in Studio, as {stack['StackName']}: update the project there."
        )
    complete = replace(choices, parameters=pipeline_parameters(cloud, project, choices))
    return deploy_stack(cloud, project, "pipeline", complete)


def pipeline_parameters(cloud: Cloud, project: Project, choices: Choices) -> dict[str, str]:
    """Return the chosen parameters; the network's outputs and the tags fill others of the template."""
    declared = load_template(project, "pipeline.yml").parameters
    network = outputs(find(cloud, project.stack("network")))
    parameters = {name: value for name, value in network.items() if name in declared}
    if choices.tags:
        parameters["Tags"] = ",".join(f"{name}={value}" for name, value in choices.tags.items())
    return parameters | dict(choices.parameters)


def deploy_studio(cloud: Cloud, project: Project, role: str, choices: Choices) -> tuple[Outcome, list[str]]:
    """Deploy Studio's stack: first its bucket, then the template in it, then the product that offers it.

    Returns the outcome, and the addresses of the uploaded objects.
    """
    template = load_template(project, "pipeline.yml")
    template.check(cloud)
    roles = {"StudioRoleName": role, "StudioRoleArn": studio.role_arn(cloud, role)}
    with_roles = replace(choices, parameters=roles | dict(choices.parameters))
    bucket, first = outputs(find(cloud, project.stack("studio"))).get("TemplateBucket"), None
    if bucket is None:
        first = deploy_stack(cloud, project, "studio", with_roles)
        bucket = first.outputs["TemplateBucket"]
    key, uploaded = studio.upload(cloud, bucket, template, project)
    with_product = replace(with_roles, parameters={**with_roles.parameters, "TemplateKey": key})
    return deploy_stack(cloud, project, "studio", with_product).after(first), uploaded


def deploy_stack(cloud: Cloud, project: Project, kind: str, choices: Choices) -> Outcome:
    """Check the template of that kind, and deploy it as the project's stack.

    Raises:
        DeliveryError: The choices name another project, or the deployment failed.

    """
    for name in (choices.parameters.get("Project"), choices.tags.get("project")):
        if name not in (None, project.name):
            raise DeliveryError(
                f"project.toml names the project {project.name}, and its stacks take no other: not {name}."
            )
    template = load_template(project, f"{kind}.yml")
    template.check(cloud)
    stack = Stack(
        project.stack(kind),
        template,
        {"Project": project.name, **choices.parameters},
        {**choices.tags, "project": project.name},
    )
    return deploy(cloud, stack)


def delete_failed_creation(cloud: Cloud, project: Project) -> bool:
    """Delete the production stack if its first creation failed, and return whether it did.

    Raises:
        DeliveryError: An endpoint serves production all the same.

    """
    serving = [one.name for one in endpoints.of_project(cloud, project) if one.serves and one.stage == "prd"]
    if serving:
        raise DeliveryError(f"{', '.join(serving)} serves production, so its stack is not deleted.")
    return recover(cloud, project.stack("deploy-prd"))


def main(root: Path, read_settings: Callable[[Path], Any]) -> None:
    """Run the command for the project in that folder; an expected error ends in one sentence and code 1."""
    view.run(app, "python scripts/deploy", partial(Project.read, root, read_settings))
