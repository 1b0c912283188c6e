"""The cache that all programs share, as huggingface_hub lays it out: where things are, and putting them there.

Source: huggingface_hub 2.4, file_download.py; checked against it in test_shared_cache.py. A blob is
named by its etag and is whole; a snapshot's file is a link to one; a ref is a file with a commit
in it; a lock is taken for as long as a blob is being written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from localllm.store.places import repository_folder

_MOST_REF_BYTES = 256
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
        with suppress(FileExistsError), tag.open("x", encoding="utf-8") as opened:
            opened.write(_TAG)  # nor where a link leads from there

    def link(self, commit: str, path: str, etag: str) -> Path:
        """Let a commit's file be a blob; return it. What is there already stays, if it is that."""
        file = self.snapshot(commit, path)
        if self.is_linked(commit, path, etag):
            return file
        target = os.path.relpath(self.blob(etag), file.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name[:100]}.{token_hex(4)}")
        draft.symlink_to(target)
        draft.replace(file)
        return file

    def is_linked(self, commit: str, path: str, etag: str) -> bool:
        """Tell whether a commit's file is a blob already, there or not."""
        file = self.snapshot(commit, path)
        target = os.path.relpath(self.blob(etag), file.parent)
        return file.is_symlink() and os.readlink(file) == target  # noqa: PTH115

    def ref(self, name: str) -> Path:
        """The file that says which commit a branch or tag means.

        Raises:
            ValueError: The name leads out of the refs.
        """
        file = self.folder / "refs" / name
        if self.folder / "refs" not in file.parents or ".." in file.parts:
            raise ValueError(f"{name!r} leads out of the refs")
        return file

    def means(self, ref: str) -> str | None:
        """Tell which commit a branch or tag means; None where it means none."""
        try:
            with self.ref(ref).open("rb") as opened:
                return opened.read(_MOST_REF_BYTES).decode(errors="replace").strip()
        except OSError:
            return None

    def write_ref(self, ref: str, commit: str) -> None:
        """Let a branch or tag mean a commit."""
        if self.means(ref) == commit:
            return
        file = self.ref(ref)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{token_hex(4)}.tmp")
        with draft.open("x", encoding="utf-8") as opened:
            opened.write(commit)
        draft.replace(file)
