"""The README tells of every field of a local run's report, and of no other."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def fields(schema: dict[str, Any]) -> dict[str, set[str]]:
    """Return the report's fields, each with those that it has itself."""
    inner = {name: content.get("items", content) for name, content in schema["properties"].items()}
    return {name: set(content.get("properties", ())) for name, content in inner.items()}


def told(readme: str) -> dict[str, set[str]]:
    """Return the fields of the table below the heading."""
    _, _, chapter = readme.partition("## The report\n")
    rows = re.findall(r"^\| `(\w+)(?:\[\])?` \| (.*) \|$", chapter.partition("\n## ")[0], re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)(?:\[\])?`", text)) for name, text in rows}


def test_the_readme_tells_of_each_field() -> None:
    """Who reads the report by a program finds all of it."""
    schema = json.loads((ROOT / "local" / "report.schema.json").read_text(encoding="utf-8"))
    assert told((ROOT / "README.md").read_text(encoding="utf-8")) == fields(schema)


def test_a_field_that_is_left_out_is_seen() -> None:
    """Both ways."""
    table = (
        "## The report\n| `loop[]` | `event` and `at[]` |\n| `metrics` | numbers |\n## Next\n| `no` | x |\n"
    )
    assert told(table) == {"loop": {"event", "at"}, "metrics": set()}
