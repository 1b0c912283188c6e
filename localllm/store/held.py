"""Tells which models a revision holds, and which of its files are whose. Opens config.json alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from localllm.formats.header import Format
from localllm.store.contents import Contents, Variant, choose_projector, sort_files
from localllm.store.repository import RepositoryFile
from localllm.store.revisions import Name, Revision

_ENDINGS = (".gguf", ".safetensors", ".json", ".jinja")
_MAX_DEPTH = 3
_MAX_FILES = 10_000
"""As the listing that models are served by."""

_MAX_CONFIG_BYTES = 4 << 20
_BESIDE = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""What a model in safetensors needs beside its weights: config, tokenizer, template."""


class _Config(msgspec.Struct):
    quantization: dict[str, msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """One model in one revision."""

    revision: Revision
    variant: Variant
    weights: tuple[str, ...]
    """What its weights' contents are called; two models with the same are one, at two places."""

    paths: tuple[str, ...]
    """Of its files, inside the revision: weights first, then what goes along with them."""

    names: tuple[Name, ...]
    """Of its weights."""

    again: tuple[str, ...] = ()
    """Paths of the same weights in another shape, as `consolidated.safetensors` beside the parts."""

    @property
    def kind(self) -> tuple[str, str | None, Format]:
        """What it is called; two revisions may have different contents by one name."""
        return (self.variant.name, self.variant.quantization, self.variant.format)

    @property
    def is_whole(self) -> bool:
        return not self.variant.missing

    @property
    def path(self) -> Path:
        """The first file; the folder, for safetensors."""
        is_file = self.variant.format is Format.GGUF
        return self.revision.folder / (self.paths[0] if is_file else "")

    @property
    def last_used(self) -> float:
        """When somebody last read or wrote its weights; config.json is read by who only looks."""
        stats = [name.stat for name in self.names if name.stat is not None]
        return max((max(s.st_atime, s.st_mtime) for s in stats), default=0.0)

    @property
    def size_bytes(self) -> int:
        named = {name.path: name for name in self.revision.names}
        ours = [named[path] for path in self.paths if path in named]
        return sum({name.blob or name.path: name.size_bytes for name in ours}.values())


def models_of(revision: Revision) -> Sequence[Held]:
    """Sort a revision's files into models, by their names alone."""
    named = {name.path: name for name in _candidates(revision)}
    files = [RepositoryFile(name.path, name.size_bytes) for name in named.values()]
    contents = sort_files(files, mlx=_is_mlx(revision.folder, named))
    return [_held(revision, variant, contents, named) for variant in contents.models]


def additions_of(revision: Revision) -> frozenset[str]:
    """Find the GGUF files that are no model: projectors, drafts, matrices."""
    ggufs = {n.path for n in _candidates(revision) if n.path.lower().endswith(".gguf")}
    return frozenset(ggufs - {f.path for m in models_of(revision) for f in m.variant.files})


def _candidates(revision: Revision) -> Iterable[Name]:
    names = (
        name
        for name in revision.names
        if name.path.lower().endswith(_ENDINGS)
        and name.path.count("/") <= _MAX_DEPTH
        and name.is_file
    )
    return list(names)[:_MAX_FILES]


def _held(revision: Revision, variant: Variant, contents: Contents, named: dict[str, Name]) -> Held:
    weights = tuple(file.path for file in variant.files)
    names = tuple(named[path] for path in weights)
    beside = _beside(variant, contents, revision)
    identity = tuple(name.blob or f"{revision.commit}/{name.path}" for name in names)
    again = () if variant.format is Format.GGUF else _tops(named, {*weights})
    return Held(revision, variant, identity, (*weights, *beside), names, again)


def _tops(named: dict[str, Name], but: set[str]) -> tuple[str, ...]:
    tops = (path for path in named if path.endswith(".safetensors") and "/" not in path)
    return tuple(path for path in tops if path not in but)


def _beside(variant: Variant, contents: Contents, revision: Revision) -> Sequence[str]:
    if variant.format is Format.GGUF:
        projector = choose_projector(variant, contents)
        return [] if projector is None else [projector.path]
    tops = (name.path for name in revision.names if "/" not in name.path and name.is_file)
    return [path for path in tops if PurePosixPath(path).suffix.lower() in _BESIDE]


def _is_mlx(folder: Path, named: dict[str, Name]) -> bool:
    """As listing.py tells it; a folder without safetensors is not asked."""
    if "config.json" not in named or not any(path.endswith(".safetensors") for path in named):
        return False
    try:
        with (folder / "config.json").open("rb") as opened:
            config = msgspec.json.decode(opened.read(_MAX_CONFIG_BYTES), type=_Config)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return False
    return config.quantization is not None
