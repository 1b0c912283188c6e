"""The files of saved prompts: how they are named, and how they are looked at. Raises nothing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from localllm.prefix.entries import SLOT_SUFFIX, TEXT_SUFFIX

RECORD_SUFFIX, DRAFT_SUFFIX = ".json", ".draft"
DATA_SUFFIXES = (SLOT_SUFFIX, TEXT_SUFFIX)
OUR_NAME = re.compile(
    r"[0-9a-f]{8}\.(kv|request|json|draft)"
    r"|[0-9a-f]{8}\.(request|json)\.[0-9a-f]{8}\.draft"  # what versioned.py writes until it is whole
    r"|\.[0-9a-f]{8}\.kv\.draft"  # what engines of ours write, see engines/workers/slot_requests.py
)

DATA_NAME = re.compile(r"[0-9a-f]{8}\.(kv|request)")
ID = re.compile(r"[0-9a-f]{8}")


def files_of(folder: Path) -> Sequence[Path]:
    """List what is named as ours are."""
    try:
        return sorted(file for file in folder.iterdir() if OUR_NAME.fullmatch(file.name))
    except OSError:
        return ()


def scan(folder: Path) -> Mapping[str, os.stat_result]:
    """Look at all regular files named as ours are, as with each request: Paths would cost ten times as much."""
    found: dict[str, os.stat_result] = {}
    with suppress(OSError), os.scandir(folder) as several:
        for one in several:
            if OUR_NAME.fullmatch(one.name):
                with suppress(OSError):  # removed meanwhile
                    if one.is_file(follow_symlinks=False):
                        found[one.name] = one.stat(follow_symlinks=False)
    return found


def size_of(file: Path) -> int | None:
    """The size of a file; None for what is none, a link among it."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def sha256_of(file: Path) -> str | None:
    """The hash of what is in a file; None where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def unlink(file: Path) -> None:
    """Remove a file, if that can be done."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
