"""List the phrases that the style guide avoids, with their places: `make phrases`.

docs/style.md has a plain form for each phrase.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 40
# Texts of others, and the pages that quote the phrases.
LEFT_OUT = re.compile(r"\.(txt|whl)$|^LICENSE$|^docs/style\.md$|^scripts/phrases\.py$")
PHRASES = re.compile(
    r"\b(?:is|are) no\b(?! longer| more)|\btells (?:that|of|which)\b|\btold\b|\bstands\b"
    r"|\bwhoever\b|\bso many\b|\bheld against\b|\bgoes on\b|\bof pictures\b",
    re.IGNORECASE,
)
OPENINGS = ("What", "How", "Where", "Which", "Who", "Whether")


class Place(NamedTuple):
    """A phrase, and the line of a file that has it."""

    file: str
    line: int
    phrase: str


def tracked() -> list[str]:
    """Return the paths of the repository's text files, relative to its root."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split("\0") if name and not LEFT_OUT.search(name)]


def phrases(name: str, text: str) -> Iterator[Place]:
    """Find the phrases of a file."""
    for number, line in enumerate(text.splitlines(), start=1):
        for match in PHRASES.finditer(line):
            yield Place(name, number, match[0])


def opening(name: str, text: str) -> Iterator[Place]:
    """Find the first word of a module's docstring, where it is one of OPENINGS."""
    summary = ast.get_docstring(ast.parse(text)) or ""
    if summary.split(maxsplit=1)[:1] and summary.split(maxsplit=1)[0] in OPENINGS:
        yield Place(name, 1, f"docstring: {summary.splitlines()[0]}")


def places() -> list[Place]:
    """Return all places, sorted by file."""
    found: list[Place] = []
    for name in tracked():
        path = ROOT / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        found += phrases(name, text)
        if name.endswith(".py") and "<< cookiecutter" not in text:
            found += opening(name, text)
    return found


def main() -> int:
    """Print the places and their number; return 1 when there are more than LIMIT."""
    found = places()
    for place in found:
        sys.stdout.write(f"{place.file}:{place.line}: {place.phrase}\n")
    sys.stdout.write(f"{len(found)} phrases, of which {LIMIT} may remain\n")
    return int(len(found) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
