"""Jobs whose request has an entry point of its own: a script that expects a container, with /opt/ml in it.

A process has no root of its own, so /opt/ml is another folder, whose name replaces /opt/ml wherever the job
reads it: in the command, the variables and hyperparameters, and the files of its code.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core import account
from localcloud.core.context import with_python
from localcloud.core.private_files import folder as private_folder
from localcloud.services.sagemaker import images

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.core.context import CloudContext
    from localcloud.core.managed_process import ManagedProcess

NAMED = re.compile(rb"(?<![\w.})-])/opt/ml(?![\w-])")
# A path of these characters needs no quotes, in a shell as in a program's text.
PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
LINKS = Path("/tmp")  # noqa: S108 - each link is in a folder of its own, which mkdtemp closes to others
PROGRAMS = {"python": "", "python3": "", "pip": "-m pip", "pip3": "-m pip"}
MAX_CODE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Program:
    """What a job's request says about its program; without an entry point the image's own program runs.

    `code` names the files and folders below /opt/ml that may name /opt/ml themselves.
    """

    image: str
    entrypoint: Sequence[str]
    arguments: Sequence[str]
    code: Sequence[str] = ()


@dataclass
class Script:
    """The command of a job's request in the folder of one of its instances."""

    context: CloudContext
    folder: Path
    python: Path
    changed: int = 0
    _link: Path | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Give a folder whose name would need quotes a link without such characters."""
        if not PLAIN.fullmatch(str(self.folder)):
            self._link = Path(tempfile.mkdtemp(prefix="opt-ml-", dir=LINKS)) / "ml"
            self._link.symlink_to(self.folder)

    @property
    def root(self) -> str:
        """The path that replaces /opt/ml."""
        return str(self._link or self.folder)

    def text(self, text: str) -> str:
        """Return a text with the folder's path in place of /opt/ml."""
        return self._bytes(text.encode()).decode()

    def command(self, entrypoint: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """Return the command: `python` is this environment's."""
        return with_python([self.text(each) for each in (*entrypoint, *arguments)], self.python)

    def variables(self, requested: Mapping[str, str]) -> dict[str, str]:
        """Return the request's variables, this cloud's, and those that find this environment's programs.

        Packages that the script installs are put into the job's folder, not into the environment.
        """
        packages = f"{self.root}/packages"
        paths = [packages, *_bundled_pip(self.python)]
        users = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return {
            **users,
            "PIP_TARGET": packages,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PATH": os.pathsep.join(
                (str(programs(self.context, self.python)), os.environ.get("PATH", os.defpath))
            ),
            **account.for_tools(),
            **{name: self.text(value) for name, value in requested.items()},
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [requested.get("PYTHONPATH")])]),
        }

    def change_files(self, below: Path) -> None:
        """Replace /opt/ml in a text file, or in those of a folder of code and of its tar.gz archives."""
        for cache in list(below.rglob("__pycache__")):
            shutil.rmtree(cache)  # compiled from the text as it was
        for path in [below] if below.is_file() else sorted(below.rglob("*")):
            if not path.is_file() or path.is_symlink() or path.stat().st_size > MAX_CODE_BYTES:
                continue
            content = path.read_bytes()
            changed = self._archive(content) if path.name.endswith(".tar.gz") else self._file(content)
            if changed != content:
                path.write_bytes(changed)

    def close(self) -> None:
        """Remove the link."""
        if self._link:
            self._link.unlink(missing_ok=True)
            self._link.parent.rmdir()

    def _file(self, content: bytes) -> bytes:
        if b"\0" in content or not NAMED.search(content):
            return content
        self.changed += 1
        return self._bytes(content)

    def _archive(self, content: bytes) -> bytes:
        before, packed = self.changed, io.BytesIO()
        try:
            with (
                tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as source,
                tarfile.open(fileobj=packed, mode="w:gz") as target,
            ):
                for member in source:
                    file = source.extractfile(member) if member.isfile() else None
                    text = self._file(file.read()) if file else b""
                    member.size = len(text)
                    target.addfile(member, io.BytesIO(text) if file else None)
        except (tarfile.TarError, EOFError, OSError):
            return content  # what it is, the script finds out
        return packed.getvalue() if self.changed > before else content

    def _bytes(self, content: bytes) -> bytes:
        return NAMED.sub(lambda _: os.fsencode(self.root), content)


def prepare(context: CloudContext, program: Program, folder: Path, log: Path) -> Script | None:
    """Change the code of a script in an instance's folder; write into the log what runs, and where."""
    own = images.is_own(context, program.image)
    python = Path(sys.executable) if own else context.project.python
    script = Script(context, folder, python) if program.entrypoint else None
    notes = [images.note(context, program.image)]
    if script:
        for path in program.code:
            script.change_files(folder / path)
        notes.append(
            f"python is {python}, and /opt/ml is {script.root} here: the command, the variables, the "
            f"hyperparameters and {script.changed} files of the code name it instead."
        )
    with log.open("a", encoding="utf-8") as file:
        file.writelines(f"localcloud: {text}\n" for text in notes if text)
    return script


def start(program: Program, script: Script, variables: Mapping[str, str], log: Path) -> ManagedProcess:
    """Start the script of a request."""
    # The working directory of the project's image is the project, that of another one is not known.
    cwd = None if images.is_own(script.context, program.image) else script.folder
    command = script.command(program.entrypoint, program.arguments)
    return script.context.spawn(command, script.folder, script.variables(variables), log, cwd=cwd)


def programs(context: CloudContext, python: Path) -> Path:
    """Return the folder of the commands python and pip, which start a Python of this machine."""
    into = private_folder(context.state, f"bin-{sha256(str(python).encode()).hexdigest()[:8]}")
    for name, arguments in PROGRAMS.items():
        text = f'#!/bin/sh\nexec {shlex.quote(str(python))} {arguments} "$@"\n'
        path = into / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            fresh = path.with_name(f"{name}.{os.getpid()}")
            fresh.write_text(text, encoding="utf-8")
            fresh.chmod(0o700)
            fresh.replace(path)
    return into


def _bundled_pip(python: Path) -> list[str]:
    """Return the pip that Python brings, for an environment that has none: uv makes such environments."""
    if any((python.parent.parent / "lib").glob("python*/site-packages/pip")):
        return []
    import ensurepip  # noqa: PLC0415 - some systems have none

    return [str(path) for path in (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")]
