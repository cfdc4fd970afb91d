#!/usr/bin/env bash
# pyarrow reads a CSV column of texts such as 0xff as whole numbers, and the upper half of 64 bits as negative ones.
#
# Its documentation says that a column's type is inferred, as null, whole number, boolean, date and so on, and does not
# speak of hexadecimal. Hashes and device addresses are written like this. Read and written again, the text is gone, and
# which columns turn into numbers depends on their rows: one cell of 17 digits, or one decimal, keeps all as text.
# pandas and polars read text from the same bytes.
#
# Seen with pyarrow 25.0.1, polars 2.1.0, pandas 3.1.1, Python 3.11:
#   pyarrow [255, -1]
#   pyarrow, with a longer cell ['0xff', '0xffffffffffffffff', '0x10000000000000000']
#   polars ['0xff', '0xffffffffffffffff']
#   pandas ['0xff', '0xffffffffffffffff']
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check pyarrow==25.0.1 polars==2.1.0 pandas==3.1.1
cat > "$folder/read.py" <<'PYTHON'
import io
import sys

import pandas
import polars
from pyarrow import csv

CELLS = ["0xff", "0xffffffffffffffff"]
LONGER = [*CELLS, "0x10000000000000000"]


def text(cells):
    return "\n".join(["hash", *cells, ""]).encode()


seen = {
    "pyarrow": csv.read_csv(io.BytesIO(text(CELLS)))["hash"].to_pylist(),
    "pyarrow, with a longer cell": csv.read_csv(io.BytesIO(text(LONGER)))["hash"].to_pylist(),
    "polars": polars.read_csv(text(CELLS))["hash"].to_list(),
    "pandas": pandas.read_csv(io.BytesIO(text(CELLS)))["hash"].tolist(),
}
for name, cells in seen.items():
    print(name, cells)
sys.exit(list(seen.values()) != [[255, -1], LONGER, CELLS, CELLS])
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
