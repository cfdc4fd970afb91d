"""Completion of `python -m local` in a shell."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import localcloud
import typer

from delivery.commands.project import find_project

VARIABLE = "_PYTHON_M_LOCAL_COMPLETE"
EXAMPLES = """Examples (.bashrc or .zshrc may contain the line too):

  eval "$(.venv/bin/python -m local completion bash)"

  eval "$(.venv/bin/python -m local completion zsh)"
"""
FILES = "<file>"  # asks the shell for file names; no command takes such a word
# `python` runs other programs too: the functions answer after `-m local` alone, and leave the rest to what
# the shell had before, or to file names.
BASH = """\
_python_m_local() {
    COMPREPLY=()
    if [ "${COMP_WORDS[1]}" = -m ] && [ "${COMP_WORDS[2]}" = local ] && [ "$COMP_CWORD" -ge 3 ]; then
        local IFS=$'\\n'
        COMPREPLY=( $(env COMP_WORDS="python_m_local ${COMP_WORDS[*]:3}" COMP_CWORD=$((COMP_CWORD - 2)) \\
            %(variable)s=complete_bash "${COMP_WORDS[0]}" -m local 2>/dev/null) )
        case ${COMPREPLY[0]} in
            *"%(files)s") COMPREPLY=() ;;
            *) compopt +o default 2>/dev/null ;;
        esac
    elif declare -F _python >/dev/null; then
        _python "$@"
    fi
}
complete -o default -F _python_m_local python python3
"""
ZSH = """\
(( $+functions[compdef] )) || { autoload -U +X compinit && compinit -u }
_python_m_local() {
    if [[ $words[2] == -m && $words[3] == local ]] && (( CURRENT >= 4 )); then
        local -a found
        found=("${(@f)$(env COMP_WORDS="python_m_local ${words[4,-1]}" COMP_CWORD=$((CURRENT - 3)) \\
            %(variable)s=complete_bash ${(Q)words[1]} -m local 2>/dev/null)}")
        if [[ $found[1] == *"%(files)s" ]]; then _files; else compadd -a -- found; fi
    else
        _python "$@"
    fi
}
compdef _python_m_local python python3
"""


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
    sys.stdout.write(SCRIPTS[shell] % {"variable": VARIABLE, "files": FILES})


def complete_file(incomplete: str) -> list[str]:
    """Let the shell complete the name of a file; typer drops an answer that does not begin as the word."""
    return [f"{incomplete}{FILES}"]


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """Return the models that begin so: the files of the project's `container/models`."""
    project = find_project(context)
    folder = project.root / "container" / "models" / ("image" if project.is_image else "")
    return sorted(path.stem for path in folder.glob("[!_]*.py") if path.stem.startswith(incomplete))


def complete_endpoint(context: typer.Context, incomplete: str) -> list[str]:
    """Return the endpoints of the running local cloud that begin so, by the ports of their servers.

    A client of AWS's API takes half a second to make, too long for a shell that waits.
    """
    project = find_project(context)
    if localcloud.find(project.cloud) is None:
        return []
    names = (path.parent.name for path in (project.state / "endpoints").glob("*/port"))
    return sorted(name for name in names if name.startswith(incomplete))


def complete_running(context: typer.Context, incomplete: str) -> list[str]:
    """Return the jobs and builds with running processes that begin so, as quickly as an endpoint."""
    cloud = localcloud.find(find_project(context).cloud)
    names = (arn.rpartition("/")[2] for arn in cloud.processes()) if cloud else ()
    return sorted(name for name in names if name.startswith(incomplete))
