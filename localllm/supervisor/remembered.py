"""What is served, on disk: so that a daemon that starts after a crash or a reboot serves it again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.api.views import ServeRequest

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """What was asked for, the latest last, and the models that were pinned."""

    serving: tuple[ServeRequest, ...] = ()
    pinned: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    serving: list[ServeRequest]
    pinned: list[str] = []


def read_remembered(file: Path) -> Remembered:
    """Read what was served; nothing if the file is missing, broken or of another version."""
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError):
        return Remembered()
    if read.format != FORMAT:
        return Remembered()
    return Remembered(tuple(read.serving), tuple(read.pinned))


def write_remembered(file: Path, remembered: Remembered) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    document = _File(FORMAT, list(remembered.serving), list(remembered.pinned))
    draft.write_bytes(msgspec.json.encode(document))
    os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic
