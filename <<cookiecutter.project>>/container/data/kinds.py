"""The kind of a column: what nearly all of its cells are that are not missing."""

import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from container.data import tables, values
from container.data.reading import ReadingSettings
from container.data.value_counts import TEXT, TIMES, Texts
from container.data.values import NumberFormat

NUMBER, DATE, BOOLEAN, CODE, LABEL = "numbers", "dates", "booleans", "codes", "text"
NOTABLE = 0.1  # share of the cells from which the report says what else a column could be
MOST = 0.5  # share from which a kind can be set
_SIGNS = ("%", "$", "€", "£", "¥", "₹", "₽", "₩", "₺", "₴", "₪", "₫", "฿", "₦", "US$", "R$", "A$", "C$", "kr")
_CODES = r"zł|Kč|Fr\.|USD|EUR|GBP|JPY|CHF|CAD|AUD|INR|CNY|BRL|SEK|NOK"
_SIGN = f"({'|'.join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True))}|{_CODES})"
_SPACE = f"[{values.SPACES}]?"
_UNIT = r"((?:\p{L}|[°²³/])+\.?(?: \p{L}+)?)"  # kg, m², km/h, sq ft
_BEFORE = rf"{_SIGN}{_SPACE}|(\p{{L}}{{1,3}}\.){_SPACE}|(\p{{L}}{{1,3}})[{values.SPACES}]"
_NUMBER_LIKE = (
    rf"^{_SPACE}\(?[+\u2212-]?(?:{_BEFORE})?[+\u2212-]?[0-9.,].*?(?:{_SPACE}(?:{_SIGN}|{_UNIT}))?\)?{_SPACE}$"
)
_NAMES = ("id", "id.", "no", "no.", "nr", "nr.")  # before numbers that are names
MULTIPLIERS = frozenset({*"kKMBGT", "bn", "Bn", "mn", "Mio", "Mrd", "Tsd", "thousand", "million", "billion"})
_DURATION = r"^-?[0-9]+:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?$"
_YEAR, _NAME = "[0-9]{4}", "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_PART = f"(?:[QWM][0-9]{{1,2}}|{_NAME})"
# A month, quarter or week, such as 2021-01, 1/2021, 2021Q1, Mar 2000 and Jan-20.
MONTH = (
    f"(?i)^(?:{_YEAR}(?:[-/ ][0-9]{{1,2}}|[-/ ]?{_PART})|(?:[0-9]{{1,2}}[-/]|{_PART}[-/ ']*){_YEAR}"
    f"|{_NAME}[-/ ']+[0-9]{{2}})$"
)
_QUANTITY = rf"^[+\u2212-]?[0-9]+(?:[.,][0-9]+)*{_SPACE}{_UNIT}?$"
_DATE_LIKE = (
    r"^(?:[0-9]{1,4}[-/. ][0-9A-Za-z]{1,9}\.?[-/. ][0-9]|[A-Za-z]{3,9}\.? [0-9]|(?:19|20)[0-9]{6}$|99991231$)"
)
PADDED, _DIGITS, _NO_DAY = "^0+[1-9][0-9]*$", "^[0-9]+$", "00000000"  # 0000 is often a missing year
_DAY_NUMBER = rf"^(?:(?:19|20)[0-9]{{6}}|{_NO_DAY}|9999(?:1231|9999))$"
_LATE, _NO_END = datetime(2030, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)  # dates that are guesses
_THOUSANDS = r"^[+-]?(?:0|[1-9][0-9]{0,2}(?:\.[0-9]{3})*)$"
_DOTS = NumberFormat(",", ".")
_PADDED_CELLS, _PADDED_SHARE = 2, 0.01  # that begin with 0, from which digits of several widths are codes
SAMPLE = 100  # rows that show whether the points of plain numbers could separate thousands
_NEARLY = 0.95  # share of the rows of the sample that have this form
_CELL = pl.col(TEXT)
_POINTED = _CELL.str.contains(".", literal=True)


