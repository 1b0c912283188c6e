"""State files: documents that say of which version they are, and that no other version destroys.

An older one is moved forward as it is read, and kept beside as NAME.vN once it is written. One of
a newer version is refused and left as it is. One that cannot be read is kept as NAME.broken.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from localllm.errors import LocalLLMError

T = TypeVar("T", bound=msgspec.Struct)
Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes a document of the next version, but for the number, of one that was read."""

_OURS_ALONE = 0o600


class NewerFile(LocalLLMError):
    """A later version of localllm has written it; it is left as it is."""


class DamagedFile(LocalLLMError):
    """It is no document of any version; it is left as it is until another is written."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of file.

    Args:
        what: What it holds, for a sentence.
        steps: By version, how a document of it becomes one of the next.
        said_in: Which of its fields says the version.
        synced: Whether a write waits for the disk. What is written on the event loop does not:
            beside a download, a disk may take seconds.
    """

    what: str
    document: type[T]
    version: int
    steps: Mapping[int, Step] = field(default_factory=dict[int, Step])
    said_in: str = "format"
    synced: bool = True


def read_versioned(file: Path, kind: Kind[T]) -> T | None:
    """Read a document, an older one as this version would have written it; None if there is none.

    Changes nothing on disk.

    Raises:
        NewerFile: It is of a later version.
        DamagedFile: It cannot be read.
        OSError: The system does not let us.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    version = _require_known(file, kind, content)
    try:
        if version == kind.version:
            return msgspec.json.decode(content, type=kind.document)
        return msgspec.convert(_moved(content, version, kind), kind.document)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(file, kind.what, str(error)) from error


def read_if_known(file: Path, kind: Kind[T]) -> T | None:
    """Read a document; None as well for what cannot be read, or is of a later version."""
    try:
        return read_versioned(file, kind)
    except (OSError, NewerFile, DamagedFile):
        return None


def write_versioned(file: Path, kind: Kind[T], document: T) -> None:
    """Put a document in the place of what is there, at once, readable by its user alone.

    What is there of an older version, or broken, is kept beside it.

    Raises:
        NewerFile: What is there is of a later version.
        OSError: The disk does not take it; what was there stays.
    """
    _keep_what_is_there(file, kind)
    replace_private(file, msgspec.json.encode(document), synced=kind.synced)


def replace_private(
    file: Path, content: bytes, *, synced: bool = True, mode: int = _OURS_ALONE
) -> None:
    """Replace a file in a single step; nobody else can read what is half written.

    Args:
        synced: Wait until the disk has it, so that it survives a power cut.
        mode: Who may read it once it is whole; its user alone, unless it is said.

    Raises:
        OSError: The disk does not take it; nothing half is left.
    """
    draft = file.with_name(f"{file.name}.{os.urandom(4).hex()}.draft")  # two may write at once
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OURS_ALONE)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            os.fchmod(opened.fileno(), mode)
            if synced:
                opened.flush()
                os.fsync(opened.fileno())
        os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def version_in(content: bytes, field_name: str = "format") -> int | None:
    """Tell of which version a document says that it is; None if it says nothing of the kind."""
    try:
        said = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    version = said.get(field_name) if isinstance(said, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def newer(file: Path, what: str, version: int, known: int) -> NewerFile:
    """Say that a later version has written a file."""
    return NewerFile(
        f"{file} was written by a newer localllm.",
        why=f"{what} is there in version {version}, this one knows up to {known}",
        fix=f"localllm upgrade, or move {file} away",
    )


def damaged(file: Path, what: str, why: str) -> DamagedFile:
    """Say that a file cannot be read."""
    return DamagedFile(
        f"{file} cannot be read: {what}.", why=why, fix=f"move {file} away; localllm begins anew"
    )


def _require_known(file: Path, kind: Kind[T], content: bytes) -> int:
    version = version_in(content, kind.said_in)
    if version is None or version < min([kind.version, *kind.steps]):
        raise damaged(file, kind.what, f"it says no version that was ever written: {version}")
    if version > kind.version:
        raise newer(file, kind.what, version, kind.version)
    return version


def _moved(content: bytes, version: int, kind: Kind[T]) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(content)
    for number in range(version, kind.version):
        document = {**kind.steps[number](document), kind.said_in: number + 1}
    return document


def _keep_what_is_there(file: Path, kind: Kind[T]) -> None:
    try:
        there = read_versioned(file, kind)
    except DamagedFile:
        os.replace(file, file.with_name(f"{file.name}.broken"))  # noqa: PTH105
        return
    if there is None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    version = version_in(file.read_bytes(), kind.said_in)
    if version is not None and version < kind.version:
        _back_up(file, file.with_name(f"{file.name}.v{version}"))


def _back_up(file: Path, backup: Path) -> None:
    """Copy it, in the place of an older copy: this is what the older version has left.

    The disk has it before the file itself is replaced, whose only copy it is.
    """
    replace_private(backup, file.read_bytes())
    shutil.copystat(file, backup)
