"""Data against its baseline: AWS's six checks of data quality, and how far each column has drifted."""

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from container.data.values import Labels
from container.monitor import distances
from container.monitor.baseline_file import Baseline, BaselineColumn, Expectation, MonitoringConfig
from container.monitor.partial_profile import PartialProfile
from container.monitor.profile import ColumnProfile
from container.monitor.settings import DRIFT_THRESHOLD

Check = Literal[
    "data_type_check",
    "completeness_check",
    "baseline_drift_check",
    "missing_column_check",
    "extra_column_check",
    "categorical_values_check",
    "unusable_records_check",
]
# Missing cells above a baseline's share that chance explains: standard deviations, and cells besides.
_DEVIATIONS, _CELLS = 4.0, 4
_CHANCE = 1e-6  # the probability below which chance does not explain that no row has a value
_OTHERS = ""  # the text of all texts that a baseline does not list: no value is empty
_SHOWN_NAMES, _SHOWN_CHARACTERS = 5, 40


@dataclass(frozen=True)
class Violation:
    """Hold what is wrong with a column, or with the table's columns, in the form of AWS's analyzer."""

    feature_name: str
    constraint_check_type: Check
    description: str


@dataclass(frozen=True)
class Comparison:
    """Hold the violations, the distance of each column that could be compared, and the other columns.

    Each of these is named, with the reason; those without a reason have too few values in the data. Columns
    in which new texts are usual are named too.
    """

    violations: list[Violation]
    drift: dict[str, float]
    unmeasured: tuple[str, ...] = ()


def compare(current: PartialProfile, baseline: Baseline, minimum: int) -> Comparison:
    """Compare finalized data with its baseline; a column with fewer values than `minimum` has no distance."""
    drift: dict[str, float] = {}
    unmeasured: list[str] = []
    violations = list(_column_violations(current, baseline))
    for name, expectation in baseline.expectations.items():
        column = current.profile.columns.get(name) or ColumnProfile(name)
        distance = _drift(column, baseline, expectation, minimum)
        if distance is not None:
            drift[name] = distance
        if expectation.config.compare:
            unmeasured += _unmeasured(column, baseline, expectation, distance)
        if expectation.config.evaluate and column.present + column.missing:
            found = _cell_violations(column, expectation, baseline.rows, distance)
            violations += [Violation(name, check, description) for check, description in found]
    unmeasured += [
        f"{name} (no constraint)" for name in baseline.columns if name not in baseline.expectations
    ]
    return Comparison(violations, drift, tuple(unmeasured))


def _column_violations(current: PartialProfile, baseline: Baseline) -> Iterator[Violation]:
    """Compare which columns there are. If most rows by position are too short, columns are missing."""
    expected, rows, short = baseline.expectations, current.profile.rows, current.counts.too_few_columns
    if not any(expectation.config.evaluate for expectation in expected.values()):
        return
    present = list(current.profile.columns)
    missing = [name for name in expected if name not in present and _is_required(expected[name], rows)]
    known = baseline.known_columns
    extra = [name for name in present if name not in known]
    numbers = f"Number of columns in current dataset: {len(expected) - len(missing) + len(extra)}, "
    numbers += f"Number of columns in baseline constraints: {len(expected)}"
    if short > rows:
        numbers = f"{short} of {short + rows} rows have fewer values than the baseline has columns"
        missing = []
    if missing or short > rows:
        names = f". Missing: {_listed(missing)}" if missing else ""
        description = f"There are missing columns in current dataset. {numbers}{names}."
        yield Violation("Missing columns", "missing_column_check", description)
    if extra:
        description = f"There are extra columns in current dataset. {numbers}. Extra: {_listed(extra)}."
        yield Violation("Extra columns", "extra_column_check", description)


def _is_required(expectation: Expectation, rows: int) -> bool:
    """Tell whether some row should have a value: callers may leave a column out where its cell is missing."""
    return (1 - expectation.constraint.completeness) ** rows < _CHANCE


def _cell_violations(
    column: ColumnProfile, expectation: Expectation, rows: int, distance: float | None
) -> Iterator[tuple[Check, str]]:
    """Compare a column's cells; `rows` is the number of the baseline's rows."""
    constraint, config = expectation.constraint, expectation.config
    kind, match = constraint.inferred_type, _type_match(column, expectation)
    if match < config.type_threshold:
        text = f"Data type match requirement is not met. Expected data type: {kind}, Expected match: "
        observed = f"Only {_percent(match)} of data is {kind}."
        yield "data_type_check", f"{text}{_percent(config.type_threshold)}. Observed: {observed}"
    if column.missing > _missing_allowed(column, constraint.completeness, rows):
        text = (
            f"Completeness requirement is not met. Expected completeness: {_percent(constraint.completeness)}"
        )
        yield (
            "completeness_check",
            f"{text}. Observed: Only {_percent(column.completeness)} of data is complete.",
        )
    inside, unknown = _domain_match(column, constraint.domain)
    if inside < config.domain_threshold:
        text = "Domain content requirement is not met. Expected match: "
        observed = (
            f"Only {_percent(inside)} of data is in the domain. Unknown: {_listed(unknown) or 'too many'}."
        )
        yield "categorical_values_check", f"{text}{_percent(config.domain_threshold)}. Observed: {observed}"
    threshold = config.threshold if constraint.is_numeric else config.categorical_threshold
    if distance is not None and distance > threshold:
        yield "baseline_drift_check", f"Baseline drift distance: {distance} exceeds threshold: {threshold}"


