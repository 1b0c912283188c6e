"""Unpacks archives into a folder and nowhere else."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

from localllm.errors import EngineUnusable


def unpack(archive: Path, name: str, into: Path) -> None:
    """Unpack a .tar.*, .zip or .whl.

    Args:
        archive: The file, whatever it is called.
        name: Its name where it came from, for words.

    Raises:
        EngineUnusable: It is no archive, or has members that would end up elsewhere.
    """
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, into)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="data")  # no path, link or owner leads elsewhere
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise EngineUnusable(
            f"{name} cannot be unpacked.",
            why=str(error),
            fix="give an archive of llama.cpp's own releases: .tar.gz, .tar.xz or .zip",
        ) from error


def _unzip(archive: Path, into: Path) -> None:
    """Unzip, with the permissions to execute, which zipfile leaves out."""
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise zipfile.BadZipFile(f"{member.filename} is a link")
            path = Path(opened.extract(member, into))
            if member.external_attr >> 16 & stat.S_IXUSR and path.is_file():
                path.chmod(0o755)
