"""The meaning of a cell's text: missing, a number, a date or a label.

Only the standard library is imported, since the project's commands on a laptop read labels by the same rules.
The patterns mean the same to Python and to polars, so that `tables` reads whole columns by them.
"""

import itertools
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property, lru_cache
from types import MappingProxyType

BLANKS = " \t\r\n\x0b\x0c"
BOOLEANS = frozenset({"true", "false"})
BOOLEAN_PAIRS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"), ("0", "1"))
TRUTH: Mapping[str, bool] = MappingProxyType(
    {word: bool(value) for pair in BOOLEAN_PAIRS for value, word in enumerate(pair)}
)


def in_any_case(*words: str) -> frozenset[str]:
    """Return every spelling of some words in upper and lower case."""
    # All spellings, since a lookup takes a tenth of the time of changing the case of every cell.
    return frozenset(
        "".join(spelling)
        for word in words
        for spelling in itertools.product(*((letter.lower(), letter.upper()) for letter in word))
    )


FIRST_MISSING = frozenset({"", "?", "NA", "N/A"}) | in_any_case("nan", "null")  # of schemas without "reading"
MISSING = (
    FIRST_MISSING
    | in_any_case("n/a", "<na>")
    | {"None", "NaT", "-NaN", "-nan", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"}  # pandas
    | {"#N/A", "#N/A N/A", "#NA", "#n/a", "#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!"}  # Excel
    | {"#GETTING_DATA", "#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#UNKNOWN!", "#CONNECT!"}  # Excel
    | {"\\N", "(null)", "[NULL]", "0000-00-00", "0000-00-00 00:00:00"}  # MySQL, Hive and their clients
    | {"-", "--", ".", "..", "\u2013", "\u2014"}  # statistical offices
)

SPACES = " \u00a0\u2009\u202f"  # within and around numbers
_SPACES = f"[{SPACES}]"
_GROUPS = {"": "", ",": ",", ".": r"\.", " ": _SPACES, "'": "['\u2019]"}
PARENTHESES, MINUS = r"^\((.*)\)$", "\u2212"


@dataclass(frozen=True)
class Reading:
    """Hold the version of the rules by which a schema's cells are read, and its own words for "missing"."""

    version: int = 2
    words: tuple[str, ...] = ()

    @cached_property
    def missing(self) -> frozenset[str]:
        """Return every text that means a missing value."""
        return FIRST_MISSING if self.version == 1 else MISSING.union(self.words)

    @cached_property
    def numbers(self) -> frozenset[float]:
        """Return the numbers that mean a missing value, in every spelling."""
        return numbers_in(self.missing)

    def is_missing(self, text: str, style: "NumberFormat | None" = None) -> bool:
        """Return whether a stripped cell of a column with a number format is a missing value."""
        if text in self.missing or not self.numbers:
            return text in self.missing
        return number(text) in self.numbers or number(text, style) in self.numbers

    def spell_moment(self, text: str) -> str:
        """Return an ISO time in one spelling, or as it is where that spelling means a missing value."""
        spelled = spell_moment(text)
        return text if spelled in self.missing else spelled


@dataclass(frozen=True)
class NumberFormat:
    """Hold how the numbers of a column are written: the decimal mark, the grouping mark and the sign.

    The sign is a currency, a unit or "%", before or after the number, and may be absent: 12% is 12.
    A number in parentheses is negative. A plain number is read too, where its decimal mark is the column's.
    """

    decimal: str = "."
    group: str = ""  # ",", ".", "'" or " ", which is any space
    sign: str = ""

    @cached_property
    def affix(self) -> str:
        """Return the pattern of the sign, whose first group is what stays."""
        sign = re.escape(self.sign).replace(r"\ ", " ")
        return f"^([+-]?){sign}{_SPACES}?|{_SPACES}?{sign}$"

    @cached_property
    def digits(self) -> str:
        """Return the pattern of a number without its sign."""
        mark = _GROUPS[self.group]
        lakhs = "(?:,[0-9]{2,3})*" if self.group == "," else f"(?:{mark}[0-9]{{3}})*"
        grouped = f"[1-9][0-9]{{0,2}}{lakhs}{mark}[0-9]{{3}}|" if mark else ""
        return rf"^[+-]?(?:{grouped}[0-9]*)(?:{re.escape(self.decimal)}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"

    @cached_property
    def group_pattern(self) -> str:
        """Return the pattern of the grouping mark, or nothing."""
        return _GROUPS[self.group]

    def plain(self, text: str) -> str | None:
        """Return a number as Python spells it, or None for another text."""
        text = re.sub(PARENTHESES, r"-\1", text.strip(SPACES)).replace(MINUS, "-")
        if self.sign:
            text = re.sub(self.affix, r"\1", text, count=1)
        if re.fullmatch(self.digits, text) is None:  # its $ is before a line break too
            return None
        text = re.sub(self.group_pattern, "", text) if self.group else text
        return text.replace(self.decimal, ".")

    def spell(self, plain: str) -> str:
        """Return a plain number as this format reads it."""
        return plain.replace(".", self.decimal)


def is_missing(text: str) -> bool:
    """Return whether a stripped cell is a missing value."""
    return text in MISSING


def number(text: str, style: NumberFormat | None = None) -> float | None:
    """Return a stripped cell as a number, or None; infinity and overflow are infinite numbers."""
    if style is not None:
        value = number(text) if style.decimal == "." else None
        plain = style.plain(text) if value is None else None
        return value if plain is None else number(plain)
    try:
        value = float(text)
    except ValueError:
        return None
    # Python also reads 1_000 and other alphabets' digits, which no other reader of the same table does.
    return None if math.isnan(value) or "_" in text or not text.isascii() else value


@lru_cache(maxsize=8)
def numbers_in(words: frozenset[str]) -> frozenset[float]:
    """Return the numbers among some words."""
    return frozenset(value for value in map(number, words) if value is not None)


# Of equal formats the first decides: the American one for a column whose days could all be months.
_DAY, _MONTH = "(?P<d>[0-9]{1,2})", "(?P<m>[0-9]{1,2})"
_YEAR, _SHORT_YEAR, _NAME = "(?P<y>[0-9]{4})", "(?P<y>[0-9]{2})", r"(?P<b>[A-Za-z]{3,9})\.?"
_DATES = {
    "iso8601": "(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})",
    "yyyy-m-d": f"{_YEAR}-{_MONTH}-{_DAY}",
    "yyyy/mm/dd": f"{_YEAR}/{_MONTH}/{_DAY}",
    "mm/dd/yyyy": f"{_MONTH}/{_DAY}/{_YEAR}",
    "dd/mm/yyyy": f"{_DAY}/{_MONTH}/{_YEAR}",
    "mm/dd/yy": f"{_MONTH}/{_DAY}/{_SHORT_YEAR}",
    "dd/mm/yy": f"{_DAY}/{_MONTH}/{_SHORT_YEAR}",
    "yy/mm/dd": f"{_SHORT_YEAR}/{_MONTH}/{_DAY}",
    "mm-dd-yyyy": f"{_MONTH}-{_DAY}-{_YEAR}",
    "dd-mm-yyyy": f"{_DAY}-{_MONTH}-{_YEAR}",
    "dd.mm.yyyy": rf"{_DAY}\.{_MONTH}\.{_YEAR}",
    "dd.mm.yy": rf"{_DAY}\.{_MONTH}\.{_SHORT_YEAR}",
    "yy.mm.dd": rf"{_SHORT_YEAR}\.{_MONTH}\.{_DAY}",
    "dd-mmm-yyyy": f"{_DAY}[- /]{_NAME}[- /]{_YEAR}",
    "dd-mmm-yy": f"{_DAY}[- /]{_NAME}[- /]{_SHORT_YEAR}",
    "mmm dd, yyyy": f"{_NAME} {_DAY},? {_YEAR}",
    "yyyymmdd": "(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})",
}
_TIME = (
    r"(?:(?:T|,? )(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,9}))?)?"
    r"(?: ?(?P<p>[AaPp])[Mm])?(?P<z> ?(?:Z|UTC|GMT)| ?[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
ISO, DIGITS_ONLY = "iso8601", "yyyymmdd"  # what every format reads too, and whose dates are numbers too
DATE_PATTERNS: Mapping[str, str] = {style: f"^{date}{_TIME}$" for style, date in _DATES.items()}
DATE_FORMATS = tuple(style for style in _DATES if style != DIGITS_ONLY)
_COMPILED = {style: re.compile(pattern) for style, pattern in DATE_PATTERNS.items()}
_NAMES = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTHS = {name[:size]: at for at, name in enumerate(_NAMES, 1) for size in (3, len(name))} | {"sept": 9}
_NEXT_CENTURY = 69  # two digits from here on are a year of the twentieth century, as for POSIX and Python
_NOON = 12


def parse_timestamp(text: str, style: str) -> float | None:
    """Return a date or a time in a format of DATE_PATTERNS or in ISO as seconds since 1970 in UTC, or None.

    ISO dates are those of typed columns, and no format reads them as other days.
    """
    match = _COMPILED[style].fullmatch(text) or _COMPILED[ISO].fullmatch(text)
    return _moment(match) if match else None


def _moment(match: re.Match[str]) -> float | None:
    part = match.groupdict()
    year = int(part["y"])
    if len(part["y"]) == 2:  # noqa: PLR2004 - digits
        year += 1900 if year >= _NEXT_CENTURY else 2000
    month = _MONTHS.get(part["b"].lower(), 0) if "b" in part else int(part["m"])
    hour, minute, second = (int(part[unit] or 0) for unit in "HMS")
    if part["p"]:
        if not 1 <= hour <= _NOON:
            return None
        hour = hour % _NOON + _NOON * (part["p"] in "Pp")
    micros = int((part["f"] or "").ljust(6, "0")[:6])
    try:
        zone = _zone(part["z"] or "")
        return datetime(year, month, int(part["d"]), hour, minute, second, micros, zone).timestamp()
    except ValueError:
        return None


def _zone(text: str) -> timezone:
    digits = re.sub("[^0-9]", "", text)
    if not digits:
        return UTC
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return timezone(-offset if "-" in text else offset)


EXACT = 2.0**53  # below it every whole number has a float of its own


# A time as programs write one with a type of its own: its day, its time, its fraction and its offset.
MOMENT = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.0+|(\.[0-9]*[1-9])0*)?(?:([+-][0-9]{2}):?([0-9]{2}))?$"
)
MIDNIGHT = "T00:00:00"
_COMPILED_MOMENT, _COMPILED_DAY = re.compile(MOMENT), re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def spell_moment(text: str) -> str:
    """Return an ISO time without trailing zeros, and midnight as its day; other texts as they are."""
    found = _COMPILED_MOMENT.fullmatch(text)
    if not found:
        return text
    day, *rest = (part or "" for part in found.groups())
    return f"{day}T{''.join(rest)}".removesuffix(MIDNIGHT)


