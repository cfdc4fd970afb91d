"""Execute one notebook, in the environment of the SDK: `python notebook.py NOTEBOOK RESULT`.

RESULT gets the texts of all outputs, and the error of the cell that failed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def main(path: Path, result: Path) -> None:
    """Run all cells in the notebook's folder, until one fails."""
    formats: Any = nbformat  # which has no types
    notebook = formats.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    error = ""
    try:
        NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
    except CellExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    texts = [
        text for cell in notebook.cells for output in cell.get("outputs", []) for text in texts_of(output)
    ]
    result.write_text(json.dumps({"texts": texts, "error": error}), encoding="utf-8")


def texts_of(output: Any) -> list[str]:
    """Return the texts of an output."""
    if output["output_type"] == "stream":
        return [output["text"]]
    return [output["data"]["text/plain"]] if "text/plain" in output.get("data", {}) else []


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
