"""Check a machine and a project's folder before the first command.

`make doctor` and `python -m local doctor` print the checks. They run before anything is installed, by any
Python from 3.8: this module imports the standard library alone, and `make doctor` reads it from the wheel.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, WARNING, PROBLEM = "ok", "warning", "problem"
OLDEST, NEWEST = (3, 11), (3, 13)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3")
INSTALL_PYTHON = "install Python 3.11, 3.12 or 3.13, or name one: make setup PYTHON=/path/to/python3.12"
OLDEST_MAKE = (3, 81)
PORTS = 24  # of the cloud, of twenty instances, and some for clients
MB = 1_000_000
ENVIRONMENT_BYTES, RUN_BYTES, TEMPORARY_BYTES = 1500 * MB, 300 * MB, 100 * MB
ENVIRONMENT_FILES = 40_000
LEAST_DESCRIPTORS, ENOUGH_DESCRIPTORS = 256, 1024
EARLIEST_YEAR = 2025
CLOCK_SECONDS = 5.0
TIMEOUT_SECONDS = 20
ASK_PYTHON = """
import importlib.util, json, sys, tarfile
print(json.dumps({
    "version": sys.version_info[:3],
    "executable": sys.executable,
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    "filter": hasattr(tarfile, "data_filter"),
}))
"""


class Check(NamedTuple):
    """The result of one check: what was found, and what to do where it prevents work or makes it worse."""

    name: str
    state: str
    found: str
    way_out: str = ""


class Machine(NamedTuple):
    """What is checked: the project's folder, and the variables of the environment."""

    root: Path
    variables: Any

    @property
    def venv(self) -> Path:
        """The virtual environment."""
        return self.root / (self.variables.get("VENV") or ".venv")


def examine(root: Path) -> list[Check]:
    """Return all checks of this machine and of the project in the folder."""
    machine = Machine(root.resolve(), os.environ)
    return [_guarded(check, machine) for check in CHECKS]


def _guarded(check: Callable[[Machine], Check], machine: Machine) -> Check:
    """Return a check's result; a check that cannot be made is a problem, and the others are made."""
    try:
        return check(machine)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        name = check.__name__.replace("check_", "").replace("_", " ")
        return Check(name, PROBLEM, f"the check failed: {error}", "read the message's reason")


def check_system(machine: Machine) -> Check:
    """Check the operating system and the processor."""
    found = f"{platform.system()} {platform.machine()}"
    if platform.system() not in ("Linux", "Darwin"):
        return Check("system", PROBLEM, found, "use Linux or macOS; on Windows, WSL")
    if found == "Darwin x86_64" and (machine.root / "container" / "requirements-tensorflow.txt").exists():
        way_out = "make the project with framework=scikit-learn, or use another machine"
        return Check("system", PROBLEM, found + ", for which TensorFlow is not made any more", way_out)
    return Check("system", OK, found)


def check_python(machine: Machine) -> Check:
    """Check that a Python of a supported version exists, and name its patch level."""
    chosen = machine.variables.get("PYTHON")
    for name in [chosen] if chosen else [*CANDIDATES, str(machine.venv / "bin" / "python")]:
        answer = _ask_python(name)
        version = tuple(answer["version"]) if answer else (0,)
        if OLDEST <= version[:2] <= NEWEST:
            return _describe_python(name, answer)
    if chosen:
        return Check("python", PROBLEM, f"PYTHON={chosen} is none from 3.11 to 3.13", INSTALL_PYTHON)
    return Check("python", PROBLEM, "no Python from 3.11 to 3.13 is on the PATH", INSTALL_PYTHON)


def _describe_python(name: str, answer: Any) -> Check:
    found = "{} is {}, {}".format(name, ".".join(map(str, answer["version"])), answer["executable"])
    if not answer["filter"]:
        found += "; its tarfile has no filter, so the project checks archives by itself"
        return Check("python", WARNING, found, "3.11.4 or newer has the filter")
    return Check("python", OK, found)


