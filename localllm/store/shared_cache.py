"""The cache that all programs share, as huggingface_hub lays it out: where things are, and putting them there.

Source: huggingface_hub 2.4, file_download.py; checked against it in test_shared_cache.py. A blob is
named by its etag and is whole; a snapshot's file is a link to one; a ref is a file with a commit
in it; a lock is taken for as long as a blob is being written.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from localllm.store.places import repository_folder

_TAG = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag created by localllm, as huggingface_hub does.\n"
    "# For information about cache directory tags see https://bford.info/cachedir/\n"
)


@dataclass(frozen=True, slots=True)
class CachedRepository:
    """One repository's place in it."""

    cache: Path
    name: str
    """As in owner/name."""

    @property
    def folder(self) -> Path:
        return repository_folder(self.cache, self.name)

    @property
    def blobs(self) -> Path:
        return self.folder / "blobs"

    def blob(self, etag: str) -> Path:
        return self.blobs / etag

    def lock(self, etag: str) -> Path:
        """The file that huggingface_hub locks, too, while it fetches."""
        return self.cache / ".locks" / self.folder.name / f"{etag}.lock"

    def snapshot(self, commit: str, path: str = "") -> Path:
        """A commit's folder, or a file in it.

        Raises:
            ValueError: The path leads out of it.
        """
        folder = self.folder / "snapshots" / commit
        file = folder / path
        if folder not in (file, *file.parents) or ".." in file.parts:
            raise ValueError(f"{path!r} leads out of the snapshot")
        return file

    def make(self) -> None:
        """Make the folders, and mark the cache for programs that back up."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        (self.folder / "snapshots").mkdir(exist_ok=True)  # else the hub's tools call it broken
        tag = self.cache / "CACHEDIR.TAG"
        if not tag.exists():
            tag.write_text(_TAG, encoding="utf-8")

    def link(self, commit: str, path: str, etag: str) -> Path:
        """Let a commit's file be a blob; return it. What is there already stays, if it is that."""
        file = self.snapshot(commit, path)
        target = os.path.relpath(self.blob(etag), file.parent)
        if file.is_symlink() and os.readlink(file) == target:  # noqa: PTH115
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name[:100]}.{token_hex(4)}")
        draft.symlink_to(target)
        draft.replace(file)
        return file

    def write_ref(self, ref: str, commit: str) -> None:
        """Let a branch or tag mean a commit."""
        file = self.folder / "refs" / ref
        if self.folder / "refs" not in file.parents or ".." in file.parts:
            raise ValueError(f"{ref!r} leads out of the refs")
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{token_hex(4)}.tmp")
        draft.write_text(commit, encoding="utf-8")
        draft.replace(file)
