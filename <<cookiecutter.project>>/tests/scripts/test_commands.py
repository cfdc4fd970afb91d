"""The commands with the project's own templates: a platform comes to stand, serves Studio, and goes again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivery import cloudformation, stacks, studio
from delivery.cloud import DeliveryError, Project, tags_of
from delivery.inventory import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud import Cloud

    from tests.scripts.conftest import Commands

    Command = Callable[..., Any]

ROOT = Path(__file__).resolve().parents[2]
BUILDSPEC = "version: 0.2\nphases:\n  build:\n    commands:\n      - sleep 600\n"


def done(result: Any) -> str:
    """Give what a command that succeeded has said."""
    assert result.exit_code == 0, (result.output, result.exception)
    return str(result.output)


def outputs(cloud: Cloud, name: str) -> dict[str, str]:
    return cloudformation.outputs(stacks.find(cloud, name))


def until(look: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Look until something is seen, and return it."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def assert_closed(cloud: Cloud, bucket: str) -> None:
    """Nobody outside of the account reads the bucket, whatever anyone grants."""
    s3 = cloud.client("s3")
    closed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(closed.values()) == [True] * 4
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Deny"}
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def build_environment(cloud: Cloud, project: str) -> dict[str, str]:
    (found,) = cloud.client("codebuild").batch_get_projects(names=[f"{project}-build"])["projects"]
    return {one["name"]: one["value"] for one in found["environment"]["environmentVariables"]}


@pytest.mark.slow
def test_a_pipeline_is_deployed_into_its_network(
    cloud: Cloud, project: Project, deploying: Command, tearing_down: Command
) -> None:
    """Each command says what it did, takes what others gave, and does nothing when repeated; all goes."""
    said = done(deploying("network", "--tag", "Owner=risk"))
    assert f"{project.stack('network')}: created" in said
    assert "FileSystemOfTheApi" in said
    assert "EcrApiEndpoint" not in said  # InterfaceEndpoints is not all
    said = done(deploying("pipeline", "-p", "EmailAddress=a@example.org", "--tag", "Owner=risk"))
    assert f"{project.stack('pipeline')}: created" in said
    network, pipeline = (outputs(cloud, project.stack(kind)) for kind in ("network", "pipeline"))
    assert f"ArtifactBucket = {pipeline['ArtifactBucket']}" in said
    assert_closed(cloud, pipeline["ArtifactBucket"])
    variables = build_environment(cloud, project.name)
    given = {"SUBNET_IDS": "SubnetIds", "SECURITY_GROUP_IDS": "SecurityGroupIds"}
    given["EFS_ACCESS_POINT_ARN"] = "EfsAccessPointArn"
    assert {name: variables[name] for name in given} == {name: network[key] for name, key in given.items()}
    assert variables["TAGS"] == "Owner=risk"
    for kind in ("network", "pipeline"):
        assert f"{project.stack(kind)}: no change" in done(deploying(kind))
    listed = done(tearing_down("--dry-run"))
    done(tearing_down("--yes"))
    assert Inventory(cloud, project).items() == []
    assert pipeline["ArtifactBucket"] in listed
    systems = cloud.client("efs").describe_file_systems()["FileSystems"]
    assert not [one for one in systems if tags_of(one.get("Tags")).get("project") == project.name]


def test_a_network_of_ones_own_takes_every_endpoint_or_no_file_system(
    cloud: Cloud, project: Project, deploying: Command
) -> None:
    """What a parameter adds or takes away is what the command lists."""
    done(deploying("network"))
    said = done(deploying("network", "-p", "InterfaceEndpoints=all", "-p", "FileSystem=false"))
    assert f"{project.stack('network')}: updated" in said
    changed = dict(line.split()[1::-1] for line in said.splitlines() if line.startswith(("Add", "Remove")))
    assert changed["EcrApiEndpoint"] == "Add"
    assert changed["FileSystemOfTheApi"] == "Remove"
    assert "EfsAccessPointArn" not in outputs(cloud, project.stack("network"))


def test_what_runs_is_stopped_before_its_stack_goes(
    cloud: Cloud, project: Project, deploying: Command, tearing_down: Command
) -> None:
    """A build would push an image into the repository that goes, and the next stage would make stacks."""
    done(deploying("pipeline"))
    bucket, key = outputs(cloud, project.stack("pipeline"))["SourceLocation"][5:].split("/", 1)
    source = io.BytesIO()
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("pipeline/buildspec.yml", BUILDSPEC)
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=source.getvalue())
    codebuild = cloud.client("codebuild")

    def running() -> list[str]:
        ids = codebuild.list_builds_for_project(projectName=f"{project.name}-build").get("ids", [])
        builds = codebuild.batch_get_builds(ids=ids)["builds"] if ids else []
        return [one["id"] for one in builds if one["buildStatus"] == "IN_PROGRESS"]

    (build,) = until(running)
    said = done(tearing_down("--yes"))
    order = [f"pipeline {project.name}-pipeline: stopped", f"builds {project.name}-build: stopped"]
    order += [f"stack {project.name}-pipeline: removed", f"bucket {bucket}: removed"]
    assert [line for line in said.splitlines() if line in order] == order
    (ended,) = codebuild.batch_get_builds(ids=[build])["builds"]
    assert ended["buildStatus"] == "STOPPED"
    assert Inventory(cloud, project).items() == []


# Studio


@pytest.fixture
def domain(cloud: Cloud) -> str:
    """Make a domain whose execution role has a path."""
    trust = '{"Version": "2012-10-17", "Statement": []}'
    iam = cloud.client("iam")
    name = f"Studio-{time.monotonic_ns()}"
    role = iam.create_role(RoleName=name, Path="/service-role/", AssumeRolePolicyDocument=trust)["Role"]
    made = cloud.client("sagemaker").create_domain(
        DomainName=name, AuthMode="IAM", DefaultUserSettings={"ExecutionRole": role["Arn"]}
    )
    return str(made["DomainId"])


def role_of(cloud: Cloud, domain: str) -> str:
    """Name the execution role of a domain."""
    described = cloud.client("sagemaker").describe_domain(DomainId=domain)
    return str(described["DefaultUserSettings"]["ExecutionRole"].rpartition("/")[2])


def domain_tags(cloud: Cloud, domain: str) -> dict[str, str]:
    sagemaker = cloud.client("sagemaker")
    arn = sagemaker.describe_domain(DomainId=domain)["DomainArn"]
    return tags_of(sagemaker.list_tags(ResourceArn=arn)["Tags"])


def offered(cloud: Cloud, project: Project, way: str, made: str) -> dict[str, Any]:
    """Give what Studio sends when somebody makes a project of the template, as a user fills the form in."""
    found = outputs(cloud, project.stack("studio"))
    filled = [{"Key": "Project", "Value": made}]
    if way == "catalog":
        product = cloud.client("servicecatalog").describe_product(Id=found["ProductId"])
        (version,) = product["ProvisioningArtifacts"]
        details = {"ProductId": found["ProductId"], "ProvisioningArtifactId": version["Id"]}
        return {"ServiceCatalogProvisioningDetails": {**details, "ProvisioningParameters": filled}}
    s3 = cloud.client("s3")
    bucket, prefix = found["TemplatesLocation"].removeprefix("s3://").split("/", 1)
    (template,) = [
        one["Key"]
        for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]
        if tags_of(s3.get_object_tagging(Bucket=bucket, Key=one["Key"])["TagSet"])
        == {"sagemaker:studio-visibility": "true"}
    ]
    provider = {
        "TemplateName": "pipeline",
        "TemplateURL": f"https://{bucket}.s3.{cloud.region}.amazonaws.com/{template}",
        "RoleARN": found["LaunchRoleArn"],
        "Parameters": filled,
    }
    return {"TemplateProviders": [{"CfnTemplateProvider": provider}]}


@dataclass(frozen=True)
class Studio:
    """A domain to which the project's template is offered, and what people do there."""

    cloud: Cloud
    project: Project
    domain: str
    enter: Callable[[Project], None]

    @property
    def made(self) -> Project:
        """A project that somebody makes there."""
        return replace(self.project, name=f"{self.project.name}-of")

    def make(self, way: str) -> None:
        """Make a project of the template, which is found in the catalog or in the bucket."""
        given = offered(self.cloud, self.project, way, self.made.name)
        self.cloud.client("sagemaker").create_project(ProjectName=self.name, **given)
        until(lambda: self.described()["ProjectStatus"] == "CreateCompleted")

    @property
    def name(self) -> str:
        """What SageMaker calls the project."""
        return f"In-{self.made.name}"

    def described(self) -> dict[str, Any]:
        """Describe the project that was made."""
        found = self.cloud.client("sagemaker").describe_project(ProjectName=self.name)
        assert found["ProjectStatus"] != "CreateFailed", found
        return dict(found)


