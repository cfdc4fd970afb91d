"""The notebooks of a project, each executed in the environment of the SageMaker SDK."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from delivery import child_processes, notebook_calls, notebook_endings
from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from delivery.notebook_endings import Call

FOLDER = "notebooks"
RESULTS = Path("build", FOLDER)
PACKAGES = "import ipykernel, nbclient, nbformat"
STARTUP = """\
def _record():
    import importlib.util

    spec = importlib.util.spec_from_file_location("notebook_calls", {program!r})
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.record({folder!r})


_record()
del _record  # the notebook sees no name of this
"""
EXECUTE = Path(__file__).with_name("execute_notebook.py")


def find_notebooks(root: Path, names: Sequence[str]) -> list[Path]:
    """Return a project's notebooks in the order of their names, or those whose names begin as given.

    Raises:
        DeliveryError: The project has no notebook, or none with such a name.

    """
    found = sorted((root / FOLDER).glob("*.ipynb"))
    known = ", ".join(path.stem for path in found) or "none"
    for name in names or [""]:
        if not any(path.name.startswith(name) for path in found):
            raise DeliveryError(f"{root / FOLDER} has no notebook {name or 'at all'}; it has {known}.")
    return [path for path in found if path.name.startswith(tuple(names) or "")]


def check(python: Path) -> None:
    """Check that an interpreter can execute notebooks.

    Raises:
        DeliveryError: It lacks Jupyter's packages.

    """
    done = subprocess.run([python, "-c", PACKAGES], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[-1]
        raise DeliveryError(
            f"{python} can't execute notebooks ({reason}): 'make setup-sdk' installs the packages."
        )


def execute(
    notebook: Path,
    results: Path,
    python: Path,
    variables: Mapping[str, str],
    end: Callable[[list[Call]], None] = lambda _: None,
) -> None:
    """Execute a notebook with an interpreter and variables; its copy with outputs is in the folder `results`.

    The notebook itself stays as it is. Jupyter's and IPython's settings of the user do not count. An
    interrupt ends the kernel, and calls `end` with what the notebook has started.

    Raises:
        DeliveryError: A cell failed, with its error, or the file is not a notebook.

    """
    result = results / notebook.name
    results.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="notebook-") as name:
        folder = Path(name)
        _record_calls(folder)
        own = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), name)
        # -P: the modules beside the executed file must not hide those of the standard library.
        command: list[str | Path] = [python, "-P", EXECUTE, notebook, result, folder]
        try:
            code, said = child_processes.run(
                command,
                variables={**variables, **own},
                errors=subprocess.PIPE,
                before_end=lambda: notebook_endings.end_calls(folder),
            )
        finally:
            if (folder / notebook_calls.ENDED).exists():
                end(notebook_endings.read_calls(folder))
    if code:
        reason = said.strip() or f"{python} ended with code {code}"
        outputs = f"; {result} has its outputs" if result.exists() else ""
        raise DeliveryError(f"{notebook.name} failed{outputs}.\n{reason}")


def _record_calls(folder: Path) -> None:
    """Let the kernel record what the notebook starts, by a file that IPython runs at its start."""
    path = folder / "profile_default" / "startup" / "calls.py"
    path.parent.mkdir(parents=True)
    path.write_text(STARTUP.format(program=notebook_calls.__file__, folder=str(folder)), encoding="utf-8")
