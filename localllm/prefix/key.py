"""The key of this installation's outlines: without it, what is noted of a prompt tells nothing of it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from localllm.prefix.record import write_private

KEY_BYTES = 32


def read_or_make_key(file: Path) -> bytes:
    """Read the key, or make one; what was saved under another one is not found any more.

    Where the disk does not take it, the key is good for this run alone.
    """
    try:
        key = file.read_bytes()
        if len(key) == KEY_BYTES:
            with suppress(OSError):  # of a folder that cannot be written to
                file.chmod(0o600)
            return key
    except OSError:
        pass  # there is none yet, or none that we can read
    key = secrets.token_bytes(KEY_BYTES)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, key)
    except OSError:
        pass
    return key
