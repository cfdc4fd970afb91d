"""The schema that is part of a model artifact: its target, its features, and the numbers of their texts."""

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from container.data import values
from container.runtime.errors import UserError

VERSION = 1
TABULAR, IMAGE = "tabular", "image"
Task = Literal["regression", "binary", "multiclass"]
Kind = Literal["numeric", "categorical", "date"]


@dataclass(frozen=True)
class Target:
    """Hold what is predicted; a class is encoded as its index in `classes`."""

    name: str
    task: Task
    classes: tuple[str, ...] | None = None

    @classmethod
    def of_classes(cls, name: str, classes: tuple[str, ...]) -> "Target":
        """Return a target of two classes or more."""
        return cls(name, "binary" if len(classes) == 2 else "multiclass", classes)  # noqa: PLR2004 - a pair

    @cached_property
    def codes(self) -> dict[str, int]:
        """Return the number of each class; those of a boolean are known in upper and lower case."""
        return _codes(self.classes or ())

    def encode(self, text: str) -> float:
        """Return a label as a number, NaN when missing.

        Raises:
            ValueError: the text is not one of the classes, or not a finite number.
        """
        text = text.strip(values.BLANKS)
        if values.is_missing(text):
            return math.nan
        if self.classes is not None:
            if text not in self.codes:
                raise ValueError(f"'{text}' is not one of the classes of {self.name}")
            return float(self.codes[text])
        return _finite(text, self.name)


@dataclass(frozen=True)
class Feature:
    """Hold a column that the model sees, and how its text becomes a number."""

    name: str
    kind: Kind
    categories: tuple[str, ...] | None = None
    other: bool = False
    format: str | None = None

    @cached_property
    def codes(self) -> dict[str, int]:
        """Return the number of each category; those of a boolean are known in upper and lower case."""
        return _codes(self.categories or ())

    def encode(self, text: str) -> float:
        """Return a cell as the number that the model sees.

        NaN is a missing value, an unknown category or an unreadable date. Where `other` is set, an unknown
        category has the number after the last.

        Raises:
            ValueError: the column is numeric and the text is not a finite number.
        """
        text = text.strip(values.BLANKS)
        if values.is_missing(text):
            return math.nan
        if self.kind == "numeric":
            return _finite(text, self.name)
        if self.kind == "date":
            moment = values.parse_timestamp(text, self.format or values.DATE_FORMATS[0])
            return math.nan if moment is None else moment
        code = self.codes.get(text)
        if code is not None:
            return float(code)
        return float(len(self.categories or ())) if self.other else math.nan

    @property
    def levels(self) -> int:
        """Return the number of values that a categorical feature can have, 0 for any other feature."""
        return len(self.categories) + self.other if self.categories is not None else 0


@dataclass(frozen=True)
class Schema:
    """Hold a table's target and features, in the order of the model's input.

    Images have no features, and `side` is that of the square, in pixels, that the model sees.
    """

    target: Target
    features: tuple[Feature, ...]
    side: int | None = None

    @property
    def workload(self) -> str:
        """Return the kind of the data: tabular or image."""
        return TABULAR if self.side is None else IMAGE

    @property
    def width(self) -> int:
        """Return the number of a model's inputs: one for each feature, or three for each pixel."""
        return len(self.features) if self.side is None else self.side * self.side * 3

    @property
    def categorical(self) -> tuple[int, ...]:
        """Return the indices of the categorical features."""
        return tuple(index for index, feature in enumerate(self.features) if feature.kind == "categorical")

    def to_json(self) -> dict[str, Any]:
        """Return the content of schema.json."""
        target, classes = self.target, self.target.classes
        content = {
            "version": VERSION,
            "target": {
                "name": target.name,
                "task": target.task,
                "classes": None if classes is None else list(classes),
            },
            "features": [_feature_to_json(feature) for feature in self.features],
        }
        return content if self.side is None else {**content, "image": {"side": self.side}}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Schema":
        """Return the schema of a content of schema.json.

        Raises:
            UserError: this code does not read its version.
        """
        if content.get("version") != VERSION:
            raise UserError(
                f"schema.json has version {content.get('version')}, this container reads {VERSION}"
            )
        target = content["target"]
        classes = target["classes"]
        return cls(
            Target(target["name"], target["task"], None if classes is None else tuple(classes)),
            tuple(_feature_from_json(feature) for feature in content["features"]),
            int(content["image"]["side"]) if "image" in content else None,
        )

    def write(self, path: Path) -> None:
        """Write schema.json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Schema":
        """Read schema.json.

        Raises:
            UserError: the file is missing or is not a schema.
        """
        try:
            return cls.from_json(json.loads(path.read_bytes()))
        except FileNotFoundError as error:
            raise UserError(f"{path.name} is missing in {path.parent}: 'prepare' writes it") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path.name} is not a schema: {error}") from error


def _codes(texts: tuple[str, ...]) -> dict[str, int]:
    codes = {text: code for code, text in enumerate(texts)}
    if {text.lower() for text in texts} <= values.BOOLEANS and len({text.lower() for text in texts}) == len(
        texts
    ):
        spelled = (str.lower, str.upper, str.capitalize)
        codes |= {spell(text): code for text, code in codes.items() for spell in spelled}
    return codes


def _finite(text: str, name: str) -> float:
    value = values.number(text)
    if value is None:
        raise ValueError(f"'{text}' is not a number, and {name} is numeric")
    if math.isinf(value):
        raise ValueError(f"'{text}' is infinite, and {name} must be finite")
    return value


def _feature_to_json(feature: Feature) -> dict[str, Any]:
    content: dict[str, Any] = {"name": feature.name, "kind": feature.kind}
    if feature.kind == "categorical":
        content |= {"categories": list(feature.categories or ()), "other": feature.other}
    if feature.kind == "date":
        content |= {"format": feature.format}
    return content


def _feature_from_json(content: dict[str, Any]) -> Feature:
    categories = content.get("categories")
    return Feature(
        content["name"],
        content["kind"],
        None if categories is None else tuple(categories),
        bool(content.get("other", False)),
        content.get("format"),
    )
