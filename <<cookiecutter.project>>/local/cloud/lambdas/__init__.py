"""Lambda as ministack leaves it: weighted aliases, metrics by version, errors by their own names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cloud.lambdas import worker
from local.cloud.service import Service

if TYPE_CHECKING:
    from local.cloud.lambdas.executions import Executions


def service(executions: Executions) -> Service:
    """Return the service; its operations are ministack's."""
    endings = [executions.close]

    def install() -> None:
        endings.append(worker.install())
        executions.install()

    def close() -> None:
        for end in endings:
            end()

    return Service(name="lambda", install=install, close=close)
