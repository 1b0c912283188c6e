"""Reads the headers of models that are on a hub and not on this disk, and moves little more than them.

A header's length is known only when it has been read, so it is fetched in steps. What is here
already is not fetched again: our own cache is asked, then the one that all programs share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from localllm.errors import AccessRefused, ModelNotFound, NoNetwork
from localllm.formats.errors import BadModelFile, HeaderIncomplete
from localllm.formats.gguf_parts import Part, join_parts, parse_gguf_part
from localllm.formats.header import Format, Header, Tensor
from localllm.formats.projector import Projector, parse_projector
from localllm.formats.safetensors import parse_safetensors
from localllm.store.contents import Variant
from localllm.store.header_cache import HeaderCache, key_of_contents, key_of_head
from localllm.store.headers import Buffer, SafetensorsModel, mapped
from localllm.store.places import repository_folder
from localllm.store.repository import Hub, Repository, RepositoryFile, is_commit

STEP_BYTES = 2 << 20
"""At most so much is fetched beyond a header's end; a vocabulary of 250,000 takes six steps."""

SMALL_STEP_BYTES = 64 << 10
"""For headers without a vocabulary: those of later parts, and of safetensors."""

MAX_HEADER_BYTES = 15_900_000
"""With the listing and what HTTP adds, under 16 MB. The longest known: 15 MB, a vocabulary of
262,144 with its merges."""

MAX_PARTS = 512
_AT_ONCE = 8
_T = TypeVar("_T")
_Parse = Callable[[Buffer, int], _T]
"""From a file's first bytes and its whole length."""


@dataclass(frozen=True, slots=True)
class RemoteHeaders:
    """Listings and headers of one hub, kept in a cache."""

    hub: Hub
    cache: HeaderCache
    shared: Path
    """The cache that all programs share: see `hub_cache`."""

    def fetch_repository(self, name: str, revision: str | None = None) -> Repository:
        """List a repository; one request, or none for a full commit that was listed before.

        Where the hub cannot be asked it is the listing last known, and `not_fresh` says why.

        Raises:
            LocalLLMError: See `Hub.fetch_repository`; NoNetwork only if nothing is known.
        """
        key = f"{self.hub.host} {name} {revision or ''}"
        known = self.cache.read_repository(key)
        if known is not None and is_commit(revision):
            return known
        try:
            fresh = self.hub.fetch_repository(name, revision)
        except AccessRefused:
            raise
        except NoNetwork as error:
            if known is None:
                raise
            return replace(known, not_fresh=error.why)
        for stated in {key, f"{self.hub.host} {name} {fresh.commit}"}:
            self.cache.write_repository(stated, fresh)
        return fresh

    def fetch_header(self, repository: Repository, variant: Variant) -> Header:
        """Read the header of one model of the repository.

        Raises:
            ModelNotFound: Parts of it are not in the repository.
            BadModelFile: It is damaged, no model, or its header is longer than may be fetched.
            LocalLLMError: See `Hub.fetch_range`.
        """
        _check_parts(repository, variant)
        files = [*variant.files, *filter(None, (variant.config, variant.template))]
        key = " ".join(["header", *(_key(repository, file) for file in files)])
        known = self.cache.read_parsed(key, Header)
        if known is not None:
            return known
        is_gguf = variant.format is Format.GGUF
        found = (self._gguf if is_gguf else self._safetensors)(repository, variant)
        self.cache.write_parsed(key, found)
        return found

    def kept_heads(self, repository: Repository, variant: Variant) -> Sequence[tuple[bytes, int]]:
        """The first bytes of each of a model's files, and its length, as they were fetched.

        Empty where not all are kept: then `fetch_header` has not been asked, or the file is here.
        """
        heads = [
            (self.cache.read_head(_key_of_head(repository, f)), f.size_bytes) for f in variant.files
        ]
        return heads if all(head for head, _ in heads) else ()

    def fetch_projector(self, repository: Repository, file: RepositoryFile) -> Projector:
        """Read a projector's header; errors are those of `fetch_header`."""
        key = f"projector {_key(repository, file)}"
        known = self.cache.read_parsed(key, Projector)
        if known is not None:
            return known
        found = self._parsed(repository, file, _projector, STEP_BYTES)
        self.cache.write_parsed(key, found)
        return found

    def _gguf(self, repository: Repository, variant: Variant) -> Header:
        first, *rest = variant.files
        parts = [self._parsed(repository, first, _part, STEP_BYTES)]
        return join_parts([*parts, *self._parsed_all(repository, rest, _part)])

    def _safetensors(self, repository: Repository, variant: Variant) -> Header:
        assert variant.config is not None, "a variant of safetensors has its config"
        config, template = (
            self._parsed(repository, file, _whole, SMALL_STEP_BYTES) if file else b""
            for file in (variant.config, variant.template)
        )
        tables = self._parsed_all(repository, variant.files, _tensors)
        name = repository.name.partition("/")[2]
        return SafetensorsModel(name, variant, config, template, tables).header()

    def _parsed_all(
        self, repository: Repository, files: Sequence[RepositoryFile], parse: _Parse[_T]
    ) -> list[_T]:
        """Read several files that hold no vocabulary, some at once."""
        if not files:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(files))) as pool:
            return list(
                pool.map(lambda f: self._parsed(repository, f, parse, SMALL_STEP_BYTES), files)
            )

    def _parsed(
        self, repository: Repository, file: RepositoryFile, parse: _Parse[_T], step_bytes: int
    ) -> _T:
        """Parse a file's first bytes, from the nearest place that has as many as it takes."""
        here = find_fetched(self.shared, repository, file)
        if here is not None:
            with mapped(here) as view:
                return parse(view, len(view))
        key = _key_of_head(repository, file)
        data = kept = self.cache.read_head(key)
        try:
            while True:
                try:
                    return parse(data, file.size_bytes)
                except HeaderIncomplete as error:
                    end = _next_end(file, len(data), error.needed_bytes, step_bytes)
                    if end <= len(data):
                        raise _too_long(repository, file) from error
                    data += self.hub.fetch_range(repository, file, len(data), end)
        except BadModelFile:
            data = kept  # what is no header is not kept
            raise
        finally:
            if len(data) > len(kept):
                self.cache.write_head(key, data)


