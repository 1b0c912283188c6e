"""What is served, on disk: so that a daemon that starts after a crash or a reboot serves it again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from localllm.api.views import ServeRequest

FORMAT = 1


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    serving: list[ServeRequest]


def read_remembered(file: Path) -> Sequence[ServeRequest]:
    """Read what was served; nothing if the file is missing, broken or of another version."""
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError):
        return ()
    return tuple(read.serving) if read.format == FORMAT else ()


def write_remembered(file: Path, serving: Sequence[ServeRequest]) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(_File(FORMAT, list(serving))))
    os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic
