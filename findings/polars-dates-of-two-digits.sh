#!/usr/bin/env bash
# polars' try_parse_dates takes 31/12/26 for a date of the year 26, and the day for the first number.
#
# The documentation promises most forms that are like ISO 8601 and a handful of others; a form that is not known stays
# text, as 12/31/26 does. So a column of dates without the century is read without a warning, 2,000 years early: days
# between two of them are right, while joins and filters by date find nothing. pandas reads the same cells in this
# century, and the month first where that is possible, so the two libraries also disagree on 01/02/2026.
#
# Seen with polars 2.1.0, pandas 3.1.1, Python 3.11, as cell, polars and pandas:
#   31/12/26 0026-12-31 2026-12-31
#   01/02/26 0026-02-01 2026-01-02
#   12/31/26 text 2026-12-31
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check polars==2.1.0 pandas==3.1.1
seen=$("$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io

import pandas
import polars

for cell in ("31/12/26", "01/02/26", "12/31/26"):
    file = f"day\n{cell}\n".encode()
    value = polars.read_csv(file, try_parse_dates=True)["day"][0]
    day = pandas.read_csv(io.BytesIO(file), parse_dates=["day"])["day"][0]
    print(cell, "text" if value == cell else value.isoformat(), day.date().isoformat())
PYTHON
)
echo "$seen"
[ "$seen" = "$(printf '%s\n' '31/12/26 0026-12-31 2026-12-31' '01/02/26 0026-02-01 2026-01-02' \
    '12/31/26 text 2026-12-31')" ]
