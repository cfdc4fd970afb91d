"""Completion of `python -m local` in a shell."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

VARIABLE = "_PYTHON_M_LOCAL_COMPLETE"
EXAMPLES = """Examples, of which the line may stand in .bashrc or .zshrc:

  eval "$(.venv/bin/python -m local completion bash)"

  eval "$(.venv/bin/python -m local completion zsh)"
"""
# `python` runs other programs too: the function answers after `-m local` alone, and leaves the rest to what
# the shell had before, or to file names.
BASH = """\
_python_m_local() {
    COMPREPLY=()
    if [ "${COMP_WORDS[1]}" = -m ] && [ "${COMP_WORDS[2]}" = local ] && [ "$COMP_CWORD" -ge 3 ]; then
        local IFS=$'\\n'
        COMPREPLY=( $(env COMP_WORDS="python_m_local ${COMP_WORDS[*]:3}" COMP_CWORD=$((COMP_CWORD - 2)) \\
            %(variable)s=complete_bash "${COMP_WORDS[0]}" -m local 2>/dev/null) )
    elif declare -F _python >/dev/null; then
        _python "$@"
    fi
}
complete -o default -F _python_m_local python python3
"""
ZSH = "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n" + BASH


class Shell(StrEnum):
    """The shells that are completed."""

    bash = "bash"
    zsh = "zsh"


SCRIPTS = {Shell.bash: BASH, Shell.zsh: ZSH}


def register(app: typer.Typer) -> None:
    """Add the command; where a shell asks for words, let typer answer it."""
    if VARIABLE in os.environ:
        # otherwise done by typer's options --install-completion, which would complete every `python`
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
    app.command(epilog=EXAMPLES)(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that evaluates the output.")]) -> None:
    """Print the completion of these commands for a shell to evaluate."""
    sys.stdout.write(SCRIPTS[shell] % {"variable": VARIABLE})
