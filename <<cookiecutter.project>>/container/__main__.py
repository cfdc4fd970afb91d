"""The container's command line, as SageMaker calls the image: `python -m container train`."""

import gc
import os
import sys
import traceback

from container.runtime import failure
from container.runtime.errors import UsageError, UserError, is_full
from container.runtime.privileges import drop_privileges

# Prediction uses one thread: serving processes share the processors, and sums keep their order.
SINGLE_THREADED = ("evaluate", "serve")


def main(arguments: list[str]) -> int:
    """Run a command; return its exit code.

    It is 0 for success, 1 for a failure, whose reason is reported in one line, and 2 for wrong arguments.

    Raises:
        SystemExit: the command has ended the process itself.
    """
    try:
        drop_privileges()
        _run(arguments)
    except UsageError as error:
        return _fail(str(error), 2)
    except UserError as error:
        return _fail(str(error), 1)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - SageMaker needs a reason in one line for any error
        # A panic of polars is a BaseException (pyo3's PanicException).
        if is_full(error):
            return _fail(f"{error}; free some space, or give the job a larger volume", 1)
        traceback.print_exc()
        return _fail(f"{type(error).__name__}: {error}".removesuffix(": "), 1)
    return 0


def _run(arguments: list[str]) -> None:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        actual = " ".join(arguments) or "nothing"
        raise UsageError(f"expected one of {', '.join(COMMANDS)} as the only argument, and got {actual}")
    if arguments[0] in SINGLE_THREADED:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    COMMANDS[arguments[0]]()


# Each command imports its module when it runs: it loads only the libraries that it needs, after the settings
# of threads above, which libraries read when they are imported.


def _prepare() -> None:
    from container.prepare import main as command  # noqa: PLC0415 - see above

    command()


def _train() -> None:
    from container.train import main as command  # noqa: PLC0415 - see above

    command()


def _evaluate() -> None:
    from container.evaluation.command import main as command  # noqa: PLC0415 - see above

    command()


def _serve() -> None:
    from container.serving import main as command  # noqa: PLC0415 - see above

    command()


def _monitor() -> None:
    from container.monitor import main as command  # noqa: PLC0415 - see above

    command()


COMMANDS = {"prepare": _prepare, "train": _train, "evaluate": _evaluate, "serve": _serve, "monitor": _monitor}


def _fail(reason: str, code: int) -> int:
    failure.report(reason)
    return code


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    # Before its end the interpreter would look for cycles in all that was imported: a tenth of a short job.
    # The sketches of `monitor` need that: their library lists on standard error each one that is still there.
    if sys.argv[1:] != ["monitor"]:
        gc.freeze()
    sys.exit(exit_code)
