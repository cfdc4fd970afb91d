"""`#{namespace.name}` in the configuration of actions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from localcloud.services.codepipeline.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EXPRESSION = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_-]+)\}")


def namespaces_in(texts: Iterable[str]) -> set[str]:
    """Return the namespaces that texts refer to."""
    return {found.group(1) for text in texts for found in EXPRESSION.finditer(text)}


def resolved(text: str, namespaces: Mapping[str, Mapping[str, str]]) -> str:
    """Put values in place of expressions, as they are; raise ActionError for one that has no value."""

    def value(found: re.Match[str]) -> str:
        namespace, name = found.groups()
        if name not in namespaces.get(namespace, {}):
            raise ActionError(
                "ConfigurationError",
                f"{found.group()} can't be resolved: no variable {name} in namespace {namespace}",
            )
        return namespaces[namespace][name]

    return EXPRESSION.sub(value, text)
