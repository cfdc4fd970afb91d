"""Run one of the container's commands, as SageMaker calls the image: `python -m container train`."""

import importlib
import os
import sys
import traceback

from container.runtime import failure
from container.runtime.errors import UsageError, UserError, is_full
from container.runtime.privileges import step_down

COMMANDS = {
    "prepare": "container.prepare",
    "train": "container.train",
    "evaluate": "container.evaluation.command",
    "serve": "container.serving",
    "monitor": "container.monitor",
}
# Prediction uses one thread: serving processes share the processors, and sums keep their order.
SINGLE_THREADED = ("evaluate", "serve")


def main(arguments: list[str]) -> int:
    """Run a command; return its exit code: 0, 1 for a fault that is told in one line, 2 for a wrong call."""
    try:
        step_down()
        _run(arguments)
    except UsageError as error:
        return _fail(str(error), 2)
    except UserError as error:
        return _fail(str(error), 1)
    except Exception as error:  # noqa: BLE001  the last line before SageMaker: whatever it is, it gets one line
        if is_full(error):
            return _fail(f"{error}; free some space, or give the job a larger volume", 1)
        traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}", 1)
    return 0


def _run(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        given = " ".join(arguments) or "nothing"
        raise UsageError(f"expected one of {', '.join(COMMANDS)} as the only argument, and got {given}")
    if arguments[0] in SINGLE_THREADED:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    importlib.import_module(COMMANDS[arguments[0]]).main()


def _fail(reason: str, code: int) -> int:
    failure.report(reason)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