@pytest.fixture
def place(cloud: Cloud, project: Project, domain: str, commands: Commands) -> Studio:
    """Give a domain."""
    return Studio(cloud, project, domain, commands.enter)


def test_studio_is_told_what_it_offers(
    cloud: Cloud, place: Studio, deploying: Command, tearing_down: Command
) -> None:
    """Portfolio, bucket and domain, in one command that may be repeated; and none of it stays."""
    role, own = role_of(cloud, place.domain), place.project.stack("studio")
    said = done(deploying("studio", "--studio-role", role, "--domain-id", place.domain))
    found = outputs(cloud, own)
    assert f"{own}: created" in said
    assert {"Portfolio", "Product", "LaunchConstraint"} <= {
        line.split()[1] for line in said.splitlines() if line.startswith("Add ")
    }
    assert said.count("Uploaded s3://") == 2
    assert domain_tags(cloud, place.domain)[studio.LOCATION] == found["TemplatesLocation"]
    assert_closed(cloud, found["TemplateBucket"])
    (rule,) = cloud.client("s3").get_bucket_cors(Bucket=found["TemplateBucket"])["CORSRules"]
    assert rule["AllowedOrigins"] == ["https://*.sagemaker.aws"]
    again = done(deploying("studio", "--studio-role", role))
    assert f"{own}: no change" in again
    assert "Uploaded" not in again
    said = done(tearing_down("--yes", "--studio"))
    assert f"domain {place.domain}: untagged" in said
    assert studio.LOCATION not in domain_tags(cloud, place.domain)
    assert Inventory(cloud, place.project, with_studio=True).items() == []


