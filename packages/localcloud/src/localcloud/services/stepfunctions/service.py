"""What state machines have here besides ministack's: the cloud's clock, and the Output of a Succeed state.

The clock's milliseconds run at the cloud's speed, and every text shows the real time. So what a machine
measures between two times is what it would be on AWS, which is how long its Wait states are meant to be, and
a time that it gives to another service is one of this machine.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jsonata.functions import Functions

from localcloud.core import ministack
from localcloud.core.clock import now
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.clock import Clock
    from localcloud.core.context import CloudContext


def service(context: CloudContext) -> Service:
    """Return the service; its operations are ministack's."""
    return Service(name="stepfunctions", install=partial(install, context.clock))


def install(clock: Clock) -> None:
    """Give every expression the clock, and every Succeed state its Output."""
    _install_clock(clock)
    _install_output()


def _install_clock(clock: Clock) -> None:
    register = ministack.name(ministack.STEPS, "_register_sfn_jsonata_functions")
    parse = ministack.name(ministack.STEPS, "_sfn_jsonata_to_millis")

    def registered(expression: Any) -> None:
        register(expression)
        at = there(clock, round(now() * 1000))
        expression.register_lambda("millis", lambda: at)
        expression.register_lambda("toMillis", lambda *given: there(clock, parse(*given)))
        expression.register_lambda("fromMillis", lambda millis=None, *form: text(clock, millis, *form))

    ministack.replace(ministack.STEPS, "_register_sfn_jsonata_functions", registered)


def _install_output() -> None:
    """Mend ministack, which passes a Succeed state's input on, whatever Output it has in JSONata."""
    by_path = ministack.name(ministack.STEPS, "_apply_output_path")
    by_jsonata = ministack.name(ministack.STEPS, "_apply_jsonata_output")
    language = ministack.name(ministack.STEPS, "_state_query_language")

    def applied(state: Any, data: Any, context: Any = None) -> Any:
        if state["Type"] == "Succeed" and language(state, context) == "JSONata":
            return by_jsonata(state, data, context, default=data)
        return by_path(state, data, context)

    ministack.replace(ministack.STEPS, "_apply_output_path", applied)


def there(clock: Clock, millis: int | None) -> int | None:
    """Return a time of this machine as the clock shows it; what is not defined stays so."""
    return None if millis is None else round(clock.to_simulated(millis / 1000) * 1000)


def text(
    clock: Clock, millis: float | None, picture: str | None = None, zone: str | None = None
) -> str | None:
    """Return the real time that the clock shows as `millis`, in the form that is asked for."""
    real = None if millis is None else round(clock.to_real(millis / 1000) * 1000)
    written: str | None = Functions.datetime_from_millis(real, picture, zone)
    return written
