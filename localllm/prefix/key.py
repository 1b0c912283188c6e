"""The key of this installation's outlines: without it, what is noted of a prompt tells nothing of it."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

from localllm.versioned import replace_private

KEY_BYTES = 32
FORMAT = 1
_HEAD = re.compile(rb"localllm prefix key (\d{1,9})\n")
"""What a file begins with, since another version may make other keys; the first had no head."""


def read_or_make_key(file: Path) -> bytes:
    """Read the key, or make one; what was saved under another one is not found any more.

    Where the disk does not take it, or a later version has written it, the key is good for this
    run alone.
    """
    try:
        content = file.read_bytes()
    except OSError:  # there is none yet, or none that we can read
        content = b""
    key, version = _parse(content)
    if len(key) == KEY_BYTES and version == FORMAT:
        with suppress(OSError):  # of a folder that cannot be written to
            file.chmod(0o600)
        return key
    if len(key) != KEY_BYTES or version > FORMAT:
        key = secrets.token_bytes(KEY_BYTES)
    if version <= FORMAT:
        _write(file, key)
    return key


def _parse(content: bytes) -> tuple[bytes, int]:
    """Split a file into the key and its version; 0 is the one without a head."""
    head = _HEAD.match(content)
    return (content, 0) if head is None else (content[head.end() :], int(head[1]))


def _write(file: Path, key: bytes) -> None:
    """Write it; one without a head is the same key, and needs no copy."""
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_private(file, b"localllm prefix key %d\n" % FORMAT + key)
