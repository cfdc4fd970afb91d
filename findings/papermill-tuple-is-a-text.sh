#!/usr/bin/env bash
# papermill hands a tuple to the notebook as a text, and records it as a list among the notebook's parameters.
#
# Lists, dicts and numbers arrive as they are, and a date is refused, so a tuple of layers or of a shape is expected to
# arrive as a tuple or a list. papermill's translator for Python writes str() of what it has no rule for, within lists
# and dicts too; the record is JSON, which has lists only. So the notebook builds 8 layers of one character each,
# and what is kept about the run shows two numbers.
#
# Seen with papermill 2.7.0, ipykernel 7.4.0, nbformat 5.11.1, Python 3.11, as parameter, value in the notebook, its
# length, and the record:
#   [64, 32] [64, 32] 2 [64, 32]
#   (64, 32) '(64, 32)' 8 [64, 32]
#   {'layers': (64, 32)} {'layers': '(64, 32)'} 1 {'layers': [64, 32]}
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    papermill==2.7.0 ipykernel==7.4.0 nbformat==5.11.1
cat > "$folder/run.py" <<'PYTHON'
import json
import pathlib
import sys

import nbformat
import papermill
from nbformat.v4 import new_code_cell, new_notebook

kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
cells = [new_code_cell("value = 1", metadata={"tags": ["parameters"]}), new_code_cell("print(repr(value), len(value))")]
nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), "in.ipynb")
changed = False
for value, expected in (
    ([64, 32], "[64, 32] 2 [64, 32]"),
    ((64, 32), "'(64, 32)' 8 [64, 32]"),
    ({"layers": (64, 32)}, "{'layers': '(64, 32)'} 1 {'layers': [64, 32]}"),
):
    notebook = papermill.execute_notebook("in.ipynb", "out.ipynb", {"value": value}, progress_bar=False)
    record = json.loads(pathlib.Path("out.ipynb").read_text())["metadata"]["papermill"]["parameters"]["value"]
    seen = f"{notebook.cells[-1].outputs[0].text.strip()} {record}"
    print(value, seen)
    changed = changed or seen != expected
sys.exit(changed)
PYTHON
cd "$folder"
HOME="$folder" PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" -W ignore run.py 2>"$folder/log"
