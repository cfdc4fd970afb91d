"""The option `--json` of the commands, and what it prints."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def print_json(
    content: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> None:
    """Print content for programs; `default` returns for what JSON does not have what it has."""
    sys.stdout.write(f"{json.dumps(content, indent=indent, ensure_ascii=False, default=default)}\n")
    sys.stdout.flush()
