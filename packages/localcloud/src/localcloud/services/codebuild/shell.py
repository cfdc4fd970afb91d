"""Commands of a build: each in its own shell, with the variables and the directory of the one before."""

from __future__ import annotations

import shlex
import sys
import threading
from typing import TYPE_CHECKING

from localcloud.core.managed_process import ManagedProcess
from localcloud.services.codebuild.errors import internal_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STOP_GRACE = 2.0
# As in CodeBuild, `exit` ends a command and not the build, and a command's variables stay for the next one.
DRIVER = """\
. {state}/env.sh
cd "$(cat {state}/directory)" || exit
keep_state() {{
    keep_code=$?
    trap - EXIT
    set +a
    {{ export -p > {state}/env.sh && pwd > {state}/directory; }} || [ $keep_code != 0 ] || keep_code=1
    exit $keep_code
}}
trap keep_state EXIT
set -a
. {state}/command.sh
"""


class Shell:
    """Runs commands one after another."""

    def __init__(
        self, program: str, state: Path, source: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        """Write the state of the first command into the directory `state`."""
        self._program, self._state, self._log = program, state, log
        self._source, self._environment = source, dict(environment)
        self._lock = threading.Lock()
        self._child: ManagedProcess | None = None
        self._ended = False
        state.mkdir(parents=True)
        (state / "env.sh").touch()
        (state / "directory").write_text(f"{source}\n", encoding="utf-8")
        (state / "driver.sh").write_text(DRIVER.format(state=shlex.quote(str(state))), encoding="utf-8")

    def run(self, command: str) -> int:
        """Run a command and return its exit code: 143 or 137 if `end` has ended it."""
        (self._state / "command.sh").write_text(f"{command}\n", encoding="utf-8")
        return self._start([self._program, str(self._state / "driver.sh")], self._log)

    def set(self, name: str, value: str) -> None:
        """Set a variable for the commands that follow."""
        with (self._state / "env.sh").open("a", encoding="utf-8") as file:
            file.write(f"export {name}={shlex.quote(value)}\n")

    def values(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the variables as the last command left them.

        Raises:
            PhaseError: the shell could not write the values.
        """
        if not names:
            return {}
        printing = "\n".join(f"printf '%s\\0' \"${{{name}-}}\" || exit" for name in names)
        script, answer = self._state / "values.sh", self._state / "values"
        script.write_text(f". {shlex.quote(str(self._state / 'env.sh'))}\n{printing}\n", encoding="utf-8")
        if code := self._start([self._program, str(script)], answer):
            raise internal_error(f"{answer} can't be written: exit status {code}")
        values = answer.read_bytes().decode(errors="replace").split("\0")
        return dict(zip(names, values, strict=False))

    @property
    def pid(self) -> int | None:
        """The id of the process group of the command that runs now."""
        child = self._child
        return child.pid if child and child.running else None

    def end(self) -> None:
        """End the command that runs, and run no other."""
        with self._lock:
            self._ended = True
            child = self._child
        if child:
            child.end(STOP_GRACE)

    def _start(self, command: list[str], log: Path) -> int:
        with self._lock:
            if self._ended:
                return 143
            self._child = child = ManagedProcess(command, self._source, self._environment, log)
        return child.wait() or 0


def write_programs(directory: Path) -> None:
    """Write the programs of a build image that run this Python: python, python3 and pip."""
    directory.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    programs = {
        "python": python,
        "python3": python,
        "pip": f"{python} -m pip",
    }
    for name, command in programs.items():
        path = directory / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)
