"""A local cloud with a stand-in container; botocore's model checks each of the cloud's answers.

The template's tests of a project's own commands use this module too.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tempfile
import time
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import localcloud
from localcloud.core import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
ROLE = "arn:aws:iam::000000000000:role/service-role"
BUCKET = "artifacts"
# Services that the local cloud implements itself.
OURS = ("application-autoscaling", "codebuild", "codedeploy", "codepipeline", "sagemaker", "servicecatalog")

# Members that botocore's model requires, and that AWS leaves out.
OMITTED: dict[str, dict[str, Any]] = {"DescribeModelPackage": {"ModelPackageName": "omitted"}}
COMMANDS = localcloud.Commands("python -m local up", "python -m local down", "monitor")


def project_at(root: Path) -> localcloud.Project:
    """Return the project in a folder that `make_project` filled."""
    return localcloud.Project(
        root, "stand-in", "eu-central-1", dockerfile=Path("container/Dockerfile"), commands=COMMANDS
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project with the stand-in container."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def open_project() -> Iterator[Path]:
    """Yield a project in a folder that every user of the machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield make_project(Path(folder) / "project")


def make_project(root: Path) -> Path:
    """Write the files of a project that the local cloud needs."""
    container = root / "container"
    container.mkdir(parents=True)
    (container / "__init__.py").touch()
    shutil.copy(HERE / "program.py", container / "__main__.py")
    (container / "Dockerfile").write_text('FROM base\nENTRYPOINT ["python", "-m", "container"]\n')
    (root / "project.toml").write_text(
        '[project]\nname = "stand-in"\nregion = "eu-central-1"\n[data]\ntarget = "y"\nprefix = "raw/"\n'
    )
    return root


@dataclass
class Rig:
    """A running cloud and its clients."""

    cloud: Any
    clients: dict[str, Any]
    bucket: str = BUCKET
    role: str = ROLE

    def __getattr__(self, service: str) -> Any:
        """Return the client of a service (`sagemaker_runtime` for sagemaker-runtime, `lambda_`)."""
        if service not in self.clients:
            client = self.cloud.client(service.rstrip("_").replace("_", "-"))
            if service in OURS:
                client.meta.events.register(f"after-call.{service}", check_against_model)
            self.clients[service] = client
        return self.clients[service]

    @staticmethod
    def unique(prefix: str) -> str:
        """Return a name that no other test uses."""
        return f"{prefix}-{uuid.uuid4().hex[:12]}"

    @staticmethod
    def until(look: Callable[[], Any], condition: Callable[[Any], bool] = bool, seconds: float = 20.0) -> Any:
        """Wait until the condition is met, and return the value that meets it."""
        deadline = time.monotonic() + seconds
        while not condition(seen := look()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)
        return seen

    def function(self, source: str) -> tuple[str, str]:
        """Store a function's code (index.py) as a zip, and return bucket and key."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", source)
        key = f"code/{hashlib.sha256(source.encode()).hexdigest()}.zip"
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())
        return BUCKET, key

    def deploy(
        self,
        stack: str,
        template: str,
        parameters: dict[str, str],
        *,
        tags: dict[str, str] | None = None,
        wait: bool = True,
    ) -> Any:
        """Deploy a template by a change set, and return the stack's description afterwards."""
        known = self.cloudformation.describe_stacks()["Stacks"]
        kind = "UPDATE" if any(each["StackName"] == stack for each in known) else "CREATE"
        name = self.unique("change")
        self.cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=template,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Tags=[{"Key": key, "Value": value} for key, value in (tags or {}).items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        made = self.until(
            lambda: self.cloudformation.describe_change_set(StackName=stack, ChangeSetName=name),
            lambda seen: seen["Status"] in ("CREATE_COMPLETE", "FAILED"),
        )
        assert made["Status"] == "CREATE_COMPLETE", made
        self.cloudformation.execute_change_set(StackName=stack, ChangeSetName=name)
        return self.settled(stack) if wait else None

    def settled(self, stack: str) -> Any:
        """Wait until the stack's operation has ended, and return its description."""
        return self.until(
            lambda: self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0],
            lambda seen: not seen["StackStatus"].endswith("PROGRESS"),
            60.0,
        )

    def reasons(self, stack: str) -> str:
        """Return the reasons in a stack's events."""
        events = self.cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        return "\n".join(event.get("ResourceStatusReason", "") for event in events)

    def outputs(self, stack: str) -> dict[str, str]:
        """Return a stack's outputs."""
        described = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        return {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}

    def put(self, key: str, text: str) -> str:
        """Store an object and return its address."""
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        """Return an object's content."""
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        """Return the keys under a prefix."""
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [item["Key"] for item in found]

    def training(self, hyperparameters: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
        """Return a training job's request."""
        return {
            "TrainingJobName": self.unique("train"),
            "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "HyperParameters": hyperparameters or {},
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/training"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **more,
        }

    def trained(self, hyperparameters: dict[str, str] | None = None, **more: Any) -> Any:
        """Run a training job to its end, and return its description."""
        request = self.training(hyperparameters, **more)
        self.sagemaker.create_training_job(**request)
        return self.ended(request["TrainingJobName"])

    def ended(self, name: str) -> Any:
        """Wait for the end of a training job, and return its description."""
        return self.until(
            lambda: self.sagemaker.describe_training_job(TrainingJobName=name),
            lambda job: job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"),
        )


def check_against_model(parsed: Any, http_response: Any, model: Any, **_: Any) -> None:
    """Fail unless one of our raw answers fits botocore's model exactly, without unknown members."""
    if http_response.status_code == 200 and model.output_shape is not None:
        protocol.check(OMITTED.get(model.name, {}) | json.loads(http_response.content), model.output_shape)
    if http_response.status_code != 200:
        assert parsed["Error"]["Code"] not in ("InternalFailure", ""), parsed


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One shared cloud for the tests that do not stop it."""
    root = make_project(tmp_path_factory.mktemp("cloud") / "project")
    yield started(root)
    localcloud.stop(project_at(root))


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One cloud with a disk of one MB for its files; skipped where a disk can't be mounted."""
    root = make_project(tmp_path_factory.mktemp("cramped") / "project")
    state = root / ".local"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(state)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk can't be mounted here: that takes root and Linux")
    try:
        yield started(root)
    finally:
        localcloud.stop(project_at(root))
        subprocess.run(["umount", "--lazy", str(state)], check=True)


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One cloud where five minutes of AWS take two seconds."""
    root = make_project(tmp_path_factory.mktemp("fast") / "project")
    yield started(root, 150.0, skip=False)
    localcloud.stop(project_at(root))


@pytest.fixture(scope="session")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One cloud where an hour of AWS takes four seconds."""
    root = make_project(tmp_path_factory.mktemp("hourly") / "project")
    yield started(root, 900.0, skip=False)
    localcloud.stop(project_at(root))


def started(root: Path, speed: float | None = None, *, skip: bool = True) -> Rig:
    """Start a cloud, and create its bucket."""
    running = Rig(localcloud.start(project_at(root), speed, skip=skip), {})
    running.s3.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": running.cloud.region}
    )
    running.put("model/model.tar.gz", "")
    return running
