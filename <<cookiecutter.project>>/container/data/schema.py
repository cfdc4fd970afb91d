"""The schema that is part of a model artifact: its target, its features, and the numbers of their texts."""

import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from container.data import values
from container.data.values import Labels, NumberFormat, Reading
from container.runtime.errors import UserError

VERSION = 1
TABULAR, IMAGE = "tabular", "image"
Task = Literal["regression", "binary", "multiclass"]
Kind = Literal["numeric", "categorical", "date"]
PRESENT = Reading()


@dataclass(frozen=True)
class Target:
    """Hold what is predicted; a class is encoded as its index in `classes`."""

    name: str
    task: Task
    classes: tuple[str, ...] | None = None
    number_format: NumberFormat | None = None
    reading: Reading = field(default=PRESENT, compare=False)

    @classmethod
    def of_classes(cls, name: str, classes: tuple[str, ...], reading: Reading = PRESENT) -> "Target":
        """Return a target of two classes or more."""
        task: Task = "binary" if len(classes) == 2 else "multiclass"  # noqa: PLR2004 - a pair
        return cls(name, task, classes, reading=reading)

    @cached_property
    def labels(self) -> Labels:
        """Return the classes, to be found by any text that is equal to one."""
        return Labels(self.classes or ())

    def predicts_as(self, other: "Target") -> bool:
        """Return whether another target has the same name and task, and classes that are equal as labels."""
        keys, others = (
            None if target.classes is None else tuple(map(values.label_key, target.classes))
            for target in (self, other)
        )
        return (self.name, self.task, keys) == (other.name, other.task, others)

    def encode(self, text: str) -> float:
        """Return a label as a number, NaN when missing.

        Raises:
            ValueError: the text is not one of the classes, or not a finite number.
        """
        text = text.strip(values.BLANKS)
        is_class = text in self.labels.codes  # one of images may be named by a word for "missing"
        if not is_class and self.reading.is_missing(text, self.number_format):
            return math.nan
        if self.classes is None:
            return _finite(text, self)
        code = self.labels.find(text)
        if code is None:
            raise ValueError(f"'{text}' is not one of the classes of {self.name}")
        return float(code)


@dataclass(frozen=True)
class Feature:
    """Hold a column that the model sees, and how its text becomes a number.

    `strays` are cells that did not fit the kind in training: they are missing values. A `boolean` is numeric,
    and had no other numbers than 0 and 1: true, yes and their like are 1, and false, no and their like are 0.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] | None = None
    other: bool = False
    format: str | None = None  # of a date
    number_format: NumberFormat | None = None  # None for numbers as Python reads them
    strays: bool = False
    boolean: bool = False
    reading: Reading = field(default=PRESENT, compare=False)

    @cached_property
    def labels(self) -> Labels:
        """Return the categories, to be found by any text that is equal to one."""
        return Labels(self.categories or ())

    @cached_property
    def codes(self) -> dict[str, int]:
        """Return the number of each category; those of true and false are known in upper and lower case."""
        codes = {text: code for code, text in enumerate(self.categories or ())}
        folded = {text.lower() for text in codes}
        if folded <= values.BOOLEANS and len(folded) == len(codes):
            spelled = (str.lower, str.upper, str.capitalize)
            codes |= {spell(text): code for text, code in codes.items() for spell in spelled}
        return codes

    def encode(self, text: str) -> float:
        """Return a cell as the number that the model sees.

        NaN is a missing value, an unknown category or an unreadable date. Where `other` is set, an unknown
        category has the number after the last.

        Raises:
            ValueError: the column is numeric, and the text is infinite, or not a number although training had
                only numbers.
        """
        text = text.strip(values.BLANKS)
        if self.reading.is_missing(text, self.number_format):
            return math.nan
        if self.kind == "numeric":
            truth = values.TRUTH.get(text.lower()) if self.boolean else None
            if truth is not None:
                return float(truth)
            return _finite(text, self, strays=self.strays)
        if self.kind == "date":
            moment = values.parse_timestamp(text, self.format or values.ISO)
            return math.nan if moment is None else moment
        code = self.codes.get(text) if self.reading.version == 1 else self.labels.find(text)
        if code is not None:
            return float(code)
        return float(len(self.categories or ())) if self.other else math.nan

    def spell(self, text: str) -> str:
        """Return a cell that `prepare` wrote as `encode` reads it: a plain number has the column's format."""
        return text if self.number_format is None else self.number_format.spell(text)

    @property
    def levels(self) -> int:
        """Return the number of values that a categorical feature can have, 0 for any other feature."""
        return len(self.categories) + self.other if self.categories is not None else 0


