"""Execute a notebook with the interpreter that runs this file, which has Jupyter's packages, not `delivery`.

The arguments are the notebook, the file for the copy with outputs, which is written in any case, and a folder
for sockets. SIGTERM ends the kernel at once.
"""

from __future__ import annotations

import asyncio
import re
import signal
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
        asyncio.run(_execute(client))
    except asyncio.CancelledError:
        return "interrupted"
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        return COLOUR.sub("", str(error)).strip()
    finally:
        nbformat.write(notebook, str(result))
    return ""


async def _execute(client: NotebookClient) -> None:
    task = asyncio.ensure_future(client.async_execute())

    def end() -> None:
        client.shutdown_kernel = "immediate"  # a kernel that computes does not answer
        task.cancel()

    def handle_signal(**_: object) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)

    # nbclient's own handler, which is set before, ends the kernel and waits for its answers.
    client.on_notebook_start = handle_signal
    await task


if __name__ == "__main__":
    sys.exit(execute(*map(Path, sys.argv[1:])) or 0)
