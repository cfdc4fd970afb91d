"""Remove everything of the project: stacks, endpoints, images, data and logs. None of it can be had again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import ClientError

from scripts.delivery import projects, stacks, studio, view
from scripts.delivery.cloud import Account, DeliveryError, Project, is_missing, pages
from scripts.delivery.inventory import Inventory, Item
from scripts.delivery.templates import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scripts.delivery.cloud import Cloud

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
MOST_OBJECTS, MOST_IMAGES, MOST_BUILDS, KEY_WAITS_DAYS = 1000, 100, 100, 30
HELD = "Removed by the teardown script"  # AWS takes no slash here


@app.command(help=__doc__)
def teardown(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the project's name.")] = False,
    with_studio: Annotated[
        bool, typer.Option("--studio", help="Studio's template too, which other projects may be made of.")
    ] = False,
) -> None:
    """List what there is of the project, ask, and remove it."""
    project = Project.read(ROOT / "project.toml")
    cloud = Account(project.region)
    found = Inventory(cloud, project, with_studio).items()
    if not found:
        view.say(f"There is nothing of {project.name} in {project.region}.")
        return
    view.items(found)
    if dry_run:
        view.say(f"{len(found)} would be removed; nothing was.")
        return
    if not yes and typer.prompt(f"This removes all of it. Type {project.name} to go on") != project.name:
        raise DeliveryError("That is not the project's name; nothing was removed.")
    remove_all(cloud, found, view.say)


def remove_all(cloud: Cloud, found: Iterable[Item], say: Callable[[str], None]) -> None:
    """Remove one after another and say so; whoever repeats it after a failure goes on where that was."""
    for item in found:
        try:
            REMOVERS[item.kind](cloud, item)
        except ClientError as error:
            if not is_missing(error):
                raise
        say(f"{item.kind} {item.name}: {DONE.get(item.kind, 'removed')}")


# One kind after another


def hold_pipeline(cloud: Cloud, item: Item) -> None:
    """Let nothing pass into the second stage any more, and stop what runs."""
    codepipeline = cloud.client("codepipeline")
    _, second, *_ = codepipeline.get_pipeline(name=item.name)["pipeline"]["stages"]
    codepipeline.disable_stage_transition(
        pipelineName=item.name, stageName=second["name"], transitionType="Inbound", reason=HELD
    )
    for execution in pages(
        codepipeline, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=item.name
    ):
        if execution["status"] == "InProgress":
            codepipeline.stop_pipeline_execution(
                pipelineName=item.name,
                pipelineExecutionId=execution["pipelineExecutionId"],
                abandon=True,
                reason=HELD,
            )


def stop_builds(cloud: Cloud, item: Item) -> None:
    """Stop what is built, which would push another image."""
    codebuild = cloud.client("codebuild")
    found = pages(codebuild, "list_builds_for_project", "ids", projectName=item.name)
    for some in chunks(found, MOST_BUILDS):
        for build in codebuild.batch_get_builds(ids=some)["builds"]:
            if build["buildStatus"] == "IN_PROGRESS":
                codebuild.stop_build(id=build["id"])


def stop_executions(cloud: Cloud, item: Item) -> None:
    """Stop the executions of a state machine, which stop their jobs."""
    machines = cloud.client("stepfunctions")
    running = {"stateMachineArn": item.id, "statusFilter": "RUNNING"}
    for execution in pages(machines, "list_executions", "executions", **running):
        machines.stop_execution(executionArn=execution["executionArn"], error="Stopped", cause=HELD)


def delete_stack(cloud: Cloud, item: Item) -> None:
    """Delete a stack once whatever happens to it is over."""
    if stacks.settled(cloud, item.name) is not None:
        stacks.delete(cloud, item.name)


def delete_project(cloud: Cloud, item: Item) -> None:
    """Delete a project that was made in Studio, and so its stack."""
    projects.delete(cloud, item.name, item.id)


def untag_domain(cloud: Cloud, item: Item) -> None:
    """Let a domain of Studio look for no templates any more."""
    cloud.client("sagemaker").delete_tags(ResourceArn=item.id, TagKeys=[studio.LOCATION])


def delete_schedule(cloud: Cloud, item: Item) -> None:
    """Delete a schedule that has not come yet."""
    cloud.client("scheduler").delete_schedule(Name=item.name)


def delete_from_sagemaker(cloud: Cloud, item: Item) -> None:
    """Delete an endpoint, its configuration or a model, if its stack has not taken it along."""
    operation = {
        "Endpoint": "delete_endpoint",
        "EndpointConfig": "delete_endpoint_config",
        "Model": "delete_model",
    }[item.kind]
    try:
        getattr(cloud.client("sagemaker"), operation)(**{f"{item.kind}Name": item.name})
    except ClientError as error:
        if "Could not find" not in str(error):
            raise


def delete_registered(cloud: Cloud, item: Item) -> None:
    """Delete a version from the model registry; its model goes with the bucket."""
    try:
        cloud.client("sagemaker").delete_model_package(ModelPackageName=item.id)
    except ClientError as error:
        if "does not exist" not in str(error):
            raise


def delete_images(cloud: Cloud, item: Item) -> None:
    """Empty a repository."""
    ecr = cloud.client("ecr")
    found = list(pages(ecr, "list_images", "imageIds", repositoryName=item.name))
    for some in chunks(found, MOST_IMAGES):
        done = ecr.batch_delete_image(repositoryName=item.name, imageIds=some)
        left = [one for one in done.get("failures", []) if one.get("failureCode") != "ImageNotFound"]
        if left:
            raise DeliveryError(f"{item.name} keeps an image: {left[0].get('failureReason')}.")


def delete_bucket(cloud: Cloud, item: Item) -> None:
    """Delete a bucket with every version of every object."""
    s3 = cloud.client("s3")
    for upload in pages(s3, "list_multipart_uploads", "Uploads", Bucket=item.name):
        s3.abort_multipart_upload(Bucket=item.name, Key=upload["Key"], UploadId=upload["UploadId"])
    for kind in ("Versions", "DeleteMarkers"):
        found = pages(s3, "list_object_versions", kind, Bucket=item.name)
        marks = ({"Key": one["Key"], "VersionId": one["VersionId"]} for one in found)
        for some in chunks(marks, MOST_OBJECTS):
            done = s3.delete_objects(Bucket=item.name, Delete={"Objects": some, "Quiet": True})
            if done.get("Errors"):
                error = done["Errors"][0]
                raise DeliveryError(f"{item.name} keeps {error['Key']}: {error.get('Message')}")
    s3.delete_bucket(Bucket=item.name)


def delete_key(cloud: Cloud, item: Item) -> None:
    """Schedule the deletion of a key."""
    cloud.client("kms").schedule_key_deletion(KeyId=item.name, PendingWindowInDays=KEY_WAITS_DAYS)


def delete_log_group(cloud: Cloud, item: Item) -> None:
    """Delete a log group that did not go with its stack."""
    cloud.client("logs").delete_log_group(logGroupName=item.name)


def delete_parameter(cloud: Cloud, item: Item) -> None:
    """Delete a parameter that did not go with its stack."""
    cloud.client("ssm").delete_parameter(Name=item.name)


def delete_file_system(cloud: Cloud, item: Item) -> None:
    """Delete a file system, whose mount targets went with their stack."""
    cloud.client("efs").delete_file_system(FileSystemId=item.name)


def chunks(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Give the entries in lists of at most so many."""
    some: list[Any] = []
    for entry in entries:
        some.append(entry)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


REMOVERS: dict[str, Callable[[Cloud, Item], None]] = {
    "pipeline": hold_pipeline,
    "builds": stop_builds,
    "state machine": stop_executions,
    "stack": delete_stack,
    "project": delete_project,
    "domain": untag_domain,
    "schedule": delete_schedule,
    "Endpoint": delete_from_sagemaker,
    "EndpointConfig": delete_from_sagemaker,
    "Model": delete_from_sagemaker,
    "images": delete_images,
    "registered model": delete_registered,
    "bucket": delete_bucket,
    "key": delete_key,
    "log group": delete_log_group,
    "parameter": delete_parameter,
    "file system": delete_file_system,
}
DONE = {
    "pipeline": "stopped",
    "builds": "stopped",
    "state machine": "stopped",
    "domain": "untagged",
    "key": f"deleted in {KEY_WAITS_DAYS} days",
}


def main() -> None:
    """Run the command; an expected fault ends in one sentence and exit code 1."""
    view.run(app, "python scripts/teardown")