@dataclass(frozen=True)
class Schema:
    """Hold a table's target and features, in the order of the model's input.

    Images have no features, and `side` is that of the square, in pixels, that the model sees. `left_out` are
    the table's columns that the model does not see, such as ids.
    """

    target: Target
    features: tuple[Feature, ...]
    side: int | None = None
    left_out: tuple[str, ...] = ()

    @property
    def workload(self) -> str:
        """Return the kind of the data: tabular or image."""
        return TABULAR if self.side is None else IMAGE

    @property
    def reading(self) -> Reading:
        """Return the rules by which the cells of every column are read."""
        return self.target.reading

    @property
    def number_formats(self) -> dict[str, NumberFormat]:
        """Return the number formats of the target and the features, by name, but for plain numbers."""
        columns: tuple[Target | Feature, ...] = (self.target, *self.features)
        return {column.name: column.number_format for column in columns if column.number_format}

    @property
    def width(self) -> int:
        """Return the number of a model's inputs: one for each feature, or three for each pixel."""
        return len(self.features) if self.side is None else self.side * self.side * 3

    @property
    def categorical(self) -> tuple[int, ...]:
        """Return the indices of the categorical features."""
        return tuple(index for index, feature in enumerate(self.features) if feature.kind == "categorical")

    def to_json(self) -> dict[str, Any]:
        """Return the content of schema.json, of which version 1 has these keys.

        `reading` and `missing_words`: the rules for cells; without them those of the first reading. `target`:
        name, task, classes. `features`: name and kind; categories and other; format of dates. A target or a
        feature may have number_format (decimal, group and sign) and strays, a feature also boolean.
        `left_out`: names. `image`: side, of images only.
        """
        target, classes = self.target, self.target.classes
        content = {
            "version": VERSION,
            **_reading_to_json(self.reading),
            "target": {
                "name": target.name,
                "task": target.task,
                "classes": None if classes is None else list(classes),
                **_format_to_json(target.number_format),
            },
            "features": [_feature_to_json(feature) for feature in self.features],
            **({"left_out": list(self.left_out)} if self.left_out else {}),
        }
        return content if self.side is None else {**content, "image": {"side": self.side}}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Schema":
        """Return the schema of a content of schema.json.

        Raises:
            UserError: this code does not read its version.
        """
        version, reading = content.get("version"), content.get("reading", 1)
        if version != VERSION or reading not in range(1, PRESENT.version + 1):
            raise UserError(
                f"schema.json has version {version} and reading {reading}, and this container reads "
                f"version {VERSION} and readings up to {PRESENT.version}: use the container that wrote it"
            )
        target = content["target"]
        classes = target["classes"]
        rules = Reading(reading, tuple(content.get("missing_words", ())))
        return cls(
            Target(
                target["name"],
                target["task"],
                None if classes is None else tuple(classes),
                _format_from_json(target),
                rules,
            ),
            tuple(_feature_from_json(feature, rules) for feature in content["features"]),
            int(content["image"]["side"]) if "image" in content else None,
            tuple(content.get("left_out", ())),
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


def _finite(text: str, column: Target | Feature, *, strays: bool = False) -> float:
    value = values.number(text, column.number_format)
    if value is None:
        if strays:
            return math.nan
        raise ValueError(f"'{text}' is not a number, and {column.name} is numeric")
    if math.isinf(value):
        raise ValueError(f"'{text}' is infinite, and {column.name} must be finite")
    return value


def _reading_to_json(reading: Reading) -> dict[str, Any]:
    """Return the keys of a reading, of which the first version has none."""
    if reading.version == 1:
        return {}
    return {"reading": reading.version, "missing_words": list(reading.words)}


def _format_to_json(style: NumberFormat | None) -> dict[str, Any]:
    return {} if style is None else {"number_format": asdict(style)}


def _format_from_json(content: dict[str, Any]) -> NumberFormat | None:
    style = content.get("number_format")
    return None if style is None else NumberFormat(**style)


def _feature_to_json(feature: Feature) -> dict[str, Any]:
    content: dict[str, Any] = {"name": feature.name, "kind": feature.kind}
    if feature.kind == "categorical":
        content |= {"categories": list(feature.categories or ()), "other": feature.other}
    if feature.kind == "date":
        content |= {"format": feature.format}
    content |= _format_to_json(feature.number_format)
    return content | {name: True for name in ("strays", "boolean") if getattr(feature, name)}


def _feature_from_json(content: dict[str, Any], reading: Reading) -> Feature:
    categories = content.get("categories")
    return Feature(
        content["name"],
        content["kind"],
        None if categories is None else tuple(categories),
        bool(content.get("other", False)),
        content.get("format"),
        _format_from_json(content),
        bool(content.get("strays", False)),
        bool(content.get("boolean", False)),
        reading,
    )
