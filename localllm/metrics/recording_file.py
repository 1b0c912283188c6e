"""The files of recordings: each readable by its user alone, written line by line."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from localllm.api.traffic_file import SUFFIX, Header


def create(folder: Path, header: Header) -> Path:
    """Make a new file that has a header alone.

    Raises:
        OSError: The disk does not take it; nothing half is left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    stamp = datetime.fromtimestamp(header.started, UTC).strftime("%Y%m%dT%H%M%SZ")
    file = folder / f"{stamp}-{secrets.token_hex(2)}{SUFFIX}"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write(descriptor, msgspec.json.encode(header) + b"\n")
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return file


def append(file: Path, line: bytes) -> None:
    """Write a line more, whole or not at all: others may follow it.

    Raises:
        OSError: The disk does not take it, or the file is not there any more.
    """
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    before = os.fstat(descriptor).st_size
    try:
        _write(descriptor, line)
    except OSError:
        os.truncate(file, before)
        raise


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as opened:
        while content:
            content = content[opened.write(content) :]
