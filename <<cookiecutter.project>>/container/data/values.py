"""The meaning of a cell's text: missing, a number or a date.

Only the standard library is imported, since the project's commands on a laptop read labels by the same rule.
"""

import math
import re
from datetime import UTC, datetime

BLANKS = " \t\r\n\x0b\x0c"
MISSING_EXACT = frozenset({"", "?", "NA", "N/A"})
MISSING_FOLDED = frozenset({"nan", "null"})
BOOLEANS = frozenset({"true", "false"})

# The order decides for a column whose days could all be months: the American format comes first.
_TIME = r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_PATTERNS = {
    "iso8601": re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?P<t>" + _TIME + ")", re.ASCII),
    "yyyy/mm/dd": re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})(?P<t>" + _TIME + ")", re.ASCII),
    "mm/dd/yyyy": re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
    "dd/mm/yyyy": re.compile(r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
    "dd.mm.yyyy": re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
}
DATE_FORMATS = tuple(_PATTERNS)


def is_missing(text: str) -> bool:
    """Return whether a stripped cell is a missing value; the one rule for files, requests and labels."""
    return text in MISSING_EXACT or (len(text) <= 4 and text.lower() in MISSING_FOLDED)  # noqa: PLR2004 - quick


def number(text: str) -> float | None:
    """Return a stripped cell as a number, or None; infinity and overflow are infinite numbers."""
    try:
        value = float(text)
    except ValueError:
        return None
    # Python also reads 1_000 and other alphabets' digits, which no other reader of the same table does.
    return None if math.isnan(value) or "_" in text or not text.isascii() else value


def parse_timestamp(text: str, style: str) -> float | None:
    """Return a date or a time in one of DATE_FORMATS as seconds since 1970 in UTC, or None."""
    match = _PATTERNS[style].fullmatch(text)
    if match is None:
        return None
    year, month, day, time = match["y"], match["m"].zfill(2), match["d"].zfill(2), match["t"]
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}{time}")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
