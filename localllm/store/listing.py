"""Lists folders on this disk as a hub lists a repository, so that one set of rules sorts both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from localllm.errors import ModelNotFound
from localllm.formats.header import Format
from localllm.store.contents import TEMPLATES, Contents, Variant, sort_files
from localllm.store.repository import RepositoryFile
from localllm.store.unnoticed import open_unnoticed

_ENDINGS = (".gguf", ".safetensors", "config.json", *TEMPLATES)
_MAX_FILES = 10_000
"""Of one folder; more are a mistake, such as a home folder."""

_MAX_DEPTH = 3
_NAMED = 5
_MAX_CONFIG_BYTES = 4 << 20
_PEEK_BYTES = 4096
_CLIP = b"general.architecture\x08\0\0\0\x04\0\0\0\0\0\0\0clip"
_MMPROJ = b"general.type\x08\0\0\0\x06\0\0\0\0\0\0\0mmproj"
"""How a projector's header begins, whatever its name: the writer puts these keys first."""


class _Config(msgspec.Struct):
    quantization: dict[str, msgspec.Raw] | None = None


def sort_folder(folder: Path, *, deep: bool) -> Contents:
    """Sort what a folder holds, below it too if `deep`. Projectors tell themselves by their header."""
    files = list(_list(folder, _MAX_DEPTH if deep else 0))
    contents = sort_files(files, mlx=_is_mlx(folder))
    hidden = [m for m in contents.models if m.format is Format.GGUF and _is_projector(folder, m)]
    if not hidden:
        return contents
    models = tuple(model for model in contents.models if model not in hidden)
    projectors = (*contents.projectors, *(file for model in hidden for file in model.files))
    return replace(contents, models=models, projectors=projectors)


def set_of(file: Path) -> Variant:
    """Find the parts of the set that a file belongs to; the file alone if it is no part."""
    beside = _list(file.parent, 0) if file.is_file() else ()
    ours = (one for one in beside if one.path.endswith(".gguf"))
    for variant in sort_files(ours).models:
        if any(part.path == file.name for part in variant.files):
            return variant
    size = file.stat().st_size if file.is_file() else 0
    alone = RepositoryFile(file.name, size)
    return Variant(file.stem, None, Format.GGUF, (alone,))


def missing_parts(folder: Path, variant: Variant) -> ModelNotFound:
    """Name the parts that a set lacks."""
    names = ", ".join(variant.missing[:_NAMED])
    return ModelNotFound(
        f"{folder / variant.files[0].path} is one of several files, and not all are there.",
        why=f"missing {len(variant.missing)}: {names}",
        fix=f"put the missing files into {(folder / variant.files[0].path).parent}",
    )


def _list(folder: Path, depth: int) -> Iterator[RepositoryFile]:
    files = sorted(_walk(folder, depth))
    for file in files[:_MAX_FILES]:
        try:
            size = file.stat().st_size
        except OSError:  # a link whose file was cleared away
            continue
        yield RepositoryFile(file.relative_to(folder).as_posix(), size)


def _walk(folder: Path, depth: int) -> Iterable[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        if entry.name.lower().endswith(_ENDINGS) and not path.is_dir():
            yield path
        elif depth > 0 and entry.is_dir():
            yield from _walk(path, depth - 1)


def _is_mlx(folder: Path) -> bool:
    """MLX writes its own `quantization` into config.json, or itself as the format."""
    try:
        with (folder / "config.json").open("rb") as opened:
            config = msgspec.json.decode(opened.read(_MAX_CONFIG_BYTES), type=_Config)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return False
    return config.quantization is not None


def _is_projector(folder: Path, model: Variant) -> bool:
    try:
        file = folder / model.files[0].path
        with open(file, "rb", opener=open_unnoticed) as opened:
            head = opened.read(_PEEK_BYTES)
    except OSError:
        return False
    return head.startswith(b"GGUF") and (_CLIP in head or _MMPROJ in head)
