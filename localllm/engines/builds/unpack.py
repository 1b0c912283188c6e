"""Unpacks archives into a folder and nowhere else."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

from localllm.errors import EngineUnusable
from localllm.transfer.disk import about_the_disk

_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError),
    *(zlib.error, lzma.LZMAError, NotImplementedError),
)
"""What the libraries raise of what they cannot read; bz2 an OSError without a number."""

_PIECE_BYTES = 1 << 16
_ENCRYPTED = 1
"""Of a zip member's flags."""


def unpack(archive: Path, name: str, into: Path) -> None:
    """Unpack a .tar.*, .zip or .whl.

    Args:
        archive: The file, whatever it is called.
        name: Its name where it came from, for words.

    Raises:
        EngineUnusable: It is no archive, or has members that would end up elsewhere.
        NoSpace: The disk is too full.
    """
    try:
        with about_the_disk(name, into):
            _unpack(archive, into)
    except _BROKEN as error:
        raise _unusable(name, str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unusable(name, str(error)) from error


def _unpack(archive: Path, into: Path) -> None:
    if tarfile.is_tarfile(archive):  # first, for a tar that ends with a zip looks like one
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")  # no path, link or owner leads elsewhere
            while tar.fileobj.read(_PIECE_BYTES):
                pass  # to the very end, where gzip has its check sum
    elif zipfile.is_zipfile(archive):
        _unzip(archive, into)
    else:
        raise tarfile.ReadError("it is neither a tar nor a zip, or only the beginning of one")


def _unzip(archive: Path, into: Path) -> None:
    """Unzip, with the permissions to execute, which zipfile leaves out."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise zipfile.BadZipFile(f"{member.filename} is a link")
            if member.flag_bits & _ENCRYPTED:
                raise zipfile.BadZipFile(f"{member.filename} is encrypted")
            path = Path(opened.extract(member, into))
            if member.external_attr >> 16 & stat.S_IXUSR and path.is_file():
                path.chmod(0o755)


def _unusable(name: str, why: str) -> EngineUnusable:
    return EngineUnusable(
        f"{name} cannot be unpacked.",
        why=why,
        fix="give an archive of llama.cpp's own releases: .tar.gz, .tar.xz or .zip",
    )
