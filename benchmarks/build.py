"""Processor time of the pipeline's Build stage in a second delivery, as a share of another commit's.

Each side is a generated project in an environment of its own, delivered once on its own local cloud. Then the
commands of its buildspec run again, as the local CodeBuild runs them: in a fresh copy of the source, with the
variables of the build project. Rounds alternate, so that a busy machine slows both sides alike. Writes
build/bench.json.

AGAINST  a commit of this repository, or the folder of another checkout
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from cookiecutter.main import cookiecutter
from rich.console import Console
from rich.table import Table

from benchmarks.results import ROUNDS, record

ROOT = Path(__file__).resolve().parent.parent
NAME = "bench-build"
SETTINGS = "default_context: {}\nreplay_dir: '{}'\n"
# Prints the variables that `python -m local up` offers a shell.
VARIABLES = """\
eval "$("$0" -m local up | grep export)"
exec "$0" -c 'import json, os; print(json.dumps(dict(os.environ)))'
"""


@dataclass
class Side:
    """A delivered project, and the seconds of its Build stage in each round."""

    label: str
    project: Path
    source: Path
    python: Path
    variables: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def run(self, *command: str) -> None:
        """Run a command in the project's own environment; the command has to succeed."""
        subprocess.run([str(self.python), *command], cwd=self.project, env=clean_environment(), check=True)


def main() -> None:
    """Measure, print and write the results."""
    against = os.environ.get("AGAINST", "")
    if not against:
        sys.exit("error: AGAINST is empty: name a commit or the folder of a checkout, as in AGAINST=HEAD~1")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        other = make_side(against, Path(folder) / "other")
        here = make_side(str(ROOT), Path(folder) / "here")
        try:
            for side in (other, here):
                deliver(side)
                build(side)  # what a first build alone does: bytecode of the environment, packages in S3
            for _ in range(ROUNDS):
                for side in (other, here):
                    side.seconds.append(build(side))
        finally:
            for side in (other, here):
                side.run("-m", "local", "down")
    show(other, here)
    record(
        build={"against": against, "here": here.seconds, "other": other.seconds, "ratio": ratio(other, here)}
    )


def make_side(checkout: str, folder: Path) -> Side:
    """Generate the project of a checkout or commit, and install its packages."""
    template, projects = folder / "template", folder / "projects"
    template.mkdir(parents=True)
    copy_template(checkout, template)
    settings = folder / "settings.yml"
    settings.write_text(SETTINGS.format("{}", folder / "replay"), encoding="utf-8")
    answers = {"project": NAME}
    project = Path(
        cookiecutter(
            str(template),
            no_input=True,
            extra_context=answers,
            output_dir=str(projects),
            config_file=str(settings),
        )
    )
    source = folder / "source"
    shutil.copytree(project, source)
    return Side(checkout, project, source, environment_of(project))


def copy_template(checkout: str, folder: Path) -> None:
    """Copy the files that git tracks, from a folder's present state or from a commit."""
    if not Path(checkout).is_dir():
        archive = subprocess.run(["git", "archive", checkout], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
        return
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = Path(checkout) / name
        if path.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / name)


def environment_of(project: Path) -> Path:
    """Install the project's requirements under build/venvs, in a folder that equal projects share."""
    files = [project / "container" / "requirements.txt", project / "local" / "requirements.txt"]
    content = b"".join(path.read_bytes() for path in files)
    venv = ROOT / "build" / "venvs" / hashlib.sha256(content).hexdigest()[:16]
    environment = clean_environment() | {"VENV": str(venv)}
    subprocess.run(["make", "setup"], cwd=project, env=environment, check=True)
    return venv / "bin" / "python"


def clean_environment() -> dict[str, str]:
    """Return this process's variables without those of make, and of AWS."""
    ours = ("AWS_", "MAKE", "MFLAGS", "VENV", "DATA", "TARGET", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def deliver(side: Side) -> None:
    """Deliver a small table to production, and take the variables of a build from the local cloud."""
    table = side.project.parent / "table.csv"
    rows = (f"{row},{row * 7 % 31},{3 * row + row * 7 % 31}\n" for row in range(300))
    table.write_text("a,b,y\n" + "".join(rows), encoding="utf-8")
    side.run("-m", "local", "run", "--data", str(table), "--target", "y", "--rows", "0", "--approve")
    done = subprocess.run(
        ["sh", "-c", VARIABLES, str(side.python)],
        cwd=side.project,
        env=clean_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    cloud = json.loads(done.stdout)
    side.variables = cloud | build_variables(cloud) | {"PATH": f"{programs(side)}{os.pathsep}{cloud['PATH']}"}


def build_variables(cloud: dict[str, str]) -> dict[str, str]:
    """Return the variables that the build project and the pipeline set for the first delivery's build."""
    session = boto3.Session(
        cloud["AWS_ACCESS_KEY_ID"], cloud["AWS_SECRET_ACCESS_KEY"], region_name=cloud["AWS_DEFAULT_REGION"]
    )
    clients: dict[str, Any] = {
        name: session.client(name, endpoint_url=cloud["AWS_ENDPOINT_URL"])
        for name in ("codebuild", "codepipeline")
    }
    (project,) = clients["codebuild"].batch_get_projects(names=[f"{NAME}-build"])["projects"]
    declared = {one["name"]: one["value"] for one in project["environment"]["environmentVariables"]}
    listed = clients["codepipeline"].list_pipeline_executions(pipelineName=f"{NAME}-pipeline")
    execution = listed["pipelineExecutionSummaries"][0]["pipelineExecutionId"]
    by_action = {
        "IMAGE_URI": f"local/{NAME}:latest",
        "PIPELINE_EXECUTION_ID": execution,
        "COMMIT_ID": "3f2a91c",
    }
    return declared | by_action


def programs(side: Side) -> Path:
    """Write programs with the names in a build image, which run the project's Python."""
    folder = side.source.parent / "bin"
    folder.mkdir()
    python = shlex.quote(str(side.python))
    for name, module in {"python": "", "aws": "-m awscli "}.items():
        (folder / name).write_text(f'#!/bin/sh\nexec {python} {module}"$@"\n', encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def build(side: Side) -> float:
    """Run the buildspec's commands in a fresh copy of the source, and return their processor time."""
    with tempfile.TemporaryDirectory(dir=side.source.parent) as folder:
        copy = Path(folder) / "src"
        shutil.copytree(side.source, copy)
        phases = yaml.safe_load((copy / "pipeline" / "buildspec.yml").read_text(encoding="utf-8"))["phases"]
        before = processor_time()
        for command in (one for phase in phases.values() for one in phase.get("commands", [])):
            subprocess.run(["sh", "-c", command], cwd=copy, env=side.variables, check=True)
        return processor_time() - before


def processor_time() -> float:
    """Return the processor time of the child processes that have ended, with their own children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ratio(other: Side, here: Side) -> float:
    """Return the ratio of the medians."""
    return statistics.median(here.seconds) / statistics.median(other.seconds)


def show(other: Side, here: Side) -> None:
    """Print medians with their ranges."""
    table = Table("Build stage", "processor time, s (median, range)")
    for label, side in {other.label: other, "here": here}.items():
        low, middle, high = min(side.seconds), statistics.median(side.seconds), max(side.seconds)
        table.add_row(label, f"{middle:.2f} [{low:.2f}-{high:.2f}]")
    Console().print(table)
    Console().print(f"ratio: {ratio(other, here):.2f} (medians of {ROUNDS})")


if __name__ == "__main__":
    main()
