#!/usr/bin/env bash
# polars reads a CSV column with "nan", as Python and numpy write it, as text or as numbers, by the place of that cell.
#
# The type is inferred from the first 100 rows, and there only "NaN" counts as a number, as do "inf" and "-inf". Past
# those rows the column is Float64, whose parser takes "nan" as well. So the same measurements, sorted otherwise, are a
# column of texts, and "nan" is one of them. "NaN", which polars itself writes, is a number in both places.
#
# Seen with polars 2.1.0, numpy 2.4.6, Python 3.11, for 200 rows that numpy.savetxt wrote, one of them without a value:
#   nan in row 5: String
#   nan in row 150: Float64, 1 of them NaN
#   NaN in row 5: Float64, 1 of them NaN
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check polars==2.1.0 numpy==2.4.6
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy
import polars


def written(row: int) -> str:
    """Return the CSV of 200 numbers, the one of this row missing."""
    values = numpy.arange(200) / 8
    values[row] = numpy.nan
    file = io.StringIO()
    numpy.savetxt(file, values, fmt="%.3f", header="level", comments="")
    return file.getvalue()


for word, row in (("nan", 5), ("nan", 150), ("NaN", 5)):
    column = polars.read_csv(written(row).replace("nan", word).encode())["level"]
    count = f", {column.is_nan().sum()} of them NaN" if column.dtype == polars.Float64 else ""
    print(f"{word} in row {row}: {column.dtype}{count}")
PYTHON
)
echo "$seen"
[ "$seen" = "$(printf '%s\n' 'nan in row 5: String' 'nan in row 150: Float64, 1 of them NaN' \
    'NaN in row 5: Float64, 1 of them NaN')" ]
