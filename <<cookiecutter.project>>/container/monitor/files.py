"""AWS's statistics.json and constraints.json, written as its analyzer writes them."""

import json
from pathlib import Path
from typing import Any

from container.monitor.constraints import Constraint, by_frequency
from container.monitor.profile import ColumnProfile, TableProfile, buckets
from container.monitor.settings import DRIFT_THRESHOLD
from container.monitor.sketch import SHRINKING, SIZE
from container.runtime.files import write_atomically

Document = dict[str, Any]

_VERSION = 0.0


def statistics_document(profile: TableProfile) -> Document:
    """Return a profile in the form of statistics.json."""
    return {
        "version": _VERSION,
        "dataset": {"item_count": profile.rows},
        "features": [_feature_statistics(column) for column in profile.columns.values()],
    }


def constraints_document(constraints: list[Constraint], threshold: float = DRIFT_THRESHOLD) -> Document:
    """Return constraints in the form of constraints.json, with the analyzer's own configuration.

    `threshold` is the distance, from 0 to 1, above which a column has drifted.
    """
    distribution: Document = {
        "perform_comparison": "Enabled",
        "comparison_threshold": threshold,
        "comparison_method": "Robust",
    }
    if any(constraint.inferred_type == "String" for constraint in constraints):
        distribution["categorical_comparison_threshold"] = threshold
        distribution["categorical_drift_method"] = "LInfinity"
    return {
        "version": _VERSION,
        "features": [_feature_constraint(constraint) for constraint in constraints],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": distribution,
        },
    }


def write(path: Path, document: Document) -> None:
    """Write a document as the analyzer lays it out, whole or not at all."""
    write_atomically(path, render(document))


def render(value: Any, indent: str = "") -> str:
    """Return JSON as the analyzer lays it out: a line for each member of an object, and one for an array.

    The two can then be compared by diff.
    """
    inner = indent + "  "
    if isinstance(value, dict) and value:
        members = (f"{inner}{json.dumps(name)} : {render(member, inner)}" for name, member in value.items())
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return "[ " + ", ".join(render(item, indent) for item in value) + " ]"
    plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return f"[ {plain[1:-1]} ]" if isinstance(value, list) and value else plain


def _feature_statistics(column: ColumnProfile) -> Document:
    kind = "numerical_statistics" if column.is_numeric else "string_statistics"
    described = _numerical(column) if column.is_numeric else _string(column)
    common = {"num_present": column.present, "num_missing": column.missing}
    return {"name": column.name, "inferred_type": column.inferred_type, kind: {"common": common, **described}}


def _numerical(column: ColumnProfile) -> Document:
    return {
        "mean": column.moments.mean,
        "sum": column.moments.sum,
        "std_dev": column.moments.std_dev,
        "min": column.minimum,
        "max": column.maximum,
        "approximate_num_distinct_values": column.distinct.estimate(),
        "completeness": column.completeness,
        "distribution": {"kll": _kll(column)},
    }


def _kll(column: ColumnProfile) -> Document:
    levels = column.quantiles.levels()
    return {
        "buckets": [
            {"lower_bound": bucket.lower, "upper_bound": bucket.upper, "count": float(bucket.count)}
            for bucket in buckets(column, levels)
        ],
        "sketch": {
            "parameters": {"c": SHRINKING, "k": float(SIZE)},
            "data": [level.tolist() for level in levels],
        },
    }


def _string(column: ColumnProfile) -> Document:
    described: Document = {
        "distinct_count": float(column.distinct.estimate()),
        "completeness": column.completeness,
    }
    if column.categories:
        counted = [{"value": text, "count": count} for text, count in by_frequency(column.categories)]
        described["distribution"] = {"categorical": {"buckets": counted}}
    return described


def _feature_constraint(constraint: Constraint) -> Document:
    document: Document = {
        "name": constraint.name,
        "inferred_type": constraint.inferred_type,
        "completeness": constraint.completeness,
    }
    if constraint.is_non_negative is not None:
        document["num_constraints"] = {"is_non_negative": constraint.is_non_negative}
    if constraint.domain is not None:
        document["string_constraints"] = {"domains": list(constraint.domain)}
    return document
