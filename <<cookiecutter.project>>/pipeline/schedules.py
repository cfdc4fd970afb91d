"""The schedule expressions of EventBridge Scheduler, checked before the deployment of a stack would fail."""

from __future__ import annotations

import re

from pipeline.rules import Rule


def cron_field(value: str, *special: str) -> re.Pattern[str]:
    """Match a field of a cron: values, ranges and steps between commas, or what only this field may have."""
    item = rf"(\*|({value})(-({value}))?)(/[1-9]\d*)?"
    return re.compile("|".join([f"{item}(,{item})*", *special]))


MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
WEEKDAYS = "[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT"
DAYS = "0?[1-9]|[12][0-9]|3[01]"
CRON_FIELDS = (  # minutes, hours, day of the month, month, day of the week, year
    cron_field("[0-5]?[0-9]"),
    cron_field("[01]?[0-9]|2[0-3]"),
    cron_field(DAYS, r"\?", "L", "LW", f"({DAYS})W"),
    cron_field(f"0?[1-9]|1[0-2]|{MONTHS}"),
    cron_field(WEEKDAYS, r"\?", "L", f"({WEEKDAYS})L", f"({WEEKDAYS})#[1-5]"),
    cron_field("19[7-9][0-9]|2[01][0-9]{2}"),
)
CRON_DESCRIPTION = (
    "a cron of six fields (minutes, hours, day of the month, month, day of the week, year;"
    " one of the two days is ?)"
)
RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")
ONE_TIME = re.compile(
    r"at\([0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\)"
)


def cron() -> Rule:
    """Accept a cron."""
    return Rule(
        f"{CRON_DESCRIPTION} of EventBridge Scheduler",
        lambda value: isinstance(value, str) and is_cron(value),
    )


def schedule() -> Rule:
    """Accept a cron, a rate and a time."""
    return Rule(
        f"{CRON_DESCRIPTION}, a rate such as rate(7 days) or a time such as at(2030-01-31T12:00:00)"
        " of EventBridge Scheduler",
        lambda value: isinstance(value, str) and is_schedule(value),
    )


def is_schedule(value: str) -> bool:
    """Tell whether EventBridge Scheduler takes the text as a cron, a rate or a time."""
    return is_cron(value) or bool(RATE.fullmatch(value) or ONE_TIME.fullmatch(value))


def is_cron(value: str) -> bool:
    """Tell whether EventBridge Scheduler takes the text as a cron: exactly one of its two days is ?."""
    fields = re.fullmatch(r"cron\((.+)\)", value)
    cells = fields[1].split(" ") if fields else []
    if len(cells) != len(CRON_FIELDS) or [cells[2], cells[4]].count("?") != 1:
        return False
    return all(pattern.fullmatch(cell) for pattern, cell in zip(CRON_FIELDS, cells, strict=True))