@pytest.mark.parametrize("way", ["catalog", "bucket"])
def test_studio_makes_a_project_that_is_torn_down_like_any_other(
    place: Studio, deploying: Command, tearing_down: Command, way: str
) -> None:
    """It is launched with SageMaker's own parameters, and its pipeline is the project's one."""
    cloud, made = place.cloud, place.made
    done(deploying("studio", "--studio-role", role_of(cloud, place.domain)))
    place.make(way)
    marks = f"sagemaker:project-name={place.name},sagemaker:project-id={place.described()['ProjectId']}"
    assert build_environment(cloud, made.name)["TAGS"] == marks
    assert cloud.client("codepipeline").get_pipeline(name=f"{made.name}-pipeline")
    cloud.client("sagemaker").create_model_package(ModelPackageGroupName=made.name)
    place.enter(made)
    refused = deploying("pipeline")
    assert isinstance(refused.exception, DeliveryError)
    assert f"{made.name} was made in Studio, as S" in str(refused.exception)
    listed = [" ".join(line.split()) for line in done(tearing_down("--dry-run")).splitlines()]
    models, whole = (
        next(number for number, line in enumerate(listed) if line.startswith(start))
        for start in (f"registered model {made.name}/1", f"project {place.name}")
    )
    assert models < whole
    done(tearing_down("--yes"))
    assert place.described()["ProjectStatus"] == "DeleteCompleted"
    assert Inventory(cloud, made).items() == []


def test_what_a_project_of_studio_left_is_known(
    place: Studio, deploying: Command, tearing_down: Command
) -> None:
    """Bucket and key outlive a project that was deleted in Studio, and bear the marks of its stack."""
    cloud, made = place.cloud, place.made
    done(deploying("studio", "--studio-role", role_of(cloud, place.domain)))
    place.make("catalog")
    cloud.client("sagemaker").delete_project(ProjectName=place.name)
    until(lambda: place.described()["ProjectStatus"] == "DeleteCompleted")
    assert [item.kind for item in Inventory(cloud, made).items()] == ["bucket", "key"]
    assert not [item for item in Inventory(cloud, place.project).items() if item.kind in ("bucket", "key")]
    place.enter(made)
    done(tearing_down("--yes"))
    assert Inventory(cloud, made).items() == []


@pytest.mark.parametrize("name", ["deploy", "teardown"])
def test_the_scripts_start(name: str) -> None:
    """As the README names them, from the project's folder."""
    command = [sys.executable, f"scripts/{name}", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert f"scripts/{name}" in shown.stdout
