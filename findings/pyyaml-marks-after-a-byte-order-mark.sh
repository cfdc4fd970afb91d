#!/usr/bin/env bash
# PyYAML's two loaders give different positions for the same node of a text that begins with a byte order mark.
#
# `start_mark.index` and `end_mark.index` are documented as positions in the stream. A program that replaces a value in
# its place, and keeps all other text, cuts the text there. The loader in Python counts the mark at the beginning; the
# loader of libyaml, which is the same call with another class, does not, so that each cut is one character early.
#
# Seen with PyYAML 6.0.3, Python 3.11, for the text "\ufeffpath: code\n":
#   SafeLoader   7 code
#   CSafeLoader  6  cod
#
# Ends 0 while this is so, and 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq --disable-pip-version-check PyYAML==6.0.3
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import yaml

TEXT = "\ufeffpath: code\n"
for loader in (yaml.SafeLoader, yaml.CSafeLoader):
    ((_, value),) = yaml.compose(TEXT, Loader=loader).value
    print(loader.__name__, value.start_mark.index, TEXT[value.start_mark.index : value.end_mark.index])
PYTHON
)
echo "$seen"
[ "$seen" = "$(printf 'SafeLoader 7 code\nCSafeLoader 6  cod')" ]
