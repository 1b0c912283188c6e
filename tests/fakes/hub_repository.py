"""A repository of the fake hub: a folder of files for each commit, and the hashes that the hub tells."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LFS_FROM_BYTES = 1 << 20
LFS_ENDINGS = (".gguf", ".safetensors")
"""Kept as large files however small they are."""

INVENTED_FROM_BYTES = 64 << 20
"""A file with a hole is hashed up to this; of 40 GB of zeros it would take too long."""

_CHUNK_BYTES = 1 << 20
_Stamp = tuple[int, int, int]
_Known = tuple[str, str]


class Hashes:
    """SHA-256, and the SHA-1 that git knows a file by; each file is read once."""

    def __init__(self) -> None:
        self._known: dict[_Stamp, _Known] = {}
        self._lock = threading.Lock()

    def of(self, file: Path) -> _Known:
        with self._lock:
            stamp = _stamp(file)
            if stamp not in self._known:
                self._known[stamp] = _hash(file)
            return self._known[stamp]

    def invent(self, file: Path) -> None:
        """Take a file's name, size and time for its contents."""
        text = f"{file} {_stamp(file)}".encode()
        self._known[_stamp(file)] = (
            hashlib.sha256(text).hexdigest(),
            hashlib.sha1(text).hexdigest(),
        )


def _stamp(file: Path) -> _Stamp:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _hash(file: Path) -> _Known:
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.stat().st_size)
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file at a commit."""

    repository: str
    path: str
    file: Path
    size: int
    sha256: str
    git_sha1: str

    @property
    def name(self) -> str:
        """What it is counted by, as in owner/name/path."""
        return f"{self.repository}/{self.path}"

    @property
    def is_large(self) -> bool:
        """Tell whether git has a pointer to it, and a storage elsewhere the contents."""
        return self.size >= LFS_FROM_BYTES or self.path.endswith(LFS_ENDINGS)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_sha1

    @property
    def pointer(self) -> bytes:
        """What git itself holds in place of a large file."""
        head = "version https://git-lfs.github.com/spec/v1"
        return f"{head}\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def blob_id(self) -> str:
        if not self.is_large:
            return self.git_sha1
        return hashlib.sha1(b"blob %d\0" % len(self.pointer) + self.pointer).hexdigest()

    @property
    def xet_hash(self) -> str:
        """Stand in for Xet's own tree of hashes."""
        return hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()

    def entry(self, *, xet: bool) -> dict[str, object]:
        """One line of a tree."""
        known: dict[str, object] = {
            "type": "file",
            "path": self.path,
            "oid": self.blob_id,
            "size": self.size,
        }
        if self.is_large:
            known["lfs"] = {
                "oid": self.sha256,
                "size": self.size,
                "pointerSize": len(self.pointer),
            }
            known |= {"xetHash": self.xet_hash} if xet else {}
        return known

    def sibling(self, *, sizes: bool) -> dict[str, object]:
        """One file of a model's description."""
        if not sizes:
            return {"rfilename": self.path}
        found: dict[str, object] = {
            "rfilename": self.path,
            "blobId": self.blob_id,
            "size": self.size,
        }
        if self.is_large:
            found["lfs"] = {
                "sha256": self.sha256,
                "size": self.size,
                "pointerSize": len(self.pointer),
            }
        return found


@dataclass(frozen=True, slots=True)
class Commit:
    """What a revision means."""

    repository: str
    id: str
    folder: Path
    hashes: Callable[[Path], _Known]

    def paths(self) -> list[str]:
        return sorted(
            f.relative_to(self.folder).as_posix() for f in self.folder.rglob("*") if f.is_file()
        )

    def file(self, path: str) -> HubFile | None:
        if path not in self.paths():
            return None
        file = self.folder / path
        return HubFile(self.repository, path, file, file.stat().st_size, *self.hashes(file))

    def files(self) -> list[HubFile]:
        return [found for path in self.paths() if (found := self.file(path))]


@dataclass
class FakeRepository:
    """Its newest files lie in a folder, which `main` shows as it is."""

    name: str
    folder: Path
    commit: str = "c0ffee" + "0" * 34
    tags: list[str] = field(default_factory=list)
    """Of its card, as in base_model:quantized:owner/name."""

    downloads: int = 0
    is_private: bool = False
    is_gated: bool = False
    """Listed for everybody, but its files are for those who send a token alone."""

    is_granted: bool = True
    """Whether the token's account accepted the conditions of a gated one."""

    refs: dict[str, str] = field(default_factory=dict)
    """Branches and tags beside main, and the commits that they mean."""

    _older: dict[str, Path] = field(default_factory=dict)
    _hashes: Hashes = field(default_factory=Hashes)

    def put(self, path: str, data: bytes, size: int | None = None) -> Path:
        """Add a file; with `size` it is that long, and a hole after `data`."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)  # older commits hold links to it
        with file.open("wb") as opened:
            opened.write(data)
            opened.truncate(size or len(data))
        if (size or 0) >= INVENTED_FROM_BYTES and len(data) < (size or 0):
            self._hashes.invent(file)
        return file

    def link(self, path: str, file: Path) -> Path:
        """Add a file that lies elsewhere."""
        here = self.folder / path
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(file)
        return here

    def move_on(self) -> str:
        """Begin another commit, which starts with the same files; return the older one."""
        older, kept = self.commit, self.folder.with_name(f"{self.folder.name}@{self.commit}")
        for path in self.paths():
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            (kept / path).hardlink_to(self.folder / path)
        self._older[older] = kept
        self.commit = hashlib.sha1(older.encode()).hexdigest()
        return older

    def at(self, revision: str) -> Commit | None:
        revision = self.refs.get(revision, revision)
        if revision in {"", "main", self.commit}:
            return Commit(self.name, self.commit, self.folder, self._hashes.of)
        folder = self._older.get(revision)
        return Commit(self.name, revision, folder, self._hashes.of) if folder else None

    @property
    def newest(self) -> Commit:
        return Commit(self.name, self.commit, self.folder, self._hashes.of)

    def paths(self) -> list[str]:
        return self.newest.paths()

    def file(self, path: str) -> HubFile:
        found = self.newest.file(path)
        assert found, f"{self.name} has no {path}"
        return found

    def size(self, path: str) -> int:
        return self.file(path).size

    def etag(self, path: str) -> str:
        return self.file(path).etag
