"""Keeps the program that is installed, and what it needs, as wheels: a way back without any index."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import BinaryIO

from localllm.installation.method import NAME, Installed
from localllm.installation.rehearsal import plain_name

FOLDER = "previous"
"""Below the data folder."""

_KEPT = 2
_OF_THE_INSTALLER = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}


def keep_program(installed: Installed, data: Path, spared: Path | None = None) -> Path:
    """Pack it into a wheel, as it was built; the last two that were kept so stay.

    Args:
        spared: Another that stays: it is about to be installed.

    Raises:
        OSError: A file of it cannot be read, or the disk is full.
    """
    info = next(iter(sorted(installed.folder.glob(f"{NAME}-*.dist-info"))))
    folder = data / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    wheel = _packed(info, folder)
    kept = [one for one in folder.glob(f"{NAME}-*.whl") if one not in {wheel, spared}]
    for older in sorted(kept, key=lambda one: one.stat().st_mtime_ns)[: 1 - _KEPT]:
        older.unlink()
    return wheel


def keep_packages(installed: Installed, names: Collection[str], folder: Path) -> Sequence[Path]:
    """Pack what else is installed; one that cannot be packed is left out.

    Args:
        names: Of packages, as `plain_name` writes them.

    Raises:
        OSError: The disk is full.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    infos = [
        info
        for info in sorted(installed.folder.glob("*.dist-info"))
        if plain_name(info.stem.partition("-")[0]) in names and (info / "RECORD").is_file()
    ]
    return [_packed(info, folder) for info in infos if all(map(_is_there(info), _own_files(info)))]


def kept_wheel(data: Path, version: str) -> Path | None:
    """Find a version that was kept, whole; None if it was not."""
    wheel = data / FOLDER / f"{NAME}-{version}-py3-none-any.whl"
    try:
        with zipfile.ZipFile(wheel) as packed:
            return wheel if packed.testzip() is None else None
    except (OSError, zipfile.BadZipFile):
        return None


def _packed(info: Path, folder: Path) -> Path:
    """Pack an installed package; on the disk once this returns.

    Raises:
        OSError: A file of it cannot be read, or the disk is full; nothing half is left.
    """
    wheel = folder / f"{info.stem}-{_tags(info)}.whl"
    draft = wheel.with_name(f"{wheel.name}.draft")
    try:
        with draft.open("wb") as opened:
            _pack(info, opened)
            opened.flush()
            os.fsync(opened.fileno())
        draft.replace(wheel)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return wheel


def _pack(info: Path, into: BinaryIO) -> None:
    record: list[str] = []
    packing = zipfile.ZipFile(
        into, "w", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False
    )
    with packing as packed:
        for name in _own_files(info):
            content = (info.parent / name).read_bytes()
            packed.write(info.parent / name, name)  # with its mode: there may be programs
            record.append(f"{name},{_digest(content)},{len(content)}")
        listed = f"{info.name}/RECORD"
        packed.writestr(listed, "\n".join([*record, f"{listed},,", ""]))


def _tags(info: Path) -> str:
    """Say for which Pythons and machines it was built. Source: PEP 425, compressed tag sets."""
    try:
        said = (info / "WHEEL").read_text(encoding="utf-8")
    except OSError:
        said = ""
    tags = [tag.split("-") for tag in re.findall(r"^Tag: (\S+-\S+-\S+)$", said, re.MULTILINE)]
    parts = zip(*tags, strict=True) if tags else (("py3",), ("none",), ("any",))
    return "-".join(".".join(sorted({*part})) for part in parts)


def _is_there(info: Path) -> Callable[[str], bool]:
    return lambda name: (info.parent / name).is_file()


def _own_files(info: Path) -> list[str]:
    """What was in its wheel: not what the installer or the interpreter has made of it."""
    files = PathDistribution(info).files or []
    return sorted(
        file.as_posix()
        for file in files
        if ".." not in file.parts
        and file.suffix != ".pyc"
        and not (file.parts[0] == info.name and file.name in _OF_THE_INSTALLER)
    )


def _digest(content: bytes) -> str:
    """Write a hash as RECORD has it. Source: PEP 376."""
    digest = hashlib.sha256(content).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
