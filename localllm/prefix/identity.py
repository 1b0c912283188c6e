"""What a saved slot depends on: with any of it changed, what is on disk is another model's memory."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

_HASH = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_ENDS_BYTES = 1 << 20


def identity_of(file: Path) -> str:
    """Tell a model's file from others: by its hash where its name is that, else by its ends. Reads it.

    A file whose size, time and both ends are the same is taken to be the same: hashing 40 GB at each
    start would cost more than it saves.
    """
    real = file.resolve()
    named = _HASH.fullmatch(real.name)
    if named is not None:
        return named[1]
    stat = real.stat()
    digest = sha256(f"{real} {stat.st_size} {stat.st_mtime_ns}".encode())
    if real.is_file():
        with real.open("rb") as opened:
            digest.update(opened.read(_ENDS_BYTES))
            opened.seek(max(0, stat.st_size - _ENDS_BYTES))
            digest.update(opened.read(_ENDS_BYTES))
    return digest.hexdigest()


def key_of(parts: Iterable[object]) -> str:
    """Make one key of all that a saved slot depends on."""
    return sha256("\0".join(map(str, parts)).encode()).hexdigest()
