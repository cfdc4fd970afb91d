"""The README describes every field of a local run's report, and no other."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def fields(schema: dict[str, Any]) -> dict[str, set[str]]:
    """Return the fields of the report, each with its own fields."""
    inner = {name: content.get("items", content) for name, content in schema["properties"].items()}
    return {name: set(content.get("properties", ())) for name, content in inner.items()}


def described(readme: str) -> dict[str, set[str]]:
    """Return the fields in the table below the heading."""
    _, _, chapter = readme.partition("## The report\n")
    rows = re.findall(r"^\| `(\w+)(?:\[\])?` \| (.*) \|$", chapter.partition("\n## ")[0], re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)(?:\[\])?`", text)) for name, text in rows}


def test_the_readme_describes_each_field() -> None:
    """A person who writes a program for the report finds all of its fields."""
    schema = json.loads((ROOT / "local" / "report.schema.json").read_text(encoding="utf-8"))
    assert described((ROOT / "README.md").read_text(encoding="utf-8")) == fields(schema)


def test_a_missing_field_is_noticed() -> None:
    """The comparison finds a field that is missing on either side."""
    table = (
        "## The report\n| `loop[]` | `event` and `at[]` |\n| `metrics` | numbers |\n## Next\n| `no` | x |\n"
    )
    assert described(table) == {"loop": {"event", "at"}, "metrics": set()}
