#!/usr/bin/env bash
# The SageMaker SDK's CSVSerializer sends a list as one row, but a list that begins with a text as a row for each cell.
#
# A text can be indexed, as a list can, so a row that begins with a text is taken for a list of rows. A row of texts
# becomes a column, a comma in a cell starts a new column since nothing is quoted, and a row of text and numbers is
# refused. With a number or None at its beginning, or as a tuple, the same row is right, and so is a list of one row.
#
# Seen with sagemaker-core 2.27.0 (of sagemaker 3.27.0), Python 3.11:
#   [3, 'red', 'M, wide'] -> '3,red,"M, wide"'
#   ['red', '3', 'M, wide'] -> 'red\n3\nM, wide'
#   ('red', '3', 'M, wide') -> 'red,3,"M, wide"'
#   [['red', '3', 'M, wide']] -> 'red,3,"M, wide"'
#   ['red', 3, 'M, wide'] -> ValueError
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check sagemaker-core==2.27.0
cat > "$folder/serialize.py" <<'PYTHON'
import sys

from sagemaker.core.serializers import CSVSerializer

ROW, QUOTED = ["red", "3", "M, wide"], 'red,3,"M, wide"'
CASES = [
    ([3, "red", "M, wide"], '3,red,"M, wide"'),
    (ROW, "red\n3\nM, wide"),
    (tuple(ROW), QUOTED),
    ([ROW], QUOTED),
    (["red", 3, "M, wide"], None),
]
changed = False
for row, expected in CASES:
    try:
        seen = CSVSerializer().serialize(row)
    except ValueError:
        seen = None
    print(row, "->", "ValueError" if seen is None else repr(seen))
    changed = changed or seen != expected
sys.exit(changed)
PYTHON
cd "$folder"
env -i PATH="$PATH" HOME="$folder" TMPDIR="$folder" "$folder/venv/bin/python" -W ignore serialize.py
