"""The notebooks of a project, each executed in the environment of the SageMaker SDK."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from delivery.cloud import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = "notebooks"
RESULTS = Path("build", FOLDER)
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


def execute(notebook: Path, results: Path, python: Path, variables: Mapping[str, str]) -> None:
    """Execute a notebook with an interpreter and variables; its copy with outputs is in the folder `results`.

    The notebook itself stays as it is. Jupyter's and IPython's settings of the user do not count.

    Raises:
        DeliveryError: A cell failed, with its error, or the interpreter lacks Jupyter's packages.

    """
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        own = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), folder)
        # -P: the modules beside the executed file must not hide those of the standard library.
        command: list[str | Path] = [python, "-P", EXECUTE, notebook, results / notebook.name, folder]
        done = subprocess.run(
            command, env={**variables, **own}, stderr=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        reason = done.stderr.strip() or f"{python} ended with code {done.returncode}"
        raise DeliveryError(f"{notebook.name} failed; {results / notebook.name} has its outputs.\n{reason}")
