"""Where a checkup looks: everything it reads of the world goes through here, so that a test can make a world up."""

from __future__ import annotations

import getpass
import grp
import os
import platform
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from localllm.paths import Paths, bundled_profiles

Ask = Callable[[Sequence[str]], str | None]
"""Runs a program and gives what it printed; None if there is none, or it did not end in time."""

ASK_DEADLINE_S = 0.8
_DIES_WITHIN_S = 0.05
"""One that does not hangs in the kernel, where no signal gets."""

_MOST_BYTES = 1 << 20
"""Of a file that is read for a fact: all of those are small."""

_LIMITS = {
    "address space": resource.RLIMIT_AS,
    "locked memory": resource.RLIMIT_MEMLOCK,
    "open files": resource.RLIMIT_NOFILE,
}


@dataclass(frozen=True, slots=True)
class Place:
    """One computer, one user, one installation."""

    paths: Paths
    environment: Mapping[str, str] = field(repr=False)
    """There are secrets in it."""

    root: Path = Path("/")
    """Where /proc, /sys, /dev, /etc and /mnt are read."""

    system: str = "linux"
    """linux or darwin."""

    home: Path = Path("/nonexistent")
    user: str = "nobody"
    user_id: int = 65_534
    groups: frozenset[int] = frozenset()
    profiles: Path = Path("profiles")
    offline: bool = False
    """Ask no hub."""

    on_terminal: bool = False
    limits: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    """Of this process, by their names in `_LIMITS`; None is unlimited."""

    ask: Ask = lambda _: None
    now: Callable[[], float] = time.time

    def read(self, path: str) -> str:
        """Read a small text file below the root; empty if it is not there or not ours to read."""
        return read_text(self.root / path)

    def lists(self, pattern: str) -> list[Path]:
        """List what matches below the root, by name; a folder that cannot be read has nothing."""
        try:
            return sorted(self.root.glob(pattern))
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.root / path)


def this_place(paths: Paths, *, offline: bool = False) -> Place:
    """The computer that this process runs on."""
    return Place(
        paths,
        dict(os.environ),
        system=platform.system().lower(),
        home=Path.home(),
        user=_user(),
        user_id=os.geteuid(),
        groups=frozenset({os.getegid(), *os.getgroups()}),
        profiles=bundled_profiles(),
        offline=offline,
        on_terminal=sys.stdout.isatty(),
        limits={name: _soft(number) for name, number in _LIMITS.items()},
        ask=partial(ask_briefly, with_errors=True),
    )


def read_text(path: Path) -> str:
    """Read the beginning of a text file; empty where that fails."""
    try:
        with path.open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_MOST_BYTES)
    except OSError:
        return ""


def ask_briefly(
    command: Sequence[str], deadline_s: float = ASK_DEADLINE_S, *, with_errors: bool = False
) -> str | None:
    """Run a program; one that hangs in the kernel is left there and not waited for.

    Args:
        with_errors: What it prints to its standard error, too: some tell their version there.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_errors else subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except OSError:
        return None
    try:
        return process.communicate(timeout=deadline_s)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        assert process.stdout is not None, "it was asked for"
        process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DIES_WITHIN_S)
        return None


def may_open(path: Path, place: Place) -> bool:
    """Tell whether the user may read and write: by the rights as they are written down, and by lists.

    A desktop gives whoever sits at it the graphics card by a list (ACL), whose rights only the kernel adds up.
    """
    found = path.stat()
    if place.user_id == 0 or (place.user_id == os.geteuid() and os.access(path, os.R_OK | os.W_OK)):
        return True
    if found.st_uid == place.user_id:
        wanted = stat.S_IRUSR | stat.S_IWUSR
    elif found.st_gid in place.groups:
        wanted = stat.S_IRGRP | stat.S_IWGRP
    else:
        wanted = stat.S_IROTH | stat.S_IWOTH
    return found.st_mode & wanted == wanted


def group_name(number: int) -> str:
    """Name a group."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _soft(number: int) -> int | None:
    soft, _ = resource.getrlimit(number)
    return None if soft == resource.RLIM_INFINITY else soft


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
