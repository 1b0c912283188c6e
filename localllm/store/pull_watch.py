"""Keeps how far each file of a pull is, and tells of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from localllm.store.job import FileProgress, FileState, PullJob, PullProgress
from localllm.store.repository import RepositoryFile
from localllm.transfer.part import here_bytes

Tell = Callable[[PullProgress], None]


@dataclass(slots=True)
class PullWatch:
    """How far each file is."""

    job: PullJob
    tell: Tell
    _files: dict[str, FileProgress] = field(init=False)
    _note: str | None = None

    def __post_init__(self) -> None:
        self._files = {
            file.path: FileProgress(file.path, file.size_bytes, 0, FileState.WAITING)
            for file in self.job.files
        }

    def moved(self, file: RepositoryFile, state: FileState, here: int) -> None:
        self._files[file.path] = replace(self._files[file.path], here_bytes=here, state=state)
        self._say()

    def done(self, file: RepositoryFile) -> None:
        if self._files[file.path].state is not FileState.DONE:
            self.moved(file, FileState.DONE, file.size_bytes)

    def noted(self, note: str | None) -> None:
        self._note = note
        self._say()

    def _say(self) -> None:
        self.tell(PullProgress(tuple(self._files.values()), self._note))


def elsewhere_bytes(blob: Path, size_bytes: int) -> int:
    """Look how much another program has: another of ours, or huggingface_hub, which it loses if cut."""
    here = here_bytes(blob, size_bytes)
    for other in blob.parent.glob(f"{blob.name}.*incomplete"):
        with suppress(OSError):
            here = max(here, min(other.stat().st_size, size_bytes))
    return here
