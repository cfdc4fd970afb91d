"""The settings of how tables are read: the kinds of columns, words for "missing", dialects and limits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any

from container.data.values import BLANKS
from container.runtime.environment import Variable

KINDS = ("numeric", "categorical", "date", "excluded")
DELIMITERS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}


def _kinds(text: str) -> Mapping[str, str]:
    found: Any = json.loads(text)
    if not isinstance(found, dict) or not all(kind in KINDS for kind in found.values()):
        raise ValueError(text)
    return MappingProxyType(found)


def _words(text: str) -> tuple[str, ...]:
    found: Any = json.loads(text)
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise ValueError(text)
    return tuple(word.strip(BLANKS) for word in found)  # as cells are


def _fraction(name: str, least: float = 0) -> Variable:
    return Variable(name, least=least, most=1, refuse_blank=True)


@dataclass(frozen=True)
class ReadingSettings:
    """Hold the settings by which a job reads its tables.

    `kinds` names columns that are read as another kind than their cells show. `missing_words` mean a missing
    value, beside those of `values`. The shares are `kind_share` of a column's present cells, which decides
    its kind; of the rows that may lack the target; and of the files that may be left out.
    """

    kinds: Annotated[
        Mapping[str, str],
        Variable("KINDS", parse=_kinds, rule=f"a JSON object from columns to one of {', '.join(KINDS)}"),
    ] = field(default_factory=dict)
    missing_words: Annotated[
        tuple[str, ...], Variable("MISSING_WORDS", parse=_words, rule="a JSON array of texts")
    ] = ()
    kind_share: Annotated[float, _fraction("KIND_SHARE", 0.5)] = 0.95
    max_missing_target: Annotated[float, _fraction("MAX_MISSING_TARGET")] = 0.05
    max_skipped: Annotated[float, _fraction("MAX_SKIPPED")] = 0.1
    delimiter: Annotated[str, Variable("DELIMITER", choices=("auto", *DELIMITERS))] = "auto"
    decimal: Annotated[str, Variable("DECIMAL", choices=("auto", "point", "comma"))] = "auto"
    date_order: Annotated[str, Variable("DATE_ORDER", choices=("auto", "month-first", "day-first"))] = "auto"
