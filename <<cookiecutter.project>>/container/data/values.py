"""What a cell's text means: missing, a number or a date."""

import math
import re
from datetime import UTC, datetime

BLANKS = " \t\r\n\x0b\x0c"
MISSING_EXACT = frozenset({"", "?", "NA", "N/A"})
MISSING_FOLDED = frozenset({"nan", "null"})
BOOLEANS = frozenset({"true", "false"})

# The order settles a column whose days could all be months: the American reading comes first.
_TIME = r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_SHAPES = {
    "iso8601": re.compile(r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?P<t>" + _TIME + ")", re.ASCII),
    "yyyy/mm/dd": re.compile(r"(?P<y>\d{4})/(?P<m>\d{1,2})/(?P<d>\d{1,2})(?P<t>" + _TIME + ")", re.ASCII),
    "mm/dd/yyyy": re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
    "dd/mm/yyyy": re.compile(r"(?P<d>\d{1,2})/(?P<m>\d{1,2})/(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
    "dd.mm.yyyy": re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})(?P<t>" + _TIME + ")", re.ASCII),
}
DATE_FORMATS = tuple(_SHAPES)


def is_missing(text: str) -> bool:
    """Tell whether a stripped cell stands for no value."""
    return text in MISSING_EXACT or (len(text) <= 4 and text.lower() in MISSING_FOLDED)  # noqa: PLR2004


def number(text: str) -> float | None:
    """Read a stripped cell as a number, else None; infinity and overflow are infinite numbers."""
    try:
        value = float(text)
    except ValueError:
        return None
    # Python also reads 1_000 and other alphabets' digits, which no other reader of the same table does.
    return None if math.isnan(value) or "_" in text or not text.isascii() else value


def parse_timestamp(text: str, style: str) -> float | None:
    """Read a date or a time of one of DATE_FORMATS as seconds since 1970 in UTC, else None."""
    found = _SHAPES[style].fullmatch(text)
    if found is None:
        return None
    year, month, day, clock = found["y"], found["m"].zfill(2), found["d"].zfill(2), found["t"]
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day}{clock}")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
