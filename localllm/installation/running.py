"""Runs an installer, and says in our words why it failed."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from localllm.errors import LocalLLMError, NoNetwork, NoSpace
from localllm.installation.commands import Words

_WITHIN_S = 3 * 3600.0
"""For a gigabyte over a slow line."""

_NO_SPACE = "no space left on device"
_NOT_FOUND = (
    *("no matching distribution", "could not find a version", "no solution found"),
    *("not found in the package registry", "was not found in the provided package locations"),
)
_USUAL_PLACES = ("~/.local/bin", "~/.cargo/bin", "/opt/homebrew/bin", "/usr/local/bin")
_SHOWN_LINES = 3


class InstallerFailed(LocalLLMError):
    """The installer did not do what it was told."""


def run_installer(words: Words, environment: Mapping[str, str], what: str) -> tuple[str, str]:
    """Run it to its end.

    Args:
        what: What will not be there if it fails, as in "localllm 0.3 could not be fetched."

    Returns:
        What it has said on stdout and on stderr.

    Raises:
        NoNetwork: The index is out of reach, or has no such version.
        NoSpace: The disk is too full.
        InstallerFailed: It is not there, or has failed otherwise.
    """
    program = find_program(words[0], environment)
    try:
        done = subprocess.run(
            [program, *words[1:]],
            env={"UV_SYSTEM_CERTS": "1", **environment, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallerFailed(what, why=str(error), fix=f"try it: {shlex.join(words)}") from error
    if done.returncode != 0:
        raise _failed(what, words, done.stderr or done.stdout)
    return done.stdout, done.stderr


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """Find an installer on PATH, or where its own installer puts it.

    Raises:
        InstallerFailed: It is nowhere.
    """
    places = [environment.get("PATH") or "", *_USUAL_PLACES]
    path = ":".join(str(Path(place).expanduser()) for place in ":".join(places).split(":") if place)
    found = shutil.which(name, path=path)
    if found is None:
        raise InstallerFailed(
            f"{name} is not here.",
            why=f"localllm was installed with {name}, and nothing else may change it",
            fix=f"put {name} on PATH, and try again",
        )
    return found


def _failed(what: str, words: Words, said: str) -> LocalLLMError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "cause"))]
    why = "; ".join((errors or lines)[-_SHOWN_LINES:]) or "the installer gave no reason"
    if _NO_SPACE in said.lower():
        return NoSpace(what, why=why, fix="free some space, and try again")
    if any(word in said.lower() for word in _NOT_FOUND):
        fix = "connect to the network, or name a version that there is (--to), or a source (--from)"
        return NoNetwork(what, why=why, fix=fix)
    return InstallerFailed(what, why=why, fix=f"see what it says: {shlex.join(words)}")
