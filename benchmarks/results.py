"""The number of rounds of the benchmarks, and the file of their figures, build/bench.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

ROUNDS = int(os.environ.get("ROUNDS", "5"))
FILE = Path(__file__).resolve().parent.parent / "build" / "bench.json"


def record(**parts: Any) -> None:
    """Replace the given keys of the file, and keep the others."""
    FILE.parent.mkdir(exist_ok=True)
    known = json.loads(FILE.read_bytes()) if FILE.exists() else {}
    FILE.write_text(json.dumps({**known, **parts}, indent=2) + "\n", encoding="utf-8")