def _type_match(column: ColumnProfile, expectation: Expectation) -> float:
    """Return the share of values that are of the expected type.

    41.0 is as whole as 41, since callers' programs write either. A column of texts may hold numbers, among
    texts or as categories of the baseline.
    """
    if not column.present or expectation.constraint.inferred_type == "Unknown":
        return 1.0
    if expectation.constraint.inferred_type == "String":
        texts = _fold_spellings(column.texts, column.known_texts)
        known = sum(texts.get(text, 0) for text in column.known_texts)
        return 1.0 if column.text else known / column.present
    fractional = column.fractional if expectation.constraint.inferred_type == "Fractional" else 0
    return (column.integral + fractional) / column.present


def _missing_allowed(column: ColumnProfile, completeness: float, rows: int) -> float:
    """Return how many cells may be missing, by the completeness and the number of rows of the baseline.

    A complete baseline allows none. Otherwise the number is binomial, its variance that of the difference of
    two samples: the current cells and the baseline's rows.
    """
    cells = column.present + column.missing
    expected = (1 - completeness) * cells
    if completeness >= 1:
        return 0.0
    return expected + _DEVIATIONS * math.sqrt(expected * completeness * (1 + cells / max(rows, 1))) + _CELLS


def _domain_match(column: ColumnProfile, domain: tuple[str, ...] | None) -> tuple[float, list[str]]:
    """Return the share of values that are in the domain, and the other texts, the most frequent first."""
    if not domain or not column.present:
        return 1.0, []
    texts = _fold_spellings(column.texts, domain)
    inside = sum(texts.get(text, 0) for text in domain)
    others = Counter({text: count for text, count in texts.items() if text not in domain})
    return inside / column.present, [text for text, _ in others.most_common()]


def _unmeasured(
    column: ColumnProfile, baseline: Baseline, expectation: Expectation, distance: float | None
) -> Iterator[str]:
    """Name a column that was not compared, or whose distance does not tell new texts from those expected."""
    if distance is None:
        yield column.name + _obstacle(column.name, baseline)
        return
    expected, config = baseline.columns[column.name], expectation.config
    if expected.texts and not expected.levels:
        of_new = _text_distance(expected, {}, column.present, config)
        if of_new <= min(config.categorical_threshold, DRIFT_THRESHOLD):
            yield f"{column.name} (new texts are usual)"


def _obstacle(name: str, baseline: Baseline) -> str:
    """Return why no data could be compared with the baseline of a column, or nothing."""
    expected = baseline.columns.get(name)
    if expected is None:
        return " (no statistics)"
    if name in baseline.dates:
        return " (dates move on)"
    if not expected.count:
        return " (no value in the baseline)"
    return "" if expected.levels or expected.texts else " (too many texts, or dates)"


def _drift(column: ColumnProfile, baseline: Baseline, expectation: Expectation, minimum: int) -> float | None:
    """Return the distance of a column from its baseline, None where the two can't be compared."""
    config, expected = expectation.config, baseline.columns.get(column.name)
    if expected is None or not config.compare or column.name in baseline.dates:
        return None
    if expected.levels and column.moments.count >= minimum:
        return distances.kolmogorov_smirnov(expected.levels, column.quantiles.levels(), robust=config.robust)
    if not expected.texts or column.present < minimum:
        return None
    texts = _fold_spellings(column.texts, expected.texts)
    return _text_distance(expected, texts, column.present, config)


def _text_distance(
    expected: BaselineColumn, texts: dict[str, int], present: int, config: MonitoringConfig
) -> float:
    distance = distances.CATEGORICAL[config.categorical_method]
    return max(
        distance(before, now, present, robust=config.robust)
        for before, now in _listed_texts(expected, texts, present)
    )


def _listed_texts(
    expected: BaselineColumn, texts: dict[str, int], present: int
) -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    """Return counted texts of the baseline and of the data, those that the baseline does not list as one.

    Its other texts are at most as frequent as the rarest that it lists: a second pair shows one that is more.
    """
    unlisted = expected.count - sum(expected.texts.values())
    if unlisted <= 0:
        yield expected.texts, texts
        return
    listed = {text: texts.get(text, 0) for text in expected.texts}
    yield (
        expected.texts | {_OTHERS: unlisted},
        listed | {_OTHERS: present - sum(listed.values())},
    )
    rarest = min(expected.texts.values())
    commonest = max((count for text, count in texts.items() if text not in listed), default=0)
    if commonest * expected.count > rarest * present:
        yield (
            {"new": rarest, _OTHERS: expected.count - rarest},
            {"new": commonest, _OTHERS: present - commonest},
        )


def _fold_spellings(texts: dict[str, int], known: Collection[str]) -> dict[str, int]:
    """Count texts in the spelling of the known text that the model takes them for, such as 1 for 1.0."""
    labels, spellings = Labels(known), tuple(known)
    folded: Counter[str] = Counter()
    for text, count in texts.items():
        code = labels.find(text)
        folded[text if code is None else spellings[code]] += count
    return dict(folded)


def _percent(share: float) -> str:
    return f"{share * 100}%"


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:_SHOWN_CHARACTERS] for name in names[:_SHOWN_NAMES])
    return shown + (", …" if len(names) > _SHOWN_NAMES else "")