@lru_cache(maxsize=16)
def _ask_python(name: str) -> Any:
    """Return what a Python says about itself, or None if it does not start."""
    try:
        done = subprocess.run(
            [name, "-I", "-c", ASK_PYTHON],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
        return json.loads(done.stdout.decode())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def check_installer(machine: Machine) -> Check:
    """Check that uv, or the module venv with ensurepip, can make the virtual environment."""
    if uv := shutil.which("uv"):
        return Check("installer", OK, f"uv, {uv}")
    names = [machine.variables["PYTHON"]] if machine.variables.get("PYTHON") else list(CANDIDATES)
    for name in names:
        answer = _ask_python(name)
        if answer and OLDEST <= tuple(answer["version"][:2]) <= NEWEST:
            if answer["venv"]:
                return Check("installer", OK, f"pip, by the modules venv and ensurepip of {name}")
            way_out = "install it (Debian and Ubuntu: apt install python3-venv), or uv"
            return Check("installer", PROBLEM, f"{name} has no venv module", way_out)
    return Check("installer", PROBLEM, "no Python from 3.11 to 3.13 to make an environment", INSTALL_PYTHON)


def check_make(machine: Machine) -> Check:  # noqa: ARG001 - the signature of every check
    """Check that make is GNU make, and new enough."""
    text = _output("make", "--version")
    found = re.match(r"GNU Make (\d+)\.(\d+)", text)
    if found is None:
        said = text.splitlines()[0] if text else "make is missing"
        return Check("make", PROBLEM, said, "install GNU make (Debian and Ubuntu: apt install make)")
    if tuple(map(int, found.groups())) < OLDEST_MAKE:
        return Check("make", PROBLEM, found[0], "install GNU make 3.81 or newer")
    return Check("make", OK, found[0])


def check_git(machine: Machine) -> Check:  # noqa: ARG001 - the signature of every check
    """Check that git starts."""
    if text := _output("git", "--version"):
        return Check("git", OK, text.splitlines()[0])
    return Check("git", PROBLEM, "git is missing", "install it (Debian and Ubuntu: apt install git)")


def _output(*command: str) -> str:
    """Return what a command prints, or an empty text if it does not start or fails."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


def check_environment(machine: Machine) -> Check:
    """Check that the virtual environment starts, is where it was made, and has the packages."""
    anew = f"make it anew: rm -rf {shlex.quote(str(machine.venv))} && make setup"
    if (machine.venv / "sdk").exists():
        anew += " && make setup-sdk, because that folder also holds the SageMaker SDK"
    if not machine.venv.exists():
        return Check("environment", OK, "not made yet; 'make setup' makes it")
    if _ask_python(str(machine.venv / "bin" / "python")) is None:
        return Check("environment", PROBLEM, f"the Python of {machine.venv} does not start", anew)
    made = _made_at(machine.venv)
    if made and made.resolve() != machine.venv.resolve():
        found = f"it was made at {made}, and the folder has moved: its scripts start the Python there"
        return Check("environment", WARNING, found, anew)
    if not _is_installed(machine):
        return Check(
            "environment", WARNING, "packages of the requirement files are missing", "run: make setup"
        )
    return Check("environment", OK, str(machine.venv))


def _made_at(venv: Path) -> Path | None:
    """Return where a virtual environment was made, as its script for shells says."""
    try:
        text = (venv / "bin" / "activate").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    for value in re.findall(r"^\s*(?:export\s+)?VIRTUAL_ENV=(.+)$", text, re.MULTILINE):
        path = "".join(shlex.split(value))
        if path.startswith("/"):
            return Path(path)
    return None


def _is_installed(machine: Machine) -> bool:
    """Return whether the requirement files are installed, by the marks that scripts/environment leaves."""
    names = ("container/requirements.txt", "container/requirements-tensorflow.txt", "local/requirements.txt")
    files = [machine.root / name for name in names if (machine.root / name).is_file()]
    return all((machine.venv / ".installed" / _mark(path)).is_file() for path in files)


def _mark(path: Path) -> str:
    with path.open("rb") as file:
        done = subprocess.run(
            ["cksum"], stdin=file, stdout=subprocess.PIPE, timeout=TIMEOUT_SECONDS, check=True
        )
    return "-".join(done.stdout.decode().split()[:2])


def check_folder(machine: Machine) -> Check:
    """Check that the project's folder can be written, run programs, and lock files."""
    if not (machine.root / "project.toml").is_file():
        return Check("folder", PROBLEM, f"{machine.root} has no project.toml", "change into the project")
    if os.pathsep in str(machine.root):
        found = f"the path {machine.root} has a '{os.pathsep}', which no PATH can hold"
        return Check("folder", PROBLEM, found, "rename the folder")
    way_out = "move the project to a folder of your own on a local disk, or change its owner by chown"
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=str(machine.root)) as folder:
            reason = _try_folder(Path(folder))
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
    if reason:
        return Check("folder", PROBLEM, f"{machine.root} {reason}", way_out)
    return Check("folder", OK, str(machine.root))


