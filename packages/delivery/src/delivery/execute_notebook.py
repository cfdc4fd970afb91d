"""Execute a notebook with the interpreter that runs this file, which has Jupyter's packages, not `delivery`.

The arguments are the notebook, the file for the copy with outputs, which is written in any case, and a folder
for sockets.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

CELL_SECONDS = 3600
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def execute(source: Path, result: Path, sockets: Path) -> str:
    """Execute the notebook in its own folder; return the error of the cell that failed, or nothing."""
    notebook = nbformat.read(str(source), as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(source.parent)}}
    # Other users of the machine can reach a port, and not a socket in a private folder.
    config = Config({"ConnectionFileMixin": {"transport": "ipc", "ip": str(sockets / "kernel")}})
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources=resources, config=config)
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return COLOUR.sub("", str(error)).strip()
    finally:
        nbformat.write(notebook, str(result))
    return ""


if __name__ == "__main__":
    sys.exit(execute(*map(Path, sys.argv[1:])) or 0)
