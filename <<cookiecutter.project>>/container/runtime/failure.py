"""The files from which SageMaker takes the reason of a failed job."""

import sys

from container.runtime.paths import ContainerPaths

MAX_REASON = 1024  # SageMaker cuts FailureReason and ExitMessage here


def report(reason: str) -> None:
    """Write the reason, in one line, to the log and to the files of both kinds of job."""
    line = " ".join(reason.split())[:MAX_REASON]
    print(f"error: {line}", file=sys.stderr, flush=True)  # noqa: T201 - the log of a job is its output
    paths = ContainerPaths.current()
    for path in (paths.failure, paths.message):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(line + "\n", encoding="utf-8")
        except OSError as problem:
            text = f"warning: {path} could not be written: {problem}"
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - the log of a job is its output