@dataclass(frozen=True)
class Decision:
    """Hold what a column is taken for, how many of its cells fit, and what the report says of that."""

    kind: str
    fits: int
    number_format: NumberFormat | None = None
    date_format: str = ""
    others: frozenset[str] = frozenset()  # texts of a column of dates that are not dates
    near: str = ""  # the kind that most cells of a column of text have
    reason: str = ""
    guess: str = ""
    is_measured: bool = False  # text of numbers with several units or decimal marks, or of durations

    def misfit(self, cell: pl.Expr) -> pl.Expr:
        """Return whether a cell that is not missing does not fit the kind."""
        kind = self.near or self.kind
        if kind == NUMBER:
            return tables.number(cell, self.number_format).is_null()
        if kind == DATE:
            return cell.is_in(sorted(self.others))
        return ~_is_truth(cell) if kind == BOOLEAN else pl.lit(value=False)


def may_be_dates(least: str, greatest: str) -> bool:
    """Return whether plain numbers may be dates, by the first and last of their texts."""
    return any(re.search(_DAY_NUMBER, text) for text in (least, greatest))


def may_be_thousands(sample: pl.DataFrame, missing: Collection[str], fractions: Collection[str]) -> set[str]:
    """Return the columns of a sample whose points may separate thousands: 998 and 1.234.

    `fractions` are the columns that have points below the sample, as sorted numbers have.
    """
    if not sample.height:
        return set()
    matching = sample.select((pl.all().str.contains(_THOUSANDS) | tables.missing(pl.all(), missing)).mean())
    pointed = sample.select(pl.all().str.contains(".", literal=True).any())
    return {
        column.name
        for column in matching
        if column[0] >= _NEARLY and (pointed[column.name][0] or column.name in fractions)
    }


def decide(texts: Texts, settings: ReadingSettings, forced: str = "") -> Decision:
    """Return what a column is taken for: the kind that most of its present cells have, if nearly all have it.

    `forced` is a kind of the settings, "numeric" or "date", and then the only one that is looked at.
    """
    if forced:
        return _number(texts, settings) if forced == "numeric" else _date(texts, settings, 0)
    if clear := _day_numbers(texts, settings) or _code(texts, settings.kind_share):
        return clear
    found = _number(texts, settings), _date(texts, settings), _boolean(texts)
    best = max(found, key=lambda each: each.fits)
    if best.fits >= settings.kind_share * texts.present:
        return replace(best, reason=_describe(best, texts.present))
    if reason := _measured(texts, settings.kind_share):
        return Decision(LABEL, texts.present, reason=reason, is_measured=True)
    if hidden := _hidden(texts, settings, best):
        return replace(hidden, kind=LABEL, near=NUMBER, guess="")
    return replace(
        best, kind=LABEL, near=best.kind, guess="", reason=_describe_near(best, texts.present, settings)
    )


def _day_numbers(texts: Texts, settings: ReadingSettings) -> Decision | None:
    """Return the decision for dates such as 20240131, beside which 00000000 is a missing value."""
    looks = {"days": _CELL.str.contains(_DAY_NUMBER), "none": _CELL == _NO_DAY}
    counts = texts.weighted.select(_times(each).alias(name) for name, each in looks.items())
    days, none = counts.collect(engine="streaming").row(0)
    enough = settings.kind_share * (texts.present - none)
    if days == none or days - none < enough:
        return None
    date = _date(texts, settings, 0)
    if date.date_format != values.DIGITS_ONLY or date.fits < enough:
        return None
    return replace(date, reason=_describe(date, texts.present))


def share(fits: int, present: int) -> str:
    """Return a share in per cent, rounded down so that less than a limit never looks like the limit."""
    return f"{math.floor(1000 * fits / present) / 10:g}%"


def _describe(decision: Decision, present: int) -> str:
    style = decision.number_format
    marks = [f"'{style.decimal}' before decimals"] if style else []
    marks += [f"'{style.group}' between thousands"] if style and style.group else []
    marks += [f"the sign '{style.sign}'"] if style and style.sign else []
    if style == NumberFormat():
        marks = ["negative ones in parentheses, a minus sign of Unicode or no-break spaces"]
    written = f"numbers with {', '.join(marks)}" if marks else ""
    if decision.fits == present:
        return written
    nearly = f"{share(decision.fits, present)} of its cells are {decision.kind}"
    return f"{nearly}; {written}" if written else nearly


