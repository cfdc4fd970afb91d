"""Lambda of ministack with weighted aliases, metrics by version, and errors by their own names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from localcloud.core.service import Service
from localcloud.services.awslambda import worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.services.awslambda.executions import Executions


def service(executions: Executions) -> Service:
    """Return the service; its operations are ministack's."""
    endings: list[Callable[[], None]] = []

    def install() -> None:
        endings.append(worker.install())
        executions.install()

    def close() -> None:
        for end in endings:
            end()

    return Service(name="lambda", install=install, close=close)
