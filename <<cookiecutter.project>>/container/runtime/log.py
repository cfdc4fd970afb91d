"""The log of a job: one line for each event, with fields as `key=value`."""

from typing import Any


def log(event: str, **fields: Any) -> None:
    """Print an event and its fields in one line."""
    line = " ".join([event, *(f"{name}={_text(value)}" for name, value in fields.items())])
    print(line, flush=True)  # noqa: T201 - the log of a job is its output


def _text(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())
    return f"'{text}'" if " " in text else text