def _describe_near(best: Decision, present: int, settings: ReadingSettings) -> str:
    least = MOST if best.kind == BOOLEAN else NOTABLE  # t and f are letters too, and 0 and 1 numbers
    if best.fits < least * present:
        return ""
    return (
        f"{share(best.fits, present)} of its cells are {best.kind}, fewer than {settings.kind_share * 100:g}%"
    )


def _hidden(texts: Texts, settings: ReadingSettings, best: Decision) -> Decision | None:
    """Return the decision for numbers without the setting of their decimal mark, if more cells fit then."""
    if settings.decimal == "auto":
        return None
    other = _number(texts, replace(settings, decimal="auto"))
    if other.fits <= best.fits or other.fits < NOTABLE * texts.present:
        return None
    least = f"fewer than {settings.kind_share * 100:g}%"
    mark = (other.number_format or NumberFormat()).decimal
    found = f"{share(other.fits, texts.present)} of its cells are numbers with '{mark}' before decimals"
    return replace(other, reason=f"decimal is {settings.decimal}, and {found}, {least}")


def _times(condition: pl.Expr) -> pl.Expr:
    return pl.col(TIMES).filter(condition).sum()


def _code(texts: Texts, limit: float) -> Decision | None:
    """Return the decision for digits of which some begin with 0, such as postal codes and area codes."""
    digits = _CELL.str.contains(_DIGITS)
    width = _CELL.filter(digits).str.len_bytes()
    asked = {"padded": _times(_CELL.str.contains(PADDED)), "digits": _times(digits)}
    asked |= {"least": width.min(), "most": width.max()}
    found = texts.weighted.select(**asked).collect(engine="streaming").row(0, named=True)
    one_width = found["least"] == found["most"]
    enough = 1 if one_width else max(_PADDED_CELLS, _PADDED_SHARE * texts.present)
    if found["padded"] < enough or found["digits"] < limit * texts.present:
        return None
    digits_of = "digits of one width" if one_width else "digits"
    reason = f"its cells are {digits_of}, some with leading zeros: codes, and not numbers"
    return Decision(CODE, texts.present, reason=reason)


def _boolean(texts: Texts) -> Decision:
    used = texts.weighted.filter(_is_truth(_CELL)).collect(engine="streaming")
    pairs = values.pairs_in({text.lower() for text in used[TEXT]})
    return Decision(BOOLEAN, int(used[TIMES].sum()) if pairs else 0)


def _is_truth(cell: pl.Expr) -> pl.Expr:
    """Return whether `Labels` finds a cell among words of booleans, as it finds 1.0 and Yes."""
    is_bit = tables.number(cell).is_in([0.0, 1.0]).fill_null(value=False)
    return is_bit | cell.str.to_lowercase().is_in(list(values.TRUTH))


def _number(texts: Texts, settings: ReadingSettings) -> Decision:
    """Return the number format that most cells have; a sign counts where the plain numbers are too few."""
    like = texts.weighted.filter(_CELL.str.contains(_NUMBER_LIKE))
    best = _best_number(like, settings, "", mark=texts.mark)
    enough = settings.kind_share * texts.present
    if best.fits < enough:
        best = max([best, *_signed(like, settings, mark=texts.mark)], key=lambda each: each.fits)
    if best.fits < enough and settings.decimal != "auto":
        other = _number(texts, replace(settings, decimal="auto"))
        guess = f"its numbers are read in another form than that of decimal = {settings.decimal}"
        return replace(other, guess=guess) if other.fits >= enough else best
    return best


def _signed(like: pl.LazyFrame, settings: ReadingSettings, *, mark: str) -> Iterator[Decision]:
    """Yield the best number format with the commonest currency or unit before or after the numbers."""
    sign = pl.coalesce(_CELL.str.extract(_NUMBER_LIKE, group) for group in range(1, 6)).alias("sign")
    signs = like.select(sign, TIMES).drop_nulls().filter(~pl.col("sign").str.to_lowercase().is_in(_NAMES))
    counted = signs.group_by("sign").agg(pl.col(TIMES).sum())
    for text, times in counted.sort(TIMES, "sign", descending=[True, False]).head(1).collect().rows():
        best = _best_number(like, settings, text, mark=mark)
        if text.rstrip(".") not in MULTIPLIERS or best.fits <= times:  # 12k beside 500 are not in one unit
            yield best


