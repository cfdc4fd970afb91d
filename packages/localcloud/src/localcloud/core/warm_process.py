"""Import libraries, then become a command of the container: `warm_process.py ORDER READY FOLDER MODULE…`.

ORDER and READY are descriptors of pipes. READY gets a byte after the imports. ORDER brings a JSON object
with the members `module`, `arguments`, `cwd`, `environment` and `log`: what `python -m module arguments…`
gets when it starts. A process that does not fit starts a new interpreter, as does one whose imports failed or
printed something: then the job's own log has it.
"""

import sys

# As `python -m` has it, in place of this program's folder, before more is imported.
if __name__ == "__main__":
    sys.path[0] = sys.argv[3]

import contextlib
import importlib
import io
import json
import os
import runpy
import time


def main(order: int, ready: int, modules: list[str]) -> None:
    """Import the modules, wait for the job, and run its command."""
    imported = import_quietly(modules)
    os.write(ready, b"1")
    os.close(ready)
    with os.fdopen(order, "rb") as file:
        text = file.read()
    if not text:  # the cloud has ended, or has no use for this process
        return
    job = json.loads(text)
    os.chdir(job["cwd"])
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    module, arguments, environment = job["module"], job["arguments"], job["environment"]
    if not imported or not fits(job["cwd"]):
        command = [sys.executable, "-m", module, *arguments]
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def import_quietly(modules: list[str]) -> bool:
    """Import the modules that are installed; return whether all went well, and nothing was printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            for module in modules:
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(module)
        except Exception:  # noqa: BLE001 - the job will say what is wrong
            return False
    return not said.getvalue()


def fits(folder: str) -> bool:
    """Return whether no module that is loaded has the name of one in the folder, which would come first."""
    own = {name.partition(".")[0] for name in os.listdir(folder)}  # noqa: PTH208 - no module for one name
    return own.isdisjoint(name.partition(".")[0] for name in sys.modules)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[4:])
