"""Expressions `#{namespace.name}` in the configuration of actions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localcloud.services.codepipeline.errors import configuration_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXPRESSION = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_-]+)\}")


def namespaces_in(texts: Iterable[str]) -> set[str]:
    """Return the namespaces that texts refer to."""
    return {match.group(1) for text in texts for match in EXPRESSION.finditer(text)}


def resolve(text: str, namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """Replace each expression by its value; a value is not resolved again.

    Raises:
        ActionError: an expression has no value.
    """

    def value(match: re.Match[str]) -> str:
        namespace, name = match.groups()
        if name not in namespaces.get(namespace, {}):
            raise configuration_error(
                f"{match.group()} can't be resolved: no variable {name} in namespace {namespace}"
            )
        return namespaces[namespace][name]

    return EXPRESSION.sub(value, text)