def _measured(texts: Texts, limit: float) -> str:
    """Return what the report says of text that looks like durations or quantities, or nothing."""
    looks = {
        "months, quarters or weeks, which are not read as dates": _CELL.str.contains(MONTH),
        "durations or times of day, which are not read as numbers": _CELL.str.contains(_DURATION),
        "numbers with several units or decimal marks, which are not read as numbers": _CELL.str.contains(
            _QUANTITY
        ),
    }
    counts = texts.weighted.select(_times(each).alias(name) for name, each in looks.items())
    for name, times in counts.collect(engine="streaming").row(0, named=True).items():
        if times >= limit * texts.present:
            return f"its cells look like {name}"
    return ""


def _best_number(like: pl.LazyFrame, settings: ReadingSettings, sign: str, *, mark: str) -> Decision:
    styles = [
        NumberFormat(decimal, group, sign)
        for decimal in {"auto": ".,", "point": ".", "comma": ","}[settings.decimal]
        for group in ("", ",", " ", "'", ".")
        if group != decimal
    ]
    plain = [] if sign or settings.decimal == "comma" else [None]
    candidates: list[NumberFormat | None] = [*plain, *styles]
    fits = like.select(
        _times(tables.number(_CELL, style).is_not_null()).alias(str(at))
        for at, style in enumerate(candidates)
    )
    counts = fits.collect(engine="streaming").row(0)
    at = max(range(len(counts)), key=lambda each: (counts[each], -each))
    if (
        candidates[at] is None
        and mark != "."
        and _DOTS in styles
        and counts[candidates.index(_DOTS)] == counts[at]
    ):
        at = candidates.index(_DOTS) if _are_thousands(like) else at
    comma = NumberFormat(",", "", sign)  # 1,026 is as good a number with either mark
    if mark == "," and candidates[at] == NumberFormat(".", ",", sign) and comma in candidates:
        at = candidates.index(comma) if counts[candidates.index(comma)] == counts[at] else at
    least = {_DOTS: _NEARLY * counts[at]}  # of a rival, for whose numbers a cell such as 1234.5 is a stray
    rivals = [
        style
        for style, count in zip(candidates, counts, strict=True)
        if style and count >= least.get(style, counts[at])
    ]
    clear = mark == "." and candidates[at] in {None, NumberFormat()}
    guess = "" if clear else _guess_number(like, candidates[at], rivals, settings)
    return Decision(NUMBER, counts[at], candidates[at], guess=guess)


def _are_thousands(like: pl.LazyFrame) -> bool:
    """Return whether each point is before three digits, and numbers below 1,000, and no others, have none."""
    number = tables.number(_CELL).is_not_null()
    asked = {
        "all": _CELL.str.contains(_THOUSANDS).all(),
        "pointed": _POINTED.any(),
        "below": (~_POINTED).any(),
    }
    return all(like.filter(number).select(**asked).collect(engine="streaming").row(0))


def _guess_number(
    like: pl.LazyFrame, chosen: NumberFormat | None, rivals: list[NumberFormat], settings: ReadingSettings
) -> str:
    """Return what the report says where another decimal mark, or a missing sign, gives other numbers."""
    other: NumberFormat | None = NumberFormat()
    if chosen != _DOTS or not _are_thousands(like):
        mark = (chosen or NumberFormat()).decimal
        other = next((style for style in rivals if style.decimal != mark), None)
    if other and settings.decimal == "auto":
        first, second = tables.number(_CELL, chosen), tables.number(_CELL, other)
        differing = like.filter(first != second).select(_CELL, first.alias("a"), second.alias("b")).head(1)
        for text, number, alternative in differing.collect().rows():
            return f"'{text}' is read as {number:.12g} and could be {alternative:.12g}: set decimal"
    if chosen and chosen.sign:
        numbers = like.filter(tables.number(_CELL, chosen).is_not_null())
        unsigned = numbers.filter(~_CELL.str.contains(chosen.sign, literal=True)).head(1).collect()
        for text in unsigned[TEXT]:
            return f"cells without '{chosen.sign}', such as '{text}', are read in the same unit"
    return ""


