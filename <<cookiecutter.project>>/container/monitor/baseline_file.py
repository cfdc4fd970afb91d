"""The baseline that data is compared with, read from its files statistics.json and constraints.json."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from container.data.schema import Schema
from container.monitor import distances
from container.monitor.constraints import Constraint
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

# The keys of constraints.json that the analyzer does not have: the schema of columns that need it, and the
# counted texts of columns that have others.
READING, LISTED = "reading", "listed_texts"
_METHODS = {"Simple": False, "linf_simple": False, "Robust": True, "linf_robust": True}
_SWITCH = {"Enabled": True, "Disabled": False}
_TYPES = ("Integral", "Fractional", "String", "Unknown")


@dataclass(frozen=True)
class MonitoringConfig:
    """Hold how data is compared: constraints.json's `monitoring_config`. Thresholds are from 0 to 1."""

    evaluate: bool = True
    emit: bool = True
    type_threshold: float = 1.0
    domain_threshold: float = 1.0
    compare: bool = True
    threshold: float = 0.1
    robust: bool = True
    categorical_threshold: float = 0.1
    categorical_method: str = "LInfinity"  # a name in distances.CATEGORICAL


@dataclass(frozen=True)
class BaselineColumn:
    """Hold the values of one column: their count, and numbers by their sketch's level or counted texts."""

    count: int
    levels: list[FloatArray] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """Hold the constraint of one column, and how the column is compared."""

    constraint: Constraint
    config: MonitoringConfig


@dataclass(frozen=True)
class Baseline:
    """Hold the number of rows, the columns in the model's order, and what is expected of them."""

    rows: int
    columns: dict[str, BaselineColumn]
    expectations: dict[str, Expectation]
    schema: Schema | None = None  # of the columns whose requests are read by it, and of those left out

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns in the order in which a request by position has them."""
        return tuple(self.columns)

    @cached_property
    def dates(self) -> frozenset[str]:
        """Return the columns that the model reads as dates, as far as the baseline says so."""
        features = self.schema.features if self.schema else ()
        return frozenset(feature.name for feature in features if feature.kind == "date")

    @property
    def known_columns(self) -> frozenset[str]:
        """Return the columns that data may have: the baseline's, and those that the training left out."""
        return frozenset((*self.columns, *self.expectations, *(self.schema.left_out if self.schema else ())))

    @property
    def known_texts(self) -> dict[str, frozenset[str]]:
        """Return the texts of each column that are counted however many other texts there are."""
        texts = {name: frozenset(column.texts) for name, column in self.columns.items()}
        domains = {name: frozenset(each.constraint.domain or ()) for name, each in self.expectations.items()}
        return {
            name: texts.get(name, frozenset()) | domains.get(name, frozenset()) for name in texts | domains
        }


def read(statistics: Path, constraints: Path) -> Baseline:
    """Read both files of a baseline.

    Raises:
        UserError: a file is missing, is not a file of a baseline, or names no column.
    """
    rows, columns = _read(statistics, _columns)
    expectations = _read(constraints, _expectations)
    for name, texts in _read(constraints, _listed).items():
        if name in columns:
            columns[name] = replace(columns[name], texts=texts)
    if not columns:
        raise UserError(f"{statistics.name} names no column: a baseline has at least one")
    return Baseline(rows, columns, expectations, _read(constraints, _schema))


def document(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing, or is not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the baseline of the model has it") from error
    except ValueError as error:
        raise UserError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path.name} must hold a JSON object")
    return content


def _read(path: Path, parse: Callable[[dict[str, Any]], Any]) -> Any:
    try:
        return parse(document(path))
    except KeyError as error:
        raise UserError(f"{path.name} is not a file of a baseline: it lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is not a file of a baseline: {error}") from error


def _schema(content: dict[str, Any]) -> Schema | None:
    return Schema.from_json(content[READING]) if READING in content else None


def _listed(content: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {
        str(name): {str(text): int(count) for text, count in texts.items()}
        for name, texts in content.get(LISTED, {}).items()
    }


def _columns(content: dict[str, Any]) -> tuple[int, dict[str, BaselineColumn]]:
    return int(content["dataset"]["item_count"]), {
        str(feature["name"]): _column(feature) for feature in content["features"]
    }


def _column(feature: dict[str, Any]) -> BaselineColumn:
    described = feature.get("numerical_statistics") or feature.get("string_statistics") or {}
    count = int(described.get("common", {}).get("num_present", 0))
    distribution = described.get("distribution", {})
    data = distribution.get("kll", {}).get("sketch", {}).get("data", [])
    counted = distribution.get("categorical", {}).get("buckets", [])
    return BaselineColumn(
        count,
        [np.array(level, dtype=np.float64) for level in data],
        {str(bucket["value"]): int(bucket["count"]) for bucket in counted},
    )


def _expectations(content: dict[str, Any]) -> dict[str, Expectation]:
    general = content.get("monitoring_config", {})
    return {str(feature["name"]): _expectation(feature, general) for feature in content["features"]}


def _expectation(feature: dict[str, Any], general: dict[str, Any]) -> Expectation:
    inferred = _one_of("inferred_type", feature["inferred_type"], _TYPES)
    domain = feature.get("string_constraints", {}).get("domains")
    constraint = Constraint(
        str(feature["name"]),
        inferred,
        float(feature["completeness"]),
        feature.get("num_constraints", {}).get("is_non_negative"),
        None if domain is None else tuple(map(str, domain)),
    )
    # The documentation and the SDK spell what a column overrides in two ways.
    overrides = feature.get("monitoringConfigOverrides", {}) | feature.get("monitoring_config_overrides", {})
    return Expectation(constraint, _config(general | overrides))


def _config(given: dict[str, Any]) -> MonitoringConfig:
    distribution, default = given.get("distribution_constraints", {}), MonitoringConfig()
    threshold = float(distribution.get("comparison_threshold", default.threshold))
    method = _one_of("comparison_method", distribution.get("comparison_method", "Robust"), tuple(_METHODS))
    categorical = distribution.get("categorical_drift_method", default.categorical_method)
    return MonitoringConfig(
        evaluate=_switch(given, "evaluate_constraints"),
        emit=_switch(given, "emit_metrics"),
        type_threshold=float(given.get("datatype_check_threshold", default.type_threshold)),
        domain_threshold=float(given.get("domain_content_threshold", default.domain_threshold)),
        compare=_switch(distribution, "perform_comparison"),
        threshold=threshold,
        robust=_METHODS[method],
        categorical_threshold=float(distribution.get("categorical_comparison_threshold", threshold)),
        categorical_method=_one_of("categorical_drift_method", categorical, tuple(distances.CATEGORICAL)),
    )


def _switch(given: dict[str, Any], name: str) -> bool:
    return _SWITCH[_one_of(name, given.get(name, "Enabled"), tuple(_SWITCH))]


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, and must be one of {', '.join(allowed)}")
    return value
