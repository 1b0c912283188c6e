"""Builds caches as huggingface_hub lays them out, and asks the real one what it makes of them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download, scan_cache_dir
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import _shared_blobs as shared

from localllm.store.shared_cache import CachedRepository

MAIN, OLD, OLDER = "a" * 40, "b" * 40, "c" * 40


def etag_of(path: str, data: bytes) -> str:
    """What the hub calls contents: large ones by sha256, small ones as git does."""
    if path.endswith((".gguf", ".safetensors")):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass(frozen=True)
class ACache:
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"HF_HUB_CACHE": str(self.folder), "HOME": str(self.folder.parent)}

    def repository(self, repo: str) -> CachedRepository:
        return CachedRepository(self.folder, repo)

    def put(
        self,
        repo: str,
        files: Mapping[str, bytes],
        commit: str = MAIN,
        *,
        ref: str | None = "main",
        used: float | None = None,
    ) -> Path:
        """Have files of a commit; return its folder."""
        ours = self.repository(repo)
        ours.make()
        for path, data in files.items():
            blob = ours.blob(etag_of(path, data))
            if not blob.exists():
                blob.write_bytes(data)
            if used is not None:
                os.utime(blob, (used, used))
            ours.link(commit, path, blob.name)
        if ref is not None:
            ours.write_ref(ref, commit)
        return ours.snapshot(commit)

    def share(self, repo: str, etag: str, xet: str) -> Path:
        """Move a blob into the store that repositories share, as the hub does after a Xet download."""
        blob = self.repository(repo).blob(etag)
        size = blob.stat().st_size
        options = {"blob_path": str(blob), "xet_hash": xet, "cache_dir": self.folder}
        blob.with_name("kept").write_bytes(blob.read_bytes())
        if not shared.try_link_from_shared_store(**options, expected_size=size):
            assert shared.publish_blob_to_shared_store(**options, expected_size=size)
        blob.with_name("kept").unlink()
        assert blob.is_symlink()
        return shared.shared_blob_path(self.folder, xet)

    def scan(self) -> dict[str, set[str]]:
        """What the hub sees, without a warning: of each repository, its files as commit/path."""
        found = scan_cache_dir(self.folder)
        assert found.warnings == [], found.warnings
        return {
            repo.repo_id: {
                f"{revision.commit_hash[:1]}/{file.file_path.relative_to(revision.snapshot_path)}"
                for revision in repo.revisions
                for file in revision.files
            }
            for repo in found.repos
        }

    def fetched(self, repo: str, path: str, revision: str = "main") -> bytes | None:
        """What the hub's own download finds without a network."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                file = hf_hub_download(
                    repo, path, revision=revision, cache_dir=self.folder, local_files_only=True
                )
            except LocalEntryNotFoundError:
                return None
        return Path(file).read_bytes()


def contents(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder, byte for byte; locks, which nobody misses, are left out."""
    found: dict[str, bytes | str] = {}
    for above, folders, files in os.walk(folder):
        for name in [*files, *(f for f in folders if Path(above, f).is_symlink())]:
            path = Path(above, name)
            key = path.relative_to(folder).as_posix()
            if key.startswith(".locks/") or "/.locks/" in key:
                continue
            found[key] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found
