"""One repository of models on a hub, at one commit: which files it has. Knows no hub and no format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    path: str
    """Inside the repository, with forward slashes."""

    size_bytes: int
    sha256: str | None = None
    """Of the contents; None for a small file, which the hub keeps in git itself."""

    git_sha1: str | None = None
    """Of a small file, as git hashes it: with `blob SIZE` and a zero byte before the contents."""

    @property
    def etag(self) -> str | None:
        """What names its contents in the shared cache; None where the hub does not tell."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class Repository:
    """What the hub lists."""

    name: str
    """As in owner/name."""

    host: str
    """Which hub it is on."""

    commit: str
    files: tuple[RepositoryFile, ...]
    library: str | None = None
    """What the hub says it is made for, as in mlx or gguf; None if it does not say."""

    not_fresh: str | None = None
    """Why this is what was last known and not what the hub says now; None if it is that."""

    def file(self, path: str) -> RepositoryFile | None:
        return next((file for file in self.files if file.path == path), None)


class Hub(Protocol):
    """Where repositories are fetched from."""

    @property
    def host(self) -> str: ...

    def fetch_repository(self, name: str, revision: str | None) -> Repository:
        """List a repository at a branch, tag or commit; None is its default branch.

        Raises:
            ModelNotFound: There is no such repository or revision.
            AccessRefused: It is there, but not for this user.
            NoNetwork: The hub cannot be reached, or does not answer as one.
        """
        ...

    def fetch_range(
        self, repository: Repository, file: RepositoryFile, start: int, end: int
    ) -> bytes:
        """Fetch the bytes from `start` up to `end`, and no others.

        Raises:
            LocalLLMError: As `fetch_repository`; NoNetwork too if fewer bytes came.
        """
        ...


def is_commit(revision: str | None) -> bool:
    """Tell whether a revision can never mean anything else: a full commit."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None
