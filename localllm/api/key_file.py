"""keys.json: the API keys' hashes, in the state folder, readable by its user alone.

The CLI writes it, with or without a daemon; the daemon reads it anew when it has changed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import msgspec

from localllm.api.keys import Key
from localllm.errors import ConfigError
from localllm.versioned import DamagedFile, Kind, NewerFile, read_versioned, write_versioned

FORMAT = 1
_LOCK_S = 10.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Stamp = tuple[int, int, int]
"""When the file was changed, its rights included, which one it is, and how long it is."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keys: tuple[Key, ...]


KIND = Kind("the API keys", _File, FORMAT)


def read_stamp(file: Path) -> Stamp | None:
    """Tell one file from another without reading it; None if there is none.

    By the time of its change, which nobody can set back, as they can that of its writing.
    """
    try:
        found = os.stat(file)  # noqa: PTH116  # with every request: a Path's own costs twice as much
    except OSError:
        return None
    return found.st_ctime_ns, found.st_ino, found.st_size


def read_keys(file: Path) -> tuple[Key, ...]:
    """Read all keys, those that have expired included; none if there is no file.

    Raises:
        ConfigError: It cannot be read, is of another version, or is open to others.
    """
    try:
        if file.stat().st_mode & _OTHERS:
            raise _unusable(file, "others than its user may open it", f"chmod 600 {file}")
        read = read_versioned(file, KIND)
    except FileNotFoundError:
        return ()
    except NewerFile as error:
        raise _unusable(file, error.why, "localllm upgrade") from error
    except (OSError, DamagedFile) as error:
        why = error.why if isinstance(error, DamagedFile) else str(error)
        raise _unusable(file, why, f"remove {file} and create the keys again") from error
    return () if read is None else read.keys


@contextmanager
def changing_keys(file: Path) -> Generator[tuple[Key, ...]]:
    """Read the keys to write them: nobody else changes them meanwhile.

    Raises:
        ConfigError: They cannot be read, or somebody else is at it for too long.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    try:
        with filelock.FileLock(file.with_suffix(".lock"), timeout=_LOCK_S):
            yield read_keys(file)
    except filelock.Timeout as error:
        why = f"another command holds it for {_LOCK_S:.0f} s"
        raise _unusable(file, why, "try again") from error


def write_keys(file: Path, keys: Sequence[Key]) -> None:
    """Replace the file in one step; nobody else can read it, not even for a moment."""
    write_versioned(file, KIND, _File(FORMAT, tuple(keys)))  # synced: what is taken away stays away


def _unusable(file: Path, why: str, fix: str) -> ConfigError:
    return ConfigError(f"The API keys in {file} cannot be used.", why=why, fix=fix)
