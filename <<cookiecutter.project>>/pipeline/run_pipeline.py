"""Render what each stage of the pipeline is given, from project.toml, a commit, data and an execution.

Calls nothing and reads no clock: the same arguments give the same bytes. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
# Python puts the folder of a script on the path, and the package `pipeline` is found from the folder above.
sys.path.insert(0, str(ROOT))

from pipeline.checks import list_deprecations  # noqa: E402 - the path has to be set first
from pipeline.errors import SettingsError  # noqa: E402 - the path has to be set first
from pipeline.files import list_changes, write_files  # noqa: E402 - the path has to be set first
from pipeline.parameters import render  # noqa: E402 - the path has to be set first
from pipeline.reader import read_settings  # noqa: E402 - the path has to be set first
from pipeline.run import Run, check_run, option_name, read_run, read_variables  # noqa: E402 - the path has to be set first

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    command = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for declared in fields(Run):
        rule, variable = declared.metadata["rule"], declared.metadata["environment"]
        command.add_argument(
            option_name(declared.name), metavar="TEXT", help=f"{rule.description}; else from {variable}"
        )
    command.add_argument("--project-file", type=Path, default=ROOT / "project.toml", metavar="FILE")
    command.add_argument(
        "--variables-file",
        type=Path,
        metavar="FILE",
        help="JSON of the execution's variables, for what is given neither here nor in the environment",
    )
    command.add_argument("--output-dir", type=Path, default=ROOT / "build", metavar="FOLDER")
    command.add_argument(
        "--check", action="store_true", help="write nothing, say what would change, and end 1 if so"
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Render the files; return 0 when that is done, 1 when a check found changes, 2 after an error."""
    given = parser().parse_args(arguments)
    try:
        return render_or_check(given)
    except OSError as error:
        return report_error(f"{error.strerror or error}: {error.filename or given.output_dir}.")


def render_or_check(given: argparse.Namespace) -> int:
    """Carry out the command and return its exit code."""
    try:
        environment = {name: value for name, value in os.environ.items() if value}
        run = read_run(vars(given), read_variables(given.variables_file) | environment)
    except SettingsError as error:
        return report_error(str(error))
    try:
        settings = read_settings(given.project_file)
        check_run(settings, run)
        rendered = render(settings, run)
        warn(f"{given.project_file}: {text}" for text in list_deprecations(settings))
    except SettingsError as error:
        return report_error(f"{given.project_file}: {error}")
    if not given.check:
        write_files(given.output_dir, rendered)
        return 0
    changes = list(list_changes(given.output_dir, rendered))
    sys.stdout.write("".join(f"{line}\n" for line in changes))
    return 1 if changes else 0


def warn(texts: Iterable[str]) -> None:
    """Write warnings to standard error."""
    sys.stderr.write("".join(f"warning: {text}\n" for text in texts))


def report_error(reason: str) -> int:
    """Write the reason to standard error, and return the exit code."""
    sys.stderr.write(f"error: {reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
