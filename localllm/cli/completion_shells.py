"""What each shell is given so that Tab completes localllm, and how Bash is answered."""

from __future__ import annotations

import os
from typing import ClassVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

PROGRAM, VARIABLE = "localllm", "_LOCALLLM_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_BASH = r"""
%(complete_func)s() {
    local IFS=$'\n' line="${COMP_LINE:0:COMP_POINT}" cur type value
    cur="${line##*[[:space:]]}"
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case "$type" in
        dir) compopt -o dirnames 2>/dev/null ;;
        file) compopt -o default 2>/dev/null ;;
        plain)
            # Bash takes a colon for the end of a word: what is before it is there already.
            [[ "$cur" == *:* && "$COMP_WORDBREAKS" == *:* ]] && value="${value#"${cur%%"${cur##*:}"}"}"
            COMPREPLY+=("$value")
            ;;
        esac
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1")
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Bash, with words that have colons, as names of models have; the version of macOS, too."""

    source_template: ClassVar[str] = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor, as a shell does: the variable COMP_WORDS holds it."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    @staticmethod
    def _check_version() -> None:
        """Older ones do, too: what they lack is left out."""


class _Zsh(ZshComplete):
    """Zsh, also at the second Tab.

    Click 8.5 asks whether its file is being loaded by itself; the second call, which it is not,
    registers the function instead of completing. What is sourced or evaluated is told apart here.
    """

    def source(self) -> str:
        once = "$zsh_eval_context[-1] == loadautofunc"
        return super().source().replace(once, "$zsh_eval_context[-1] != (file|eval)")


add_completion_class(_Bash)
add_completion_class(_Zsh)


def script_for(shell: str, command: click.Command) -> str:
    """Write what the shell is to read."""
    kind = get_completion_class(shell)
    assert kind is not None, "one of SHELLS"
    return kind(command, {}, PROGRAM, VARIABLE).source()


def items(names: dict[str, str], begun: str) -> list[CompletionItem]:
    """Make what click proposes of names with what they mean."""
    return [
        CompletionItem(name, help=said) for name, said in names.items() if name.startswith(begun)
    ]
