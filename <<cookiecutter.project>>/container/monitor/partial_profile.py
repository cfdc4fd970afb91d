"""The profile of some of the data, by an instance or a process, in a form that can be sent and merged."""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from container.monitor.capture import Counts
from container.monitor.exact_sums import Moments
from container.monitor.profile import ColumnProfile, TableProfile
from container.monitor.sketch import Distinct, Quantiles
from container.runtime.errors import UserError

_VERSION = 2
_PLAIN_FIELDS = ("missing", "integral", "fractional", "text", "written_as_float", "texts", "truncated")


@dataclass
class PartialProfile:
    """Hold the profile of some rows, and the counts of what was left out."""

    profile: TableProfile = field(default_factory=TableProfile)
    counts: Counts = field(default_factory=Counts)

    def merge(self, other: "PartialProfile") -> None:
        """Add the profile of other rows of the same data."""
        self.profile.merge(other.profile)
        self.counts += other.counts

    def serialize(self) -> bytes:
        """Return the profile as JSON: sums exactly, sketches as their libraries store them."""
        document = {
            "version": _VERSION,
            "rows": self.profile.rows,
            "columns": [_column_document(column) for column in self.profile.columns.values()],
            "counts": asdict(self.counts),
        }
        return orjson.dumps(document)


def deserialize(serialized: bytes, known_texts: Mapping[str, frozenset[str]], name: str) -> PartialProfile:
    """Return the partial profile that was serialized; `name` names it in errors.

    Raises:
        UserError: it is not a partial profile, or one of another version.
    """
    try:
        document = orjson.loads(serialized)
        if document["version"] != _VERSION:
            raise UserError(f"{name} has version {document['version']}, and this container reads {_VERSION}")
        columns = [_column(column, known_texts) for column in document["columns"]]
        profile = TableProfile(
            int(document["rows"]), {column.name: column for column in columns}, known_texts
        )
        return PartialProfile(profile, Counts(**document["counts"]))
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{name} is not a partial result of the monitor: {error}") from error


def _column_document(column: ColumnProfile) -> dict[str, Any]:
    numbers = column.moments
    bounds = [column.minimum, column.maximum] if numbers.count else []
    return {
        "name": column.name,
        **{name: getattr(column, name) for name in _PLAIN_FIELDS},
        "bounds": bounds,
        "moments": [numbers.count, hex(numbers.total), hex(numbers.squares)],
        "quantiles": base64.b64encode(column.quantiles.serialize()).decode(),
        "distinct": base64.b64encode(column.distinct.serialize()).decode(),
    }


def _column(document: dict[str, Any], known_texts: Mapping[str, frozenset[str]]) -> ColumnProfile:
    count, total, squares = document["moments"]
    column = ColumnProfile(
        str(document["name"]),
        known_texts.get(document["name"], frozenset()),
        moments=Moments(int(count), int(total, 16), int(squares, 16)),
        quantiles=Quantiles.deserialize(base64.b64decode(document["quantiles"])),
        distinct=Distinct.deserialize(base64.b64decode(document["distinct"])),
        **{name: document[name] for name in _PLAIN_FIELDS},
    )
    if document["bounds"]:
        column.minimum, column.maximum = map(float, document["bounds"])
    return column
