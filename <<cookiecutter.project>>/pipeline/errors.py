"""The error for a setting or an argument that is refused, and the texts that its messages share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


class SettingsError(ValueError):
    """A refused setting or argument: the message names it, its rule and a way out, in one sentence."""


def dotted(section: str, name: str) -> str:
    """Name an entry of a section as TOML does; the section may be empty."""
    return f"{section}.{name}" if section else name


def shortened(value: Any) -> str:
    """Show the first 60 characters of a value as project.toml has it."""
    shown, longest = json.dumps(value, ensure_ascii=False, default=str), 60
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def list_with_is_or_are(names: Collection[str]) -> str:
    """List names for a sentence: "is only a", or "are a, b"."""
    return f"{'is only' if len(names) == 1 else 'are'} {', '.join(names)}"
