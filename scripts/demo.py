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
# Files that work on the template leaves behind, and that do not belong to the product.
LEFTOVERS = shutil.ignore_patterns(
    "__pycache__", ".*_cache", ".hypothesis", ".local", ".venv", ".git", "build"
)
MARK = ".made-by-make-demo"
KEPT = "The local cloud runs on. The calls above are for the folder {}.\n"
GONE = "The calls above worked until then: 'make demo KEEP=1' leaves the local cloud running.\n"
# No person is asked, and an hour of AWS's waiting takes a minute.
DELIVERY = ["run", "--approve", "--speed", "60"]
# The requests drift, and labelled data arrive with which a new model beats the champion.
LOOP = ["drift", "--new-data", "--approve"]
FRAMEWORKS = ("scikit-learn", "tensorflow")
WORKLOADS = ("tabular", "image")
REPORT_TIMEOUT_SECONDS = 10  # for an interrupted run to write its report


class RefusedError(Exception):
    """An error message for the user: the fault and the way out, in one sentence."""


def find_data(given: str, folders: list[Path]) -> Path:
    """Return the path of the file in the first folder that contains it.

    Raises:
        RefusedError: none of the folders contains the file.
    """
    for folder in folders:
        if (folder / given).exists():
            return (folder / given).resolve()
    place = "there is" if Path(given).is_absolute() else f"{folders[0]} has"
    raise RefusedError(f"DATA={given}: {place} no such file; name one that exists.")


def arguments(environment: Mapping[str, str], folders: list[Path]) -> list[str]:
    """Convert DATA and TARGET to the arguments of `python -m local run`.

    Raises:
        RefusedError: DATA and TARGET do not fit together, or the file does not exist.
    """
    data, target = environment.get("DATA", ""), environment.get("TARGET", "")
    if workload_of(environment) == "image":
        if target:
            raise RefusedError("TARGET is a column of a table: leave it out with WORKLOAD=image.")
        return ["--data", str(find_data(data, folders))] if data else []
    if bool(data) != bool(target):
        raise RefusedError("DATA and TARGET go together, as in: make demo DATA=houses.csv TARGET=price")
    return ["--data", str(find_data(data, folders)), "--target", target] if data else []


def framework_of(environment: Mapping[str, str]) -> str:
    """Return the framework of the project, a word of FRAMEWORKS."""
    return _one_of("FRAMEWORK", environment, FRAMEWORKS)


def workload_of(environment: Mapping[str, str]) -> str:
    """Return the workload of the project, a word of WORKLOADS."""
    return _one_of("WORKLOAD", environment, WORKLOADS)


def _one_of(name: str, environment: Mapping[str, str], known: tuple[str, ...]) -> str:
    given = environment.get(name) or known[0]
    if given not in known:
        raise RefusedError(f"{name}={given}: it must be one of {', '.join(known)}.")
    return given


def clear(folder: Path) -> None:
    """Remove the last demo except its environment, which is costly to install and checked by content.

    Raises:
        RefusedError: the folder was not made by a demo.
    """
    if not folder.exists():
        return
    if not (folder / MARK).is_file():
        raise RefusedError(f"{folder} was not made by `make demo`, so it is not replaced; move it away.")
    stop(folder / NAME)
    empty(folder / NAME, but=".venv")
    empty(folder, but=NAME)


def empty(folder: Path, *, but: str) -> None:
    """Remove the content of the folder, except one name and the mark of a demo."""
    for path in folder.glob("*"):
        if path.name in {but, MARK}:
            continue
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)


def generate(folder: Path, framework: str = FRAMEWORKS[0], workload: str = WORKLOADS[0]) -> Path:
    """Generate the project with the template's own answers, independent of the user's defaults."""
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
    """Stop the project's local cloud and delete what it holds, if there is one."""
    python, state = project / ".venv" / "bin" / "python", project / ".local"
    if python.is_file() and any((state / name).exists() for name in ("cloud.json", "kept")):
        subprocess.run([python, "-m", "local", "down", "--delete"], cwd=project, check=False)


def attend(command: list[str | Path], project: Path, environment: Mapping[str, str]) -> int:
    """Run the command to its end, also when this process is interrupted, and return its exit code."""
    with subprocess.Popen(command, cwd=project, env=environment) as process:
        try:
            return process.wait()
        except SystemExit as end:
            # A terminal interrupts both processes; any other signal has reached this process only.
            if end.code != 128 + signal.SIGINT:
                process.terminate()
            try:
                process.wait(REPORT_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def run(project: Path, options: list[str], *, keep: bool) -> int:
    """Set the project up and run it; stop its processes at the end, unless `keep` is set."""
    ours = {"DATA", "TARGET", "FRAMEWORK", "WORKLOAD", "VENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if code := attend(["make", "setup"], project, environment):
        return code
    environment["INSTALL_SECONDS_FILE"] = str(Path(".venv", ".installed", "seconds"))
    try:
        code = deliver(project, options, environment)
    finally:
        if not keep:
            stop(project)
    if code == 0:
        sys.stdout.write(KEPT.format(project) if keep else GONE)
    return code


def deliver(project: Path, options: list[str], environment: Mapping[str, str]) -> int:
    """Deliver, then let the requests drift, so that a canary moves the traffic to a retrained model."""
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
    """Exit with the code that a shell gives for the signal."""
    sys.exit(128 + number)


if __name__ == "__main__":
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.exit(f"error: {error}")
