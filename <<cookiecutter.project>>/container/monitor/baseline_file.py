"""The baseline that data is compared with: its two files, read once and refused where they can't be one."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from container.monitor.constraints import Constraint
from container.runtime.errors import UserError
from container.runtime.typing import FloatArray

_METHODS = {"Simple": False, "linf_simple": False, "Robust": True, "linf_robust": True}
_CATEGORICAL = ("LInfinity", "ChiSquared")
_SWITCH = {"Enabled": True, "Disabled": False}
_TYPES = ("Integral", "Fractional", "String", "Unknown")


@dataclass(frozen=True)
class Config:
    """Hold how data is compared: constraints.json's `monitoring_config`."""

    evaluate: bool = True
    emit: bool = True
    type_threshold: float = 1.0
    domain_threshold: float = 1.0
    compare: bool = True
    threshold: float = 0.1
    robust: bool = True
    categorical_threshold: float = 0.1
    chi_squared: bool = False


@dataclass(frozen=True)
class Column:
    """Hold what the baseline knows of one column: kept numbers by their sketch's level, or counted texts."""

    count: int
    levels: list[FloatArray] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    """Hold what is asked of one column, and how it is compared."""

    constraint: Constraint
    config: Config


@dataclass(frozen=True)
class Reference:
    """Hold the baseline: its rows, its columns in the model's order, and what is asked of them."""

    rows: int
    columns: dict[str, Column]
    expectations: dict[str, Expectation]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the columns in the order in which a request by position has them."""
        return tuple(self.columns)

    @property
    def known(self) -> dict[str, frozenset[str]]:
        """Return the texts of each column that are counted in any case."""
        texts = {name: frozenset(column.texts) for name, column in self.columns.items()}
        domains = {name: frozenset(each.constraint.domain or ()) for name, each in self.expectations.items()}
        return {
            name: texts.get(name, frozenset()) | domains.get(name, frozenset()) for name in texts | domains
        }


def read(statistics: Path, constraints: Path) -> Reference:
    """Read both files of a baseline; refuse one that is missing or is none."""
    rows, columns = _read(statistics, _columns)
    expectations = _read(constraints, _expectations)
    if not columns:
        raise UserError(f"{statistics.name} names no column: a baseline has at least one")
    return Reference(rows, columns, expectations)


def document(path: Path) -> dict[str, Any]:
    """Read a JSON object; refuse a file that is missing or holds anything else."""
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
        raise UserError(f"{path.name} is no file of a baseline: it lacks {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is no file of a baseline: {error}") from error


def _columns(content: dict[str, Any]) -> tuple[int, dict[str, Column]]:
    return int(content["dataset"]["item_count"]), {
        str(feature["name"]): _column(feature) for feature in content["features"]
    }


def _column(feature: dict[str, Any]) -> Column:
    described = feature.get("numerical_statistics") or feature.get("string_statistics") or {}
    count = int(described.get("common", {}).get("num_present", 0))
    distribution = described.get("distribution", {})
    data = distribution.get("kll", {}).get("sketch", {}).get("data", [])
    counted = distribution.get("categorical", {}).get("buckets", [])
    return Column(
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
    own = feature.get("monitoringConfigOverrides", {}) | feature.get("monitoring_config_overrides", {})
    return Expectation(constraint, _config(general | own))


def _config(given: dict[str, Any]) -> Config:
    distribution, plain = given.get("distribution_constraints", {}), Config()
    threshold = float(distribution.get("comparison_threshold", plain.threshold))
    method = _one_of("comparison_method", distribution.get("comparison_method", "Robust"), tuple(_METHODS))
    categorical = distribution.get("categorical_drift_method", "LInfinity")
    return Config(
        evaluate=_switch(given, "evaluate_constraints"),
        emit=_switch(given, "emit_metrics"),
        type_threshold=float(given.get("datatype_check_threshold", plain.type_threshold)),
        domain_threshold=float(given.get("domain_content_threshold", plain.domain_threshold)),
        compare=_switch(distribution, "perform_comparison"),
        threshold=threshold,
        robust=_METHODS[method],
        categorical_threshold=float(distribution.get("categorical_comparison_threshold", threshold)),
        chi_squared=_one_of("categorical_drift_method", categorical, _CATEGORICAL) == "ChiSquared",
    )


def _switch(given: dict[str, Any], name: str) -> bool:
    return _SWITCH[_one_of(name, given.get(name, "Enabled"), tuple(_SWITCH))]


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, and must be one of {', '.join(allowed)}")
    return value
