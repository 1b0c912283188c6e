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

FORMAT = 1
_LOCK_S = 10.0
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Stamp = tuple[int, int, int]
"""When the file was changed, its rights included, which one it is, and how long it is."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keys: tuple[Key, ...]


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
        read = msgspec.json.decode(file.read_bytes(), type=_File)
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        raise _unusable(file, str(error), f"remove {file} and create the keys again") from error
    if read.format != FORMAT:
        why = f"its format is {read.format}, this version reads {FORMAT}"
        raise _unusable(file, why, "use the version of localllm that wrote it")
    return read.keys


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
    draft = file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(msgspec.json.encode(_File(FORMAT, tuple(keys))))
        opened.flush()
        os.fsync(opened.fileno())  # a key that was taken away stays away, after a power cut too
    os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic


def _unusable(file: Path, why: str, fix: str) -> ConfigError:
    return ConfigError(f"The API keys in {file} cannot be used.", why=why, fix=fix)
