"""What any system that runs services can do for us."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from localllm.errors import LocalLLMError
from localllm.service.wanted import Wanted

State = Literal["active", "starting", "stopping", "inactive", "failed"]
_CALL_S = 1900.0
"""A stop lasts as long as the drain, half an hour at most that anybody would set."""


class ServiceError(LocalLLMError):
    """The system did not do what it was asked to do with the service."""


class NoServiceManager(LocalLLMError):
    """Nothing here starts services for a user."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the system says of the service; None is unknown."""

    enabled: bool
    """It starts by itself, or its socket does."""

    state: State
    pid: int | None = None
    since: float | None = None
    """Unix seconds."""

    restarts: int | None = None
    """By the system, since it was last started by hand."""

    last_exit: str | None = None
    """How it ended last, where it does not run or was started again."""

    listens: bool = False
    """The system listens for it: a request will start it."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a program of the system ended."""

    code: int
    out: str
    err: str

    @property
    def why(self) -> str:
        return (self.err.strip() or self.out.strip() or f"it ended with {self.code}").replace(
            "\n", "; "
        )


Ask = Callable[[Sequence[str]], Said]


class Manager(Protocol):
    """One of systemd and launchd, for one user."""

    @property
    def kind(self) -> str: ...

    @property
    def folder(self) -> Path:
        """Where the service's files are."""
        ...

    def render(self, wanted: Wanted) -> Mapping[str, bytes]:
        """Write the files as they are to be, by name."""
        ...

    def read(self) -> Wanted | None:
        """Read what the files that are there were made of; None if there are none of ours."""
        ...

    def is_there(self) -> bool:
        """Tell whether a file of the service's name is there, ours or not."""
        ...

    def install(self, wanted: Wanted) -> None:
        """Write the files, and have the system know them; nothing is started."""
        ...

    def uninstall(self) -> None:
        """Stop it, its requests drained, and take the files away; none being there is no error."""
        ...

    def start(self) -> None:
        """Start it; systemd waits until it listens, launchd does not."""
        ...

    def stop(self) -> None:
        """Drain it, and wait until it is gone; it is started again at the next login."""
        ...

    def look(self) -> Look: ...


def ask_system(words: Sequence[str], environment: Mapping[str, str]) -> Said:
    """Run a program of the system to its end.

    Raises:
        ServiceError: It cannot be run, or does not end.
    """
    try:
        ran = subprocess.run(
            words,
            env={**environment, "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(
            f"{words[0]} cannot be used.", why=str(error), fix=f"try it by hand: {' '.join(words)}"
        ) from error
    return Said(ran.returncode, ran.stdout, ran.stderr)


def require(said: Said, words: Sequence[str], what: str) -> Said:
    """Pass on what succeeded.

    Raises:
        ServiceError: It did not.
    """
    if said.code == 0:
        return said
    raise ServiceError(what, why=said.why, fix=f"try it by hand: {' '.join(words)}")
