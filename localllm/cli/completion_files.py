"""Where shells look for what completes a command, and what of it is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

MARK = "# written by localllm completion, version 1"
"""In the first lines of each; without it, a file is somebody else's."""

_HEAD_BYTES = 300


def place_of(shell: str, environment: Mapping[str, str]) -> Path:
    """Find the file of a shell.

    Source: bash-completion's README; fish, complete(1); zsh leaves it to the user.
    """
    home = Path(environment.get("HOME") or "~").expanduser()
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    bash = Path(environment.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion")
    return {
        "bash": bash / "completions" / "localllm",
        "zsh": data / "zsh" / "site-functions" / "_localllm",
        "fish": config / "fish" / "completions" / "localllm.fish",
    }[shell]


def completion_files(environment: Mapping[str, str]) -> Sequence[Path]:
    """Find those that are there and ours."""
    places = (place_of(shell, environment) for shell in ("bash", "zsh", "fish"))
    return [file for file in places if is_ours(file)]


def is_ours(file: Path) -> bool:
    """Tell whether we have written a file; no link is followed."""
    try:
        if file.is_symlink():
            return False
        with file.open("rb") as opened:
            return MARK.encode() in opened.read(_HEAD_BYTES)
    except OSError:
        return False


def marked(script: str) -> str:
    """Sign a script; zsh wants its own word in the first line."""
    head, line, rest = script.strip().partition("\n")
    if head.startswith("#compdef"):
        return f"{head}{line}{MARK}\n{rest}\n"
    return f"{MARK}\n{head}{line}{rest}\n"