def _date(texts: Texts, settings: ReadingSettings, notable: float = NOTABLE) -> Decision:
    """Return the date format that most cells have, and whether month and day could change places."""
    fits, late = dict.fromkeys(values.DATE_PATTERNS, 0), dict[str, str]()
    spans = dict.fromkeys(fits, (math.inf, -math.inf))
    for style, text, moment, times in _dates(texts):
        fits[style] += times
        spans[style] = min(spans[style][0], moment), max(spans[style][1], moment)
        if moment >= (_LATE if re.search(r"\byy\b", style) else _NO_END).timestamp():
            late.setdefault(style, _guess_late(text, moment))
    iso = fits[values.ISO]  # which each of the others reads too
    fits = {style: count + iso * (style != values.ISO) for style, count in fits.items()}
    first = {"month-first": "mm", "day-first": "dd"}.get(settings.date_order, "")
    enough = max(iso + 1, settings.kind_share * texts.present)

    def rank(style: str) -> tuple[bool, int]:
        return bool(first) and style.startswith(first) and fits[style] >= enough, fits[style]

    best = max(fits, key=rank)
    rivals = [style for style in fits if fits[style] == fits[best] and sorted(style) == sorted(best)]
    rivals.sort(key=lambda style: spans[style][1] - spans[style][0])
    others = _others(texts, best) if notable * texts.present <= fits[best] < texts.present else frozenset()
    unsure = [_guess_order(best, rivals, settings.date_order), late.get(best, late.get(values.ISO, ""))]
    guess = "; ".join(filter(None, unsure))
    return Decision(DATE, fits[best], date_format=best, others=others, guess=guess)


def _guess_order(best: str, equal: list[str], order: str) -> str:
    """Return what the report says of the order of a date's parts.

    `equal` are the formats that fit as well, the one whose dates span the least time first.
    """
    if best == values.DIGITS_ONLY:
        return "its numbers are read as dates, year, month and day: set its kind to numeric for numbers"
    if best[:2] == {"month-first": "dd", "day-first": "mm"}.get(order) and "mmm" not in best:
        return f"its dates are read in another order than that of date_order = {order}"
    if order == "auto" and best.startswith("mm") and any(style.startswith("dd") for style in equal):
        return "every day could be a month; the month is read first: set date_order"
    if order == "auto" and equal[0] != best and equal[0].startswith("yy"):
        return (
            f"its dates are read as {best}, and are closer together as {equal[0]}: write years of four digits"
        )
    return ""


def _guess_late(text: str, moment: float) -> str:
    if moment >= _NO_END.timestamp():
        return f"'{text}' is read as a date: name it in missing_words if it means that there is no end"
    year = datetime.fromtimestamp(moment, UTC).year
    return f"'{text}' is read as a day of {year}, as 68 is 2068 and 69 is 1969: write years with four digits"


def _dates(texts: Texts) -> Iterator[tuple[str, str, float, int]]:
    """Yield each format with a text of it, the text's moment and its count; the likely texts only."""
    like = texts.weighted.filter(_CELL.str.contains(_DATE_LIKE))
    for batch in like.collect_batches(maintain_order=True):
        rest = batch
        for style, pattern in values.DATE_PATTERNS.items():
            found = rest.filter(_CELL.str.contains(pattern))
            moments = [values.parse_timestamp(text, style) for text in found[TEXT]]
            rows = zip(found.rows(), moments, strict=True)
            yield from ((style, text, moment, times) for (text, times), moment in rows if moment is not None)
            if style == values.ISO:
                rest = rest.filter(~_CELL.str.contains(pattern))


def _others(texts: Texts, style: str) -> frozenset[str]:
    """Return the texts that are not dates of a format."""
    batches = texts.weighted.select(TEXT).collect_batches(maintain_order=False)
    found = (text for batch in batches for text in batch[TEXT])
    return frozenset(text for text in found if values.parse_timestamp(text, style) is None)
