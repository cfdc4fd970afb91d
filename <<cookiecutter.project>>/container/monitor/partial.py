"""What an instance or a process knows of its share of the data, in a form that can be sent and merged."""

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

_VERSION = 1
_PLAIN = ("missing", "integral", "fractional", "text", "pointed", "texts", "crowded")


@dataclass
class Partial:
    """Hold the profile of some rows, and what was left out on the way."""

    profile: TableProfile = field(default_factory=TableProfile)
    counts: Counts = field(default_factory=Counts)

    def merge(self, other: "Partial") -> None:
        """Add what is known of another share."""
        self.profile.merge(other.profile)
        self.counts += other.counts

    def stored(self) -> bytes:
        """Return it as JSON: numbers exactly, sketches as their libraries store them."""
        document = {
            "version": _VERSION,
            "rows": self.profile.rows,
            "columns": [_column_document(column) for column in self.profile.columns.values()],
            "counts": asdict(self.counts),
        }
        return orjson.dumps(document)


def restored(stored: bytes, known: Mapping[str, frozenset[str]], name: str) -> Partial:
    """Return the partial result that was stored under a name; refuse what is none."""
    try:
        document = orjson.loads(stored)
        if document["version"] != _VERSION:
            raise UserError(f"{name} has version {document['version']}, and this container reads {_VERSION}")
        columns = [_column(column, known) for column in document["columns"]]
        profile = TableProfile(int(document["rows"]), {column.name: column for column in columns}, known)
        return Partial(profile, Counts(**document["counts"]))
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{name} is no partial result of the monitor: {error}") from error


def _column_document(column: ColumnProfile) -> dict[str, Any]:
    numbers = column.moments
    bounds = [column.minimum, column.maximum] if numbers.count else []
    return {
        "name": column.name,
        **{name: getattr(column, name) for name in _PLAIN},
        "bounds": bounds,
        "moments": [numbers.count, hex(numbers.total), hex(numbers.squares)],
        "quantiles": base64.b64encode(column.quantiles.stored()).decode(),
        "distinct": base64.b64encode(column.distinct.stored()).decode(),
    }


def _column(document: dict[str, Any], known: Mapping[str, frozenset[str]]) -> ColumnProfile:
    count, total, squares = document["moments"]
    column = ColumnProfile(
        str(document["name"]),
        known.get(document["name"], frozenset()),
        moments=Moments(int(count), int(total, 16), int(squares, 16)),
        quantiles=Quantiles.restored(base64.b64decode(document["quantiles"])),
        distinct=Distinct.restored(base64.b64decode(document["distinct"])),
        **{name: document[name] for name in _PLAIN},
    )
    if document["bounds"]:
        column.minimum, column.maximum = map(float, document["bounds"])
    return column
