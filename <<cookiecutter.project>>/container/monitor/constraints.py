"""Constraints of later data, suggested from a baseline's profile."""

from dataclasses import dataclass

from container.monitor.profile import ColumnProfile, InferredType

# The share of texts that may occur once in a column with a domain, as in the analyzer: where more do, such as
# names, later data has new ones.
_MAX_SINGLE = 0.1


@dataclass(frozen=True)
class Constraint:
    """Hold what later cells of a column must satisfy; a rule that is None does not apply."""

    name: str
    inferred_type: InferredType
    completeness: float
    is_non_negative: bool | None = None
    domain: tuple[str, ...] | None = None

    @property
    def is_numeric(self) -> bool:
        """Tell whether the column's values are numbers."""
        return self.inferred_type in {"Integral", "Fractional"}


def suggest(column: ColumnProfile) -> Constraint:
    """Suggest what held for every cell of the baseline."""
    return Constraint(
        name=column.name,
        inferred_type=column.inferred_type,
        completeness=column.completeness,
        is_non_negative=column.minimum >= 0 if column.is_numeric else None,
        domain=_domain(column) if column.inferred_type == "String" else None,
    )


def by_frequency(texts: dict[str, int]) -> list[tuple[str, int]]:
    """Sort counted texts, the most frequent first, those of equal counts by the alphabet."""
    return sorted(texts.items(), key=lambda item: (-item[1], item[0]))


def _domain(column: ColumnProfile) -> tuple[str, ...] | None:
    texts = column.categories
    single = sum(count == 1 for count in texts.values())
    if not texts or single > _MAX_SINGLE * len(texts):
        return None
    return tuple(text for text, _ in by_frequency(texts))
