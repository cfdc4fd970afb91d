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
PACKAGES = "import ipykernel, nbclient, nbformat"
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


def execute(notebook: Path, results: Path, python: Path, variables: Mapping[str, str]) -> None:
    """Execute a notebook with an interpreter and variables; its copy with outputs is in the folder `results`.

    The notebook itself stays as it is. Jupyter's and IPython's settings of the user do not count.

    Raises:
        DeliveryError: A cell failed, with its error, or the file is not a notebook.

    """
    result = results / notebook.name
    results.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        own = dict.fromkeys(("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"), folder)
        # -P: the modules beside the executed file must not hide those of the standard library.
        command: list[str | Path] = [python, "-P", EXECUTE, notebook, result, folder]
        done = subprocess.run(
            command, env={**variables, **own}, stderr=subprocess.PIPE, text=True, check=False
        )
    if done.returncode:
        reason = done.stderr.strip() or f"{python} ended with code {done.returncode}"
        outputs = f"; {result} has its outputs" if result.exists() else ""
        raise DeliveryError(f"{notebook.name} failed{outputs}.\n{reason}")