def _next_end(file: RepositoryFile, start: int, needed: int, step: int) -> int:
    """Choose up to where to fetch: a small header's double, and never much beyond a large one's."""
    growth = min(STEP_BYTES, max(step, start))
    return min(file.size_bytes, MAX_HEADER_BYTES, max(needed, start + growth))


def _part(data: Buffer, file_bytes: int) -> Part:
    return parse_gguf_part(data, file_bytes=file_bytes)


def _projector(data: Buffer, file_bytes: int) -> Projector:
    return parse_projector(data, file_bytes=file_bytes)


def _tensors(data: Buffer, file_bytes: int) -> tuple[Tensor, ...]:
    return parse_safetensors(data, file_bytes=file_bytes)


def _whole(data: Buffer, file_bytes: int) -> bytes:
    """Stand in for a parser where nothing less than all will do."""
    if len(data) < file_bytes:
        raise HeaderIncomplete(
            "The file is not whole.", why="", fix="fetch the rest", needed_bytes=file_bytes
        )
    return bytes(data)


def _key_of_head(repository: Repository, file: RepositoryFile) -> str:
    return key_of_head(repository.host, repository.name, repository.commit, file)


def _key(repository: Repository, file: RepositoryFile) -> str:
    return key_of_contents(repository.host, repository.name, repository.commit, file)


def find_fetched(shared: Path, repository: Repository, file: RepositoryFile) -> Path | None:
    """Find a file, whole, in the cache that all programs share: at its commit, or at another."""
    folder = repository_folder(shared, repository.name)
    places = [folder / "snapshots" / repository.commit / file.path]
    if file.etag is not None:
        places.append(folder / "blobs" / file.etag)
    return next((p for p in places if _size(p) == file.size_bytes), None)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _check_parts(repository: Repository, variant: Variant) -> None:
    if variant.missing:
        raise ModelNotFound(
            f"{repository.name} does not have all parts of {variant.name}.",
            why=f"missing: {', '.join(variant.missing[:5])}",
            fix="choose another quantization, or another repository of the same model",
        )
    if len(variant.files) > MAX_PARTS:
        raise BadModelFile(
            f"{variant.name} of {repository.name} is in {len(variant.files)} files.",
            why=f"no more than {MAX_PARTS} are read",
            fix="choose another repository of the same model",
        )


def _too_long(repository: Repository, file: RepositoryFile) -> BadModelFile:
    return BadModelFile(
        f"The header of {file.path} in {repository.name} is too long to be fetched alone.",
        why=f"it goes on after {min(file.size_bytes, MAX_HEADER_BYTES)} bytes",
        fix="download the file, then plan with its path",
    )
