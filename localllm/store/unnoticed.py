"""Opens files without a trace of it in when they were last read: who looks at a model does not use it."""

from __future__ import annotations

import os


def open_unnoticed(path: str, flags: int) -> int:
    """Open a file, as `open` wants its `opener`.

    Linux alone can leave the time as it is, and for one's own files; others are opened plainly.
    """
    try:
        return os.open(path, flags | getattr(os, "O_NOATIME", 0))
    except PermissionError:
        return os.open(path, flags)
