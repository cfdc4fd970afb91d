"""Remove everything of the project: stacks, endpoints, images, data and logs. This cannot be undone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from botocore.exceptions import ClientError

from delivery import cloudformation, projects, stacks, studio, view
from delivery.cloud import Account, DeliveryError, Project, is_missing, pages
from delivery.inventory import Inventory, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from delivery.cloud import Cloud

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
MAX_OBJECTS, MAX_IMAGES, MAX_BUILDS = 1000, 100, 100  # in one call
KEY_DELETION_DAYS = 30
HOLD_REASON = "Removed by the teardown script"  # AWS takes no slash here


@app.command(help=__doc__)
def teardown(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the project's name.")] = False,
    with_studio: Annotated[
        bool, typer.Option("--studio", help="Studio's template too, which other projects may be made of.")
    ] = False,
) -> None:
    """List everything of the project, ask, and remove it.

    Raises:
        DeliveryError: The answer is not the project's name, or something could not be removed.

    """
    project: Project = context.obj()
    cloud = Account(project.region)
    items = Inventory(cloud, project, with_studio).items()
    if not items:
        view.print_line(f"There is nothing of {project.name} in {project.region}.")
        return
    view.print_items(items)
    if dry_run:
        view.print_line(f"{len(items)} would be removed; nothing was.")
        return
    if not yes and typer.prompt(f"This removes all of it. Type {project.name} to continue") != project.name:
        raise DeliveryError("That is not the project's name; nothing was removed.")
    remove_all(cloud, items, view.print_line)


def remove_all(cloud: Cloud, items: Iterable[Item], report: Callable[[str], None]) -> None:
    """Remove one item after another and report each; after a failure, a repetition continues there."""
    for item in items:
        try:
            REMOVERS[item.kind](cloud, item)
        except ClientError as error:
            if not is_missing(error):
                raise
        report(f"{item.kind} {item.name}: {DONE.get(item.kind, 'removed')}")


def hold_pipeline(cloud: Cloud, item: Item) -> None:
    """Close the transition into the second stage, and stop the executions that run."""
    codepipeline = cloud.client("codepipeline")
    _, second, *_ = codepipeline.get_pipeline(name=item.name)["pipeline"]["stages"]
    codepipeline.disable_stage_transition(
        pipelineName=item.name, stageName=second["name"], transitionType="Inbound", reason=HOLD_REASON
    )
    for execution in pages(
        codepipeline, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=item.name
    ):
        if execution["status"] == "InProgress":
            codepipeline.stop_pipeline_execution(
                pipelineName=item.name,
                pipelineExecutionId=execution["pipelineExecutionId"],
                abandon=True,
                reason=HOLD_REASON,
            )


def stop_builds(cloud: Cloud, item: Item) -> None:
    """Stop the builds that run, which would push another image."""
    codebuild = cloud.client("codebuild")
    builds = pages(codebuild, "list_builds_for_project", "ids", projectName=item.name)
    for batch in chunks(builds, MAX_BUILDS):
        for build in codebuild.batch_get_builds(ids=batch)["builds"]:
            if build["buildStatus"] == "IN_PROGRESS":
                codebuild.stop_build(id=build["id"])


def stop_executions(cloud: Cloud, item: Item) -> None:
    """Stop the executions of a state machine, which stop their jobs."""
    machines = cloud.client("stepfunctions")
    running = {"stateMachineArn": item.id, "statusFilter": "RUNNING"}
    for execution in pages(machines, "list_executions", "executions", **running):
        machines.stop_execution(executionArn=execution["executionArn"], error="Stopped", cause=HOLD_REASON)


def delete_stack(cloud: Cloud, item: Item) -> None:
    """Delete a stack after the operation that is in progress."""
    if stacks.wait(cloud, item.name) is not None:
        stacks.delete(cloud, item.name)


def delete_project(cloud: Cloud, item: Item) -> None:
    """Delete a project that was made in Studio, with its stack."""
    projects.delete(cloud, item.name, item.id)


def untag_domain(cloud: Cloud, item: Item) -> None:
    """Remove the tag by which a domain of Studio lists the templates."""
    cloud.client("sagemaker").delete_tags(ResourceArn=item.id, TagKeys=[studio.LOCATION])


def delete_schedule(cloud: Cloud, item: Item) -> None:
    """Delete a schedule that is not due yet."""
    cloud.client("scheduler").delete_schedule(Name=item.name)


def delete_from_sagemaker(cloud: Cloud, item: Item) -> None:
    """Delete an endpoint, its configuration or a model, unless it was deleted with its stack."""
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
        if not cloudformation.does_not_exist(error):
            raise


def delete_images(cloud: Cloud, item: Item) -> None:
    """Delete all images of a repository.

    Raises:
        DeliveryError: An image was not deleted, with the reason.

    """
    ecr = cloud.client("ecr")
    images = list(pages(ecr, "list_images", "imageIds", repositoryName=item.name))
    for batch in chunks(images, MAX_IMAGES):
        answer = ecr.batch_delete_image(repositoryName=item.name, imageIds=batch)
        left = [one for one in answer.get("failures", []) if one.get("failureCode") != "ImageNotFound"]
        if left:
            raise DeliveryError(f"{item.name} keeps an image: {left[0].get('failureReason')}.")


def delete_bucket(cloud: Cloud, item: Item) -> None:
    """Delete a bucket with every version of every object.

    Raises:
        DeliveryError: An object was not deleted, with the reason.

    """
    s3 = cloud.client("s3")
    for upload in pages(s3, "list_multipart_uploads", "Uploads", Bucket=item.name):
        s3.abort_multipart_upload(Bucket=item.name, Key=upload["Key"], UploadId=upload["UploadId"])
    for kind in ("Versions", "DeleteMarkers"):
        versions = pages(s3, "list_object_versions", kind, Bucket=item.name)
        names = ({"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions)
        for batch in chunks(names, MAX_OBJECTS):
            answer = s3.delete_objects(Bucket=item.name, Delete={"Objects": batch, "Quiet": True})
            if answer.get("Errors"):
                error = answer["Errors"][0]
                raise DeliveryError(f"{item.name} keeps {error['Key']}: {error.get('Message')}")
    s3.delete_bucket(Bucket=item.name)


def delete_key(cloud: Cloud, item: Item) -> None:
    """Schedule the deletion of a key."""
    cloud.client("kms").schedule_key_deletion(KeyId=item.name, PendingWindowInDays=KEY_DELETION_DAYS)


def delete_log_group(cloud: Cloud, item: Item) -> None:
    """Delete a log group that was not deleted with its stack."""
    cloud.client("logs").delete_log_group(logGroupName=item.name)


def delete_parameter(cloud: Cloud, item: Item) -> None:
    """Delete a parameter that was not deleted with its stack."""
    cloud.client("ssm").delete_parameter(Name=item.name)


def delete_file_system(cloud: Cloud, item: Item) -> None:
    """Delete a file system, whose mount targets were deleted with their stack."""
    cloud.client("efs").delete_file_system(FileSystemId=item.name)


def chunks(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the entries in lists of at most `size`."""
    chunk: list[Any] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


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
    "key": f"deleted in {KEY_DELETION_DAYS} days",
}


def main(root: Path, read_settings: Callable[[Path], Any]) -> None:
    """Run the command for the project in that folder; an expected error ends in one sentence and code 1."""
    view.run(app, "python scripts/teardown", partial(Project.read, root, read_settings))
