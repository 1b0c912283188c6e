"""What is served, on disk: so that a daemon that starts after a crash or a reboot serves it again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.api.views import ServeRequest
from localllm.versioned import Kind, read_if_known, write_versioned

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


KIND = Kind("what is served", _File, FORMAT, synced=False)


def read_remembered(file: Path) -> Remembered:
    """Read what was served; nothing if the file is missing, broken or of a later version."""
    read = read_if_known(file, KIND)
    return Remembered() if read is None else Remembered(tuple(read.serving), tuple(read.pinned))


def write_remembered(file: Path, remembered: Remembered) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one.

    Raises:
        NewerFile: A later version has written it; it stays.
        OSError: The disk does not take it.
    """
    document = _File(FORMAT, list(remembered.serving), list(remembered.pinned))
    write_versioned(file, KIND, document)
