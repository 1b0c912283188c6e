"""What a pull brings, and how far it is. Plain values, which pass between processes as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from localllm.store.repository import RepositoryFile


@dataclass(frozen=True, slots=True)
class PullJob:
    """The files of one repository, at one commit, that are to be in the shared cache."""

    repo: str
    """As in owner/name."""

    commit: str
    files: tuple[RepositoryFile, ...]
    ref: str | None = None
    """The branch or tag that was asked for, which is to mean this commit; None for a commit."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


class FileState(StrEnum):
    WAITING = "waiting"
    """For its turn."""

    ELSEWHERE = "elsewhere"
    """Another program is fetching it; it is looked for again when that ends."""

    FETCHING = "fetching"
    CHECKING = "checking"
    """All of it is here, and its hash is not known yet."""

    DONE = "done"


@dataclass(frozen=True, slots=True)
class FileProgress:
    path: str
    size_bytes: int
    here_bytes: int
    state: FileState


@dataclass(frozen=True, slots=True)
class PullProgress:
    files: tuple[FileProgress, ...]
    note: str | None = None
    """What stands in the way for now, as in 'no answer from ...: again in 8 s'; None: nothing."""

    @property
    def here_bytes(self) -> int:
        return sum(file.here_bytes for file in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)
