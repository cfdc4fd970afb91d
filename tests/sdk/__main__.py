"""Run the notebooks of the SageMaker SDK's repository on a local cloud: `make test-sdk EXAMPLES=checkout`.

The checkout is read and never changed: notebooks run in a copy outside of this project. The SDK is in an
environment of its own, in which scripts for AWS's images run as well. The exit code is 1 when the result of
a notebook is not the one that replacements.toml expects.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import expectations
import localcloud
from delivery import sagemaker_sdk
from expectations import Expected
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ROOT / "<<cookiecutter.project>>"
PYTHON = ROOT / "build" / "venvs" / "sdk" / "bin" / "python"
PROGRAM = Path(__file__).with_name("notebook.py")
REGION = "us-west-2"
WIDE = 200  # columns of output that is not a terminal: names stay whole
SECONDS = 600  # for one notebook
JOB_SECONDS = 60.0  # for jobs that a notebook does not wait for
MISSING = (
    "make test-sdk needs EXAMPLES=folder: a checkout of the repository aws/sagemaker-python-sdk, of which it "
    "reads the folder v3-examples."
)
VARIABLES = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "SessionToken": "AWS_SESSION_TOKEN",
}
COLOURS = {expectations.PASSED: "green", expectations.FAILED: "red", expectations.NOT_SUPPORTED: "yellow"}


@dataclass(frozen=True)
class Outcome:
    """What came of a notebook."""

    result: str
    why: str
    seconds: float


def main(checkout: Path) -> int:
    """Run each notebook, print the table, and compare it with what is expected."""
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    plan = expectations.read()
    notebooks = expectations.find(checkout)
    if not notebooks:
        sys.stderr.write(f"error: {MISSING}\n")
        return 2
    different = sorted(set(plan.notebooks) ^ set(notebooks))
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="sdk-examples-") as folder, started(Path(folder)) as cloud:
        put_data(cloud, checkout, plan)
        copy = copied(checkout, Path(folder) / "checkout")
        for name in notebooks:
            outcomes[name] = run(cloud, copy / expectations.FOLDER / name, name, plan)
            report(name, outcomes[name])
    console.print(table(outcomes))
    different += [
        name
        for name, outcome in outcomes.items()
        if name in plan.notebooks and outcome.result != plan.notebooks[name].result
    ]
    for name in different:
        console.print(f"{name} is not as tests/sdk/replacements.toml and docs/sdk.md have it.", style="red")
    return 1 if different else 0


@contextmanager
def started(folder: Path) -> Iterator[localcloud.Cloud]:
    """Run a local cloud of the product, whose files are in a folder."""
    project = localcloud.Project(
        PRODUCT,
        "sdk-examples",
        REGION,
        state=folder / "state",
        dockerfile=Path("container/Dockerfile"),
        python=PYTHON,
    )
    try:
        yield localcloud.start(project)
    finally:
        localcloud.stop(project)


def put_data(cloud: localcloud.Cloud, checkout: Path, plan: expectations.Plan) -> None:
    """Put files of the checkout where the notebooks look for AWS's sample data."""
    s3 = cloud.client("s3")
    for uri, file in plan.data.items():
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.upload_file(str(checkout / file), bucket, key)


def copied(checkout: Path, into: Path) -> Path:
    """Copy the examples, and link the checkout's other folders beside them."""
    into.mkdir()
    for path in checkout.iterdir():
        if path.name == expectations.FOLDER:
            shutil.copytree(path, into / path.name)
        elif not path.name.startswith("."):
            (into / path.name).symlink_to(path.resolve())
    return into


def run(cloud: localcloud.Cloud, path: Path, name: str, plan: expectations.Plan) -> Outcome:
    """Run a notebook in a process of its own, and judge what came of it."""
    began = time.monotonic()
    expectations.replace(path, plan.replacements)
    before = set(jobs(cloud))
    result = path.with_suffix(".result.json")
    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, PROGRAM, path, result],
            env=environment(cloud, path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS)
    finally:
        kill(process)
    outputs = json.loads(result.read_text()) if result.is_file() else {"error": f"no end within {SECONDS} s"}
    problems = [outputs["error"]] if outputs["error"] else []
    problems += failed_jobs(cloud, before)
    text = "\n".join([*outputs.get("texts", []), *problems])
    name_of_result, why = expectations.judge(plan.notebooks.get(name, Expected()), text, problems)
    return Outcome(name_of_result, why, time.monotonic() - began)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a notebook with its kernel."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(cloud: localcloud.Cloud, path: Path) -> dict[str, str]:
    """Return a notebook's environment: the user's, with this cloud and a Jupyter without settings.

    The notebook runs as the execution role, as it does in Studio: the SDK takes the role of its caller.
    """
    settings = sagemaker_sdk.prepare(cloud, cloud.project.state)
    assumed = cloud.client("sts").assume_role(RoleArn=settings.role_arn, RoleSessionName="notebook")
    session = {VARIABLES[name]: assumed["Credentials"][name] for name in VARIABLES}
    private = {name: str(path.parent / ".jupyter") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR")}
    users = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    # `!pip` and `!python` are the environment's; what a notebook installs, it has for itself.
    users["PIP_TARGET"] = users["PYTHONPATH"] = str(path.parent / ".packages")
    users["PATH"] = f"{PYTHON.parent}{os.pathsep}{users['PATH']}"
    return {**users, **private, **cloud.environment, **settings.environment, **session}


def jobs(cloud: localcloud.Cloud) -> dict[str, Any]:
    """Return the status of all training and processing jobs by their ARNs, with the reasons of failures."""
    sagemaker = cloud.client("sagemaker")
    found: dict[str, Any] = {}
    for kind in ("Training", "Processing"):
        listed = getattr(sagemaker, f"list_{kind.lower()}_jobs")(MaxResults=100)[f"{kind}JobSummaries"]
        for job in listed:
            found[job[f"{kind}JobArn"]] = job[f"{kind}JobStatus"]
    return found


def failed_jobs(cloud: localcloud.Cloud, before: set[str]) -> list[str]:
    """Wait for the jobs that a notebook has left running, and name those that did not complete."""
    deadline = time.monotonic() + JOB_SECONDS
    while True:
        new = {arn: status for arn, status in jobs(cloud).items() if arn not in before}
        if "InProgress" not in new.values() or time.monotonic() > deadline:
            return [f"{arn} is {status}" for arn, status in new.items() if status != "Completed"]
        time.sleep(0.5)


def report(name: str, outcome: Outcome) -> None:
    """Print the result of one notebook, with the reason of a failure."""
    reason = f": {outcome.why}" if outcome.result == expectations.FAILED else ""
    sys.stdout.write(f"{name}: {outcome.result} ({outcome.seconds:.0f} s){reason}\n")
    sys.stdout.flush()


def table(outcomes: dict[str, Outcome]) -> Table:
    """Return the table of what came of each notebook."""
    shown = Table("notebook", "result", "seconds", "why", box=None)
    for name, outcome in outcomes.items():
        result = f"[{COLOURS[outcome.result]}]{outcome.result}[/]"
        shown.add_row(name, result, f"{outcome.seconds:.0f}", outcome.why)
    return shown


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the cloud and the kernel
    given = os.environ.get("EXAMPLES", "")
    if not given:
        sys.exit(f"error: {MISSING}")
    if not PYTHON.exists():
        sys.exit(f"error: {PYTHON} is missing: run it by make test-sdk, which installs it.")
    sys.exit(main(Path(os.environ.get("CALLER", "."), given).resolve()))
