"""Generate a project into build/demo, run it on this machine, and stop what it started.

Reads DATA, TARGET, DRIFT, FRAMEWORK, WORKLOAD, KEEP and CALLER (where make was called from).
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

TEMPLATE = Path(__file__).resolve().parent.parent
FOLDER = TEMPLATE / "build" / "demo"
NAME = "demo"
# What working on the template leaves in it, which is none of the product.
LEFTOVERS = shutil.ignore_patterns(
    "__pycache__", ".*_cache", ".hypothesis", ".local", ".venv", ".git", "build"
)
MARK = ".made-by-make-demo"
DELIVERY = [
    "run",
    "--approve",
    "--speed",
    "60",
]  # nobody is asked, and an hour of AWS's waiting takes a minute
LOOP = [
    "drift",
    "--new-data",
    "--approve",
]  # requests that differ, and labelled data with which a new model wins
FRAMEWORKS = ("scikit-learn", "tensorflow")
WORKLOADS = ("tabular", "image")
PATIENCE = 10  # seconds for an interrupted run to write its report


class RefusedError(Exception):
    """Says in one sentence what is wrong and what to do."""


def find_data(given: str, folders: list[Path]) -> Path:
    """Find the file in the first folder that has it."""
    for folder in folders:
        if (folder / given).exists():
            return (folder / given).resolve()
    raise RefusedError(f"DATA={given}: there is no such file in {folders[0]}; name one that exists.")


def arguments(environment: Mapping[str, str], folders: list[Path]) -> list[str]:
    """Turn DATA and TARGET into the arguments of `python -m local run`."""
    data, target = environment.get("DATA", ""), environment.get("TARGET", "")
    if workload_of(environment) == "image":
        if target:
            raise RefusedError("TARGET is a column of a table: leave it out with WORKLOAD=image.")
        return ["--data", str(find_data(data, folders))] if data else []
    if bool(data) != bool(target):
        raise RefusedError("DATA and TARGET go together, as in: make demo DATA=houses.csv TARGET=price")
    return ["--data", str(find_data(data, folders)), "--target", target] if data else []


def framework_of(environment: Mapping[str, str]) -> str:
    """Return what the project trains with."""
    return _one_of("FRAMEWORK", environment, FRAMEWORKS)


def workload_of(environment: Mapping[str, str]) -> str:
    """Return what the project's models look at."""
    return _one_of("WORKLOAD", environment, WORKLOADS)


def _one_of(name: str, environment: Mapping[str, str], known: tuple[str, ...]) -> str:
    given = environment.get(name) or known[0]
    if given not in known:
        raise RefusedError(f"{name}={given}: it must be one of {', '.join(known)}.")
    return given


def clear(folder: Path) -> None:
    """Remove the last demo, but for its environment, which is costly and checked by content."""
    if not folder.exists():
        return
    if not (folder / MARK).is_file():
        raise RefusedError(f"{folder} was not made by `make demo`, so it is not replaced; move it away.")
    stop(folder / NAME)
    empty(folder / NAME, but=".venv")
    empty(folder, but=NAME)


def empty(folder: Path, *, but: str) -> None:
    """Remove what is in the folder, except one name and the mark of a demo."""
    for path in folder.glob("*"):
        if path.name in {but, MARK}:
            continue
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)


def generate(folder: Path, framework: str = FRAMEWORKS[0], workload: str = WORKLOADS[0]) -> Path:
    """Generate the project with the template's own answers, whatever the user's defaults are."""
    clear(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    shutil.copytree(TEMPLATE, folder / "template", ignore=LEFTOVERS, dirs_exist_ok=True)
    settings = folder / "cookiecutter.yml"
    settings.write_text("replay_dir: replay\n", encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", "template", "--no-input", "--overwrite-if-exists"]
    command += ["--config-file", settings.name, f"project={NAME}"]
    command += [f"framework={framework}", f"workload={workload}"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / NAME


def stop(project: Path) -> None:
    """Stop the project's local cloud, when it has one."""
    python = project / ".venv" / "bin" / "python"
    if python.is_file() and (project / ".local").is_dir():
        subprocess.run([python, "-m", "local", "down"], cwd=project, check=False)


def attend(command: list[str | Path], project: Path, environment: Mapping[str, str]) -> int:
    """Run the command to its end, also when this process is told to stop, and return its exit code."""
    with subprocess.Popen(command, cwd=project, env=environment) as process:
        try:
            return process.wait()
        except SystemExit as end:
            # A terminal interrupts both processes; any other signal has reached this one only.
            if end.code != 128 + signal.SIGINT:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def run(project: Path, options: list[str], *, keep: bool) -> int:
    """Set the project up and run it; afterwards nothing of it is left running, unless it is to be kept."""
    ours = {"DATA", "TARGET", "FRAMEWORK", "WORKLOAD", "VENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if code := attend(["make", "setup"], project, environment):
        return code
    environment["INSTALL_SECONDS_FILE"] = str(Path(".venv", ".installed", "seconds"))
    try:
        return deliver(project, options, environment)
    finally:
        if not keep:
            stop(project)


def deliver(project: Path, options: list[str], environment: Mapping[str, str]) -> int:
    """Deliver, then let the requests drift: the model that is retrained takes over by a canary."""
    steps = [[*DELIVERY, *options]] + ([] if environment.get("DRIFT") == "no" else [LOOP])
    for step in steps:
        command: list[str | Path] = [Path(".venv", "bin", "python"), "-m", "local", *step]
        if code := attend(command, project, environment):
            return code
    return 0


def main() -> int:
    """Run the demo, or with the argument `clean` remove the last one."""
    if sys.argv[1:] == ["clean"]:
        stop(FOLDER / NAME)
        return 0
    framework, workload = framework_of(os.environ), workload_of(os.environ)
    options = arguments(os.environ, [Path.cwd(), Path(os.environ.get("CALLER", "."))])
    return run(generate(FOLDER, framework, workload), options, keep=bool(os.environ.get("KEEP")))


def interrupted(number: int, _: FrameType | None) -> None:
    """End by the exit code that a shell gives for the signal."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.exit(f"error: {error}")
