#!/usr/bin/env bash
# nbclient runs on after exit() in a notebook: the rest of the cell, the next cell, and the others if they are quick.
#
# A notebook that checks its data and ends by exit() is expected to stop there, as a script does; sys.exit() does stop.
# exit() and quit() only ask the kernel to end 0.1 s later, and what arrives until then is run. Where the rest of the
# notebook takes longer, execute() raises DeadKernelError in a later cell; where it is quick, the notebook succeeds.
#
# Seen with nbclient 0.11.0, ipykernel 7.4.0, nbformat 5.11.1, Python 3.11, for three cells:
#   exit, quick: succeeds, printed: rest of the cell, next cell, last cell
#   exit, slow: DeadKernelError, printed: rest of the cell, next cell
#   sys.exit: CellExecutionError, printed:
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check \
    nbclient==0.11.0 ipykernel==7.4.0 nbformat==5.11.1
cat > "$folder/run.py" <<'PYTHON'
import sys

from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook


def outcome(stop, seconds):
    """Return how the execution ended, and the lines printed before."""
    cells = [
        f"import sys, time\n{stop}\nprint('rest of the cell')",
        f"print('next cell')\ntime.sleep({seconds})",
        "print('last cell')",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    try:
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
        ended = "succeeds"
    except Exception as error:
        ended = type(error).__name__
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    lines = [output.text.strip() for output in outputs if output.get("name") == "stdout"]
    return f"{ended}, printed: {', '.join(lines)}"


CASES = {
    "exit, quick": ("exit()", 0, "succeeds, printed: rest of the cell, next cell, last cell"),
    "exit, slow": ("exit()", 1, "DeadKernelError, printed: rest of the cell, next cell"),
    "sys.exit": ("sys.exit()", 0, "CellExecutionError, printed: "),
}
changed = False
for name, (stop, seconds, expected) in CASES.items():
    for _ in range(5):  # on a busy machine, the kernel can end before a quick cell arrives
        seen = outcome(stop, seconds)
        if seen == expected:
            break
    print(f"{name}: {seen}")
    changed = changed or seen != expected
sys.exit(changed)
PYTHON
HOME="$folder" PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" "$folder/run.py" 2>"$folder/log"
