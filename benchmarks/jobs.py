"""The overhead of a training job on the local cloud over its bare process, and the time of a render.

Rounds alternate, so that a busy machine slows both sides alike. Writes build/bench.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localcloud
from rich.console import Console
from rich.table import Table

from benchmarks.results import ROUNDS, record

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ROOT / "<<cookiecutter.project>>"
MEGABYTE = 1_000_000
BUCKET = "bench"
# A program that keeps the contract of a training job and writes a model of a chosen size, which compresses as
# badly as trained numbers.
PROGRAM = """
import json, os, pathlib
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
hyperparameters = json.loads((base / "input/config/hyperparameters.json").read_text())
with (base / "model" / "model.bin").open("wb") as file:
    for _ in range(int(hyperparameters["megabytes"])):
        file.write(os.urandom(500_000) + bytes(500_000))
"""


@dataclass(frozen=True)
class Comparison:
    """Seconds of a job on the local cloud and of its bare process, round by round."""

    name: str
    bare: list[float]
    job: list[float]

    @property
    def overhead(self) -> float:
        """The median of the seconds that the job of a round took longer than its process."""
        return statistics.median(job - bare for job, bare in zip(self.job, self.bare, strict=True))


def seconds(act: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def make_project(root: Path) -> Path:
    """Write a project whose container runs PROGRAM."""
    (root / "container").mkdir(parents=True)
    (root / "container" / "__init__.py").touch()
    (root / "container" / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (root / "container" / "Dockerfile").write_text(
        'ENTRYPOINT ["python", "-m", "container"]\n', encoding="utf-8"
    )
    (root / "project.toml").write_text(
        '[project]\nname = "bench"\nregion = "eu-central-1"\n', encoding="utf-8"
    )
    return root


def run_bare(project: Path, megabytes: int) -> None:
    """Run the program in a folder of its own."""
    with tempfile.TemporaryDirectory(dir=project) as folder:
        base = Path(folder)
        (base / "input" / "config").mkdir(parents=True)
        (base / "model").mkdir()
        hyperparameters = {"megabytes": str(megabytes)}
        (base / "input" / "config" / "hyperparameters.json").write_text(
            json.dumps(hyperparameters), encoding="utf-8"
        )
        environment = os.environ | {"SAGEMAKER_BASE_DIR": folder}
        subprocess.run([sys.executable, "-m", "container", "train"], cwd=project, env=environment, check=True)


def run_job(cloud: Any, megabytes: int) -> None:
    """Run the program as a training job, from CreateTrainingJob until its artifact is in S3.

    Raises:
        RuntimeError: the job fails, or its artifact is empty.
    """
    sagemaker, name = cloud.client("sagemaker"), f"bench-{uuid.uuid4().hex}"
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::000000000000:role/bench",
        HyperParameters={"megabytes": str(megabytes)},
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/training"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    while (
        status := sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"]
    ) == "InProgress":
        time.sleep(0.01)
    key = f"training/{name}/output/model.tar.gz"
    if status != "Completed" or not cloud.client("s3").head_object(Bucket=BUCKET, Key=key)["ContentLength"]:
        raise RuntimeError(f"{name} ended as {status}")
    cloud.client("s3").delete_object(Bucket=BUCKET, Key=key)


def compare(cloud: Any, project: Path, megabytes: int, rounds: int) -> Comparison:
    """Alternate the bare process and the job."""
    pairs = [
        (seconds(lambda: run_bare(project, megabytes)), seconds(lambda: run_job(cloud, megabytes)))
        for _ in range(rounds)
    ]
    return Comparison(f"{megabytes:,} MB artifact", [bare for bare, _ in pairs], [job for _, job in pairs])


def render() -> float:
    """Return the seconds that run_pipeline.py takes in the median round."""
    text = (
        (PRODUCT / "project.toml").read_text(encoding="utf-8").replace("<< cookiecutter.project >>", "bench")
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "project.toml"
        settings.write_text(text.replace("<< cookiecutter.region >>", "eu-central-1"), encoding="utf-8")
        command = [sys.executable, "pipeline/run_pipeline.py", "--project-file", str(settings)]
        command += ["--output-dir", folder, "--commit", "0" * 40, "--data-version", "1"]
        command += ["--execution-id", str(uuid.UUID(int=0)), "--artifact-bucket", BUCKET]
        command += ["--image-uri", "000000000000.dkr.ecr.eu-central-1.amazonaws.com/bench@sha256:" + "0" * 64]
        command += ["--kms-key-arn", "arn:aws:kms:eu-central-1:000000000000:key/bench"]
        command += ["--sagemaker-role-arn", "arn:aws:iam::000000000000:role/bench"]
        command += ["--notification-topic-arn", "arn:aws:sns:eu-central-1:000000000000:bench"]
        return statistics.median(
            seconds(lambda: subprocess.run(command, cwd=PRODUCT, check=True)) for _ in range(ROUNDS)
        )


def main() -> None:
    """Measure, print and write the results."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        project = make_project(Path(folder) / "project")
        here = localcloud.Project(project, "bench", "eu-central-1", dockerfile=Path("container/Dockerfile"))
        cloud = localcloud.start(here)
        try:
            cloud.client("s3").create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
            compare(cloud, project, 1, 1)  # imports and connections, once
            results = [compare(cloud, project, 1, ROUNDS), compare(cloud, project, 1000, ROUNDS)]
        finally:
            localcloud.stop(here)
    rendering = render()
    show(results, rendering)
    jobs = [asdict(each) | {"overhead": each.overhead} for each in results]
    record(jobs=jobs, run_pipeline=rendering)


def show(results: list[Comparison], rendering: float) -> None:
    """Draw medians with their ranges."""
    table = Table("training job", "bare process, s", "on the local cloud, s", "overhead, s")
    for each in results:
        table.add_row(each.name, spread(each.bare), spread(each.job), f"{each.overhead:.2f}")
    Console().print(table)
    Console().print(f"run_pipeline.py: {rendering:.2f} s (median of {ROUNDS})")


def spread(values: list[float]) -> str:
    """Write a median with its range."""
    return f"{statistics.median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


if __name__ == "__main__":
    main()
