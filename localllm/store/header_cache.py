"""Keeps what was fetched of models that are not on disk: listings, and files' first bytes.

The bytes are kept as they came, so that a newer version reads more out of them without asking the
hub again; the header read from them is kept beside them, since reading a large vocabulary takes
a fifth of a second. Whatever here is broken, foreign or of another version counts as absent.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec

from localllm import __version__
from localllm.formats.header import Header
from localllm.formats.projector import Projector
from localllm.store.repository import Repository, RepositoryFile

FORMAT = 2
MAX_BYTES = 512 << 20
"""Some fifty headers of the largest vocabularies, hundreds of others."""

Parsed = TypeVar("Parsed", Header, Projector)


def key_of_contents(host: str, name: str, commit: str, file: RepositoryFile) -> str:
    """Name a file's contents: by their hash, which other commits may share, else by the commit."""
    contents = file.sha256 or f"{commit}/{file.path}"
    return f"{host} {name} {contents} {file.size_bytes}"


def key_of_head(host: str, name: str, commit: str, file: RepositoryFile) -> str:
    """Name a file's first bytes."""
    return f"head {key_of_contents(host, name, commit, file)}"


class _Stamped(msgspec.Struct, frozen=True):
    format: int
    version: str | None
    """Of localllm, for what depends on how it reads; None for what does not."""

    key: str
    digest: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class HeaderCache:
    """One folder of files; a key is a text that names all that the contents depend on."""

    folder: Path
    max_bytes: int = MAX_BYTES

    def read_repository(self, key: str) -> Repository | None:
        """Read a listing; None if there is none."""
        body = self._read_stamped(key, "list", None)
        return None if body is None else _decoded(body, Repository)

    def write_repository(self, key: str, repository: Repository) -> None:
        """Keep a listing."""
        self._write_stamped(key, "list", None, msgspec.msgpack.encode(repository))

    def read_parsed(self, key: str, kind: type[Parsed]) -> Parsed | None:
        """Read what was parsed; None if it is not there, or another version parsed it."""
        body = self._read_stamped(key, "parsed", __version__)
        found = None if body is None else _decoded(body, kind)
        if isinstance(found, Header):  # the decoder makes lists of sequences
            return replace(found, tensors=tuple(found.tensors))
        return found

    def write_parsed(self, key: str, parsed: Header | Projector) -> None:
        """Keep what was parsed."""
        self._write_stamped(key, "parsed", __version__, msgspec.msgpack.encode(parsed))

    def read_head(self, key: str) -> bytes:
        """Read a file's first bytes; empty if they are not there."""
        return self._read_stamped(key, "head", None) or b""

    def write_head(self, key: str, data: bytes) -> None:
        """Keep a file's first bytes."""
        self._write_stamped(key, "head", None, data)

    def _read_stamped(self, key: str, ending: str, version: str | None) -> bytes | None:
        data = self._read(key, ending)
        found = None if data is None else _decoded(data, _Stamped)
        if found is None or (found.format, found.version, found.key) != (FORMAT, version, key):
            return None
        return found.body if sha256(found.body).digest() == found.digest else None

    def _write_stamped(self, key: str, ending: str, version: str | None, body: bytes) -> None:
        stamped = _Stamped(FORMAT, version, key, sha256(body).digest(), body)
        self._write(key, ending, msgspec.msgpack.encode(stamped))

    def _file(self, key: str, ending: str) -> Path:
        return self.folder / f"{sha256(key.encode()).hexdigest()[:40]}.{ending}"

    def _read(self, key: str, ending: str) -> bytes | None:
        file = self._file(key, ending)
        try:
            data = file.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(file)  # what is used stays longest
        return data

    def _write(self, key: str, ending: str, data: bytes) -> None:
        """Write a file whole or not at all. A full disk costs the next run a request, no more."""
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder)  # 0600
            try:
                with os.fdopen(handle, "wb") as opened:
                    opened.write(data)
                Path(name).replace(self._file(key, ending))
            except OSError:
                Path(name).unlink()
                raise
            self._evict()

    def _evict(self) -> None:
        """Remove what was not used for longest, until the rest is small enough."""
        sizes: Mapping[Path, os.stat_result] = {f: f.stat() for f in self.folder.iterdir()}
        over = sum(stat.st_size for stat in sizes.values()) - self.max_bytes
        for file, stat in sorted(sizes.items(), key=lambda item: item[1].st_mtime_ns):
            if over <= 0:
                return
            file.unlink(missing_ok=True)
            over -= stat.st_size


_Any = TypeVar("_Any")


def _decoded(data: bytes, kind: type[_Any]) -> _Any | None:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, TypeError):
        return None
