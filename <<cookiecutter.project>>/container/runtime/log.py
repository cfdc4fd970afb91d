"""Facts for the job's log: one line each, `key=value`."""

from typing import Any


def log(event: str, **facts: Any) -> None:
    """Print one line: what happened, then the facts of it."""
    line = " ".join([event, *(f"{name}={_text(value)}" for name, value in facts.items())])
    print(line, flush=True)  # noqa: T201  the log of a job is its output


def _text(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())
    return f"'{text}'" if " " in text else text
