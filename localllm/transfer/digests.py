"""What a file's contents should be, by their hash, and hashing them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Kind(StrEnum):
    SHA256 = "sha256"
    GIT = "git"
    """SHA-1 of `blob SIZE`, a zero byte and the contents: how git names what it keeps."""


@dataclass(frozen=True, slots=True)
class Digest:
    """In lower case: 64 characters of SHA-256, 40 of git's."""

    kind: Kind
    hex: str

    @property
    def title(self) -> str:
        return "SHA-256" if self.kind is Kind.SHA256 else "git hash"

    def hasher(self, size_bytes: int) -> hashlib._Hash:
        """Begin to hash a file of so many bytes."""
        if self.kind is Kind.SHA256:
            return hashlib.sha256()
        started = hashlib.sha1(usedforsecurity=False)
        started.update(b"blob %d\0" % size_bytes)
        return started


def sha256(hex_: str) -> Digest:
    """Expect this SHA-256."""
    return Digest(Kind.SHA256, hex_)


def sha256_of(file: Path) -> str:
    """The hash of a whole file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