def _try_folder(folder: Path) -> str:
    """Return what a folder lacks: locks, symbolic links, or programs that may run."""
    (folder / "link").symlink_to("program")
    program = folder / "program"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o700)
    with program.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"cannot lock files: {error.strerror}"
    try:
        subprocess.run([str(program)], timeout=TIMEOUT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"runs no programs (mounted with noexec?): {error}"
    return ""


def check_home(machine: Machine) -> Check:
    """Check that the home folder can be written: uv and pip keep downloads there."""
    home = machine.variables.get("HOME") or ""
    if Path(home).is_dir() and os.access(home, os.W_OK):
        return Check("home", OK, home)
    found = f"HOME={home} cannot be written"
    way_out = "export HOME=/a/folder/of/your/own"
    # uv fails without its cache, pip continues without one
    return Check("home", PROBLEM if shutil.which("uv") else WARNING, found, way_out)


def check_temporary_folder(machine: Machine) -> Check:
    """Check that temporary files can be written, where TMPDIR says or by default."""
    folder = machine.variables.get("TMPDIR") or tempfile.gettempdir()
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        found = f"{folder} cannot be written: {error.strerror}"
        return Check("temporary files", PROBLEM, found, "export TMPDIR=/a/folder/of/your/own")
    if free < TEMPORARY_BYTES:
        found = f"only {free // MB} MB are free in {folder}"
        return Check("temporary files", PROBLEM, found, "free some space, or export TMPDIR=/another/folder")
    return Check("temporary files", OK, folder)


def check_disk(machine: Machine) -> Check:
    """Check the space and the files that are free in the project's folder."""
    free, counts = shutil.disk_usage(str(machine.root)).free, os.statvfs(str(machine.root))
    needed = RUN_BYTES if machine.venv.exists() else ENVIRONMENT_BYTES
    if free < needed:
        found = f"{free // MB} MB are free, and {needed // MB} MB are needed"
        return Check(
            "disk", PROBLEM, found, "free some space; 'make clean' and 'rm -rf .venv' remove what is made"
        )
    if counts.f_files and counts.f_favail < ENVIRONMENT_FILES and not machine.venv.exists():
        found = f"{counts.f_favail} more files fit, and an environment has {ENVIRONMENT_FILES}"
        return Check("disk", PROBLEM, found, "remove files, or use another disk")
    return Check("disk", OK, f"{free / 1e9:.1f} GB are free")


def check_ports(machine: Machine) -> Check:  # noqa: ARG001 - the signature of every check
    """Check that programs can listen on 127.0.0.1, and that a connection arrives."""
    listeners: list[socket.socket] = []
    way_out = (
        "allow programs to listen on 127.0.0.1 (firewall, sandbox, container), or end what holds its ports"
    )
    try:
        for _ in range(PORTS):
            listeners.append(socket.socket())
            listeners[-1].bind(("127.0.0.1", 0))
            listeners[-1].listen(1)
        with socket.create_connection(listeners[0].getsockname(), timeout=5):
            pass
    except OSError as error:
        return Check("ports", PROBLEM, f"127.0.0.1 cannot be used: {error}", way_out)
    finally:
        for listener in listeners:
            listener.close()
    return Check("ports", OK, f"programs can listen on at least {PORTS} ports of 127.0.0.1")


def check_endpoint(machine: Machine) -> Check:
    """Check that no variable points the commands, or AWS tools, elsewhere."""
    url, owner = machine.variables.get("AWS_ENDPOINT_URL"), machine.variables.get("LOCAL_CLOUD_STATE")
    if url and owner != str(machine.root / ".local"):
        found = f"AWS_ENDPOINT_URL is {url}: status, jobs, logs and stop read it, and run refuses it"
        return Check("endpoint", WARNING, found, "unset AWS_ENDPOINT_URL, unless you mean it")
    proxies = [
        name for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY") if machine.variables.get(name)
    ]
    skipped = machine.variables.get("no_proxy", "") + machine.variables.get("NO_PROXY", "")
    if proxies and "127.0.0.1" not in skipped:
        found = f"{proxies[0]} is set: other AWS tools ask the proxy for 127.0.0.1"
        return Check("endpoint", WARNING, found, "export NO_PROXY=127.0.0.1,localhost")
    return Check("endpoint", OK, "the project's local cloud")


def check_compiler(machine: Machine) -> Check:
    """Check for a C compiler, which makes the library that serves models; there is a form without it."""
    for name in ("gcc", "clang", "cc"):
        if path := shutil.which(name):
            return Check("compiler", OK, path)
    if list(machine.venv.glob("lib/python*/site-packages/ziglang")):
        return Check("compiler", OK, f"ziglang, in {machine.venv}")
    found = "none: models are served in the portable form, which predicts the same and takes longer"
    return Check(
        "compiler", WARNING, found, "install gcc or clang, or run: .venv/bin/python -m pip install ziglang"
    )


def check_descriptors(machine: Machine) -> Check:  # noqa: ARG001 - the signature of every check
    """Check how many files and connections a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH_DESCRIPTORS:
        return Check(
            "open files", OK, "at most {}".format(soft if soft != resource.RLIM_INFINITY else "unlimited")
        )
    state = PROBLEM if soft < LEAST_DESCRIPTORS else WARNING
    wanted = ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_DESCRIPTORS)
    return Check("open files", state, f"at most {soft} in a process", f"ulimit -n {wanted}")


def check_clock(machine: Machine) -> Check:
    """Check the clock against the earliest possible date, and against that of the file system."""
    now = time.time()
    if time.gmtime(now).tm_year < EARLIEST_YEAR:
        found = time.strftime("it is %Y-%m-%d", time.gmtime(now))
        return Check("clock", PROBLEM, found + ": no package index accepts that", "set the machine's clock")
    folder = machine.root if os.access(str(machine.root), os.W_OK) else None
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        difference = abs(Path(file.name).stat().st_mtime - time.time())
    if difference > CLOCK_SECONDS:
        found = f"the file system's clock differs by {difference:.0f} s"
        return Check("clock", WARNING, found, "synchronize the clocks, or use a local disk")
    return Check("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


CHECKS: tuple[Callable[[Machine], Check], ...] = (
    check_system,
    check_python,
    check_installer,
    check_make,
    check_git,
    check_folder,
    check_environment,
    check_home,
    check_temporary_folder,
    check_disk,
    check_ports,
    check_endpoint,
    check_compiler,
    check_descriptors,
    check_clock,
)


def report(checks: Sequence[Check], *, as_json: bool) -> int:
    """Print the checks, and return 1 when one of them prevents work, else 0."""
    prevented = any(check.state == PROBLEM for check in checks)
    if as_json:
        content = {"ok": not prevented, "checks": [check._asdict() for check in checks]}
        sys.stdout.write(json.dumps(content, indent=2) + "\n")
        return int(prevented)
    for check in checks:
        line = "{:<8} {:<16} {}".format("OK" if check.state == OK else check.state, check.name, check.found)
        sys.stdout.write(line + ("; " + check.way_out if check.way_out else "") + "\n")
    return int(prevented)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the project of the working directory, before anything is installed."""
    parser = argparse.ArgumentParser(prog="make doctor", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    as_json = parser.parse_args(arguments).json
    try:
        return report(examine(Path.cwd()), as_json=as_json)
    except BrokenPipeError:  # the reader, such as head, has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())
