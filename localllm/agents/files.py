"""Reads and replaces files whole, so that nobody ever sees half of one."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OURS_ALONE = 0o600


def read_if_there(file: Path) -> bytes | None:
    """Read a file; None if there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def mode_of(file: Path) -> int:
    """Who may read a file; for one that is not there, its user alone."""
    try:
        return stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return _OURS_ALONE


def replace_file(file: Path, content: bytes, *, mode: int) -> None:
    """Put content in the place of a file at once; whatever fails, the old one stays."""
    draft = file.with_name(f".{file.name}.localllm-{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OURS_ALONE)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
            os.fchmod(opened.fileno(), mode)
        os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; returns the ones that were not there, outermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700)
    return missing[::-1]


def remove_folders(folders: list[Path]) -> None:
    """Remove folders that are empty, innermost first."""
    for folder in reversed(folders):
        with suppress(OSError):  # somebody has put something there, or has removed it
            folder.rmdir()