def is_moment(text: str) -> bool:
    """Return whether a text is an ISO day or an ISO time, which has several spellings."""
    return _COMPILED_MOMENT.fullmatch(text) is not None or _COMPILED_DAY.fullmatch(text) is not None


def label_key(text: str) -> str:
    """Return the spelling by which labels are equal: 1 for 1, 1.0, 01 and 1e0; for others `spell_moment`."""
    value = number(text)
    if value is None or math.isinf(value):
        return spell_moment(text)
    if abs(value) < EXACT:
        return str(int(value)) if value.is_integer() else repr(value)
    exact = Decimal(text)  # a float would lose digits beyond its 53 bits
    return str(int(exact)) if exact == exact.to_integral_value() else str(exact)


def pairs_in(words: Collection[str]) -> list[tuple[str, str]]:
    """Return the pairs of booleans of which both are among some words in lower case."""
    return [pair for pair in BOOLEAN_PAIRS if set(pair) <= set(words)]


def spelled_pair(words: Collection[str]) -> tuple[str, ...]:
    """Return the words in lower case that may be written in any case: of the only pair, or the only word.

    Where other words than booleans are there too, or two pairs, there are none.
    """
    pairs = pairs_in(words)
    if not TRUTH.keys() >= set(words) or len(pairs) > 1:
        return ()
    return pairs[0] if pairs else tuple(words) * (len(words) == 1)


class Labels:
    """Find a class or category by a text: as written, of the same number, or of the same truth value.

    Words of other pairs of booleans are found only where the labels are a pair and nothing else.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.codes = {text: code for code, text in enumerate(texts)}
        self._keys: dict[str, int] = {}
        folded = [label_key(text).lower() for text in self.codes]
        for text, code in self.codes.items():
            self._keys.setdefault(label_key(text), code)
        once = [word for word in spelled_pair(set(folded)) if folded.count(word) == 1]
        self._words = {word: folded.index(word) for word in once}
        if len(once) == len(folded) == 2:  # noqa: PLR2004 - a pair
            truths = {TRUTH[word]: code for word, code in self._words.items()}
            self._words = {word: truths[truth] for word, truth in TRUTH.items()}

    @property
    def are_booleans(self) -> bool:
        """Return whether the labels are a pair of booleans, which any other pair's words find too."""
        return len(self._words) == len(TRUTH)

    def find(self, text: str) -> int | None:
        """Return the code of a stripped text, or None."""
        code = self.codes.get(text)
        if code is not None:
            return code
        key = label_key(text)
        code = self._keys.get(key)
        return self._words.get(key.lower()) if code is None and self._words else code
