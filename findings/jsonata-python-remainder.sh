#!/usr/bin/env bash
# jsonata-python cuts the remainder of decimals to a whole number, so each number passes for a multiple of 1.
#
# JSONata's % is documented as the remainder, and its own implementation (jsonata 2.0.6 for JavaScript) gives 1.5 for
# 5.5 % 2, and false for 7.5 % 1 = 0. An emulator of state machines that evaluates with this package takes the other
# branch of a Choice that asks for whole numbers, without an error. Division and $floor give it rightly. A whole
# number of 16 digits, such as microseconds since 1970, becomes a power of ten in a text; JSONata itself writes digits.
#
# Seen with jsonata-python 0.7.1, Python 3.11, as expression, input and result:
#   level % 2 {'level': 5.5} 1
#   level % 1 = 0 {'level': 7.5} True
#   level - 2 * $floor(level / 2) {'level': 5.5} 1.5
#   "run-" & at {'at': 1767225600000} run-1767225600000
#   "run-" & at {'at': 1767225600000000} run-1.7672256e+15
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check jsonata-python==0.7.1
cat > "$folder/evaluate.py" <<'PYTHON'
import sys

from jsonata import Jsonata

CASES = [
    ("level % 2", {"level": 5.5}, 1),
    ("level % 1 = 0", {"level": 7.5}, True),
    ("level - 2 * $floor(level / 2)", {"level": 5.5}, 1.5),
    ('"run-" & at', {"at": 1767225600000}, "run-1767225600000"),
    ('"run-" & at', {"at": 1767225600000000}, "run-1.7672256e+15"),
]
changed = False
for expression, data, expected in CASES:
    seen = Jsonata.jsonata(expression).evaluate(data)
    print(expression, data, seen)
    changed = changed or seen != expected
sys.exit(changed)
PYTHON
"$folder/venv/bin/python" "$folder/evaluate.py"
