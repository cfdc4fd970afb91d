"""Import libraries, then become a command of the container: `warm_process.py SOCKET FOLDER MODULE…`.

SOCKET is a descriptor. It gets a byte after the imports, and brings a JSON object with the members `module`,
`arguments`, `cwd`, `environment` and `log`: what `python -m module arguments…` gets when it starts. It gets
another byte when the job has been taken. A process that does not fit starts a new interpreter, as does one
whose imports failed or printed something: then the job's own log has it.
"""

import sys

if __name__ == "__main__":
    del sys.path[0]  # of this program: its neighbours have names of libraries

import contextlib
import importlib
import json
import os
import runpy
import socket
import tempfile
import time

Environment = dict[str, str]


def main(channel: socket.socket, folder: str, modules: list[str]) -> None:
    """Import the modules, wait for the job, and run its command."""
    sys.path.insert(0, folder)  # as `python -m` does
    before = dict(os.environ)
    quiet = import_quietly(modules)
    files = modified_files()
    channel.sendall(b"1")
    text = b"".join(iter(lambda: channel.recv(65_536), b""))
    if not text:  # the cloud has ended, or has no use for this process
        return
    job = json.loads(text)
    os.chdir(job["cwd"])
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    channel.sendall(b"2")
    channel.close()
    module, arguments = job["module"], job["arguments"]
    environment = with_changes(job["environment"], before)
    if not quiet or environment is None or not fits(job["cwd"]) or modified_files() != files:
        command = [sys.executable, "-m", module, *arguments]
        os.execve(command[0], command, job["environment"])  # noqa: S606 - no shell is wanted
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def import_quietly(modules: list[str]) -> bool:
    """Import the modules that are installed; return whether all went well, and nothing was printed."""
    with tempfile.TemporaryFile() as said:
        for stream in (1, 2):  # code in C prints too
            os.dup2(said.fileno(), stream)
        try:
            for module in modules:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(module)
        except Exception:  # noqa: BLE001 - the job will say what is wrong
            return False
        sys.stdout.flush()
        sys.stderr.flush()
        return os.fstat(said.fileno()).st_size == 0


def with_changes(environment: Environment, before: Environment) -> Environment | None:
    """Return a job's environment with what the imports have set; None where both set a name differently."""
    changes = {name: value for name, value in os.environ.items() if before.get(name) != value}
    gone = before.keys() - os.environ.keys()
    if gone or any(environment.get(name, value) != value for name, value in changes.items()):
        return None
    return environment | changes


def modified_files() -> dict[str, int]:
    """Return the files of the loaded modules, with the times at which they were modified."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    times = {}
    for file in filter(None, files):
        try:
            times[file] = os.stat(file).st_mtime_ns  # noqa: PTH116 - no module for one name
        except OSError:
            times[file] = -1
    return times


def fits(folder: str) -> bool:
    """Return whether no module that is loaded has the name of one in the folder, which would come first."""
    own = {name.partition(".")[0] for name in os.listdir(folder)}  # noqa: PTH208 - as above
    return own.isdisjoint(name.partition(".")[0] for name in sys.modules)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], sys.argv[3:])
