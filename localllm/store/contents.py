"""Sorts a folder's or repository's files into models, projectors and other additions, by name alone.

Sizes are the listing's, so no file is opened. What a name hides, the file's own header tells later.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from localllm.formats.header import Format
from localllm.store.repository import RepositoryFile

_QUANTIZATION = re.compile(
    r"(?<![A-Za-z0-9])("
    r"(?:UD-)?(?:IQ[1-8]|TQ[1-8]|Q[1-8])(?:_(?:[0-9]|K[STL]{0,2}|XXS|XS|S|M|L|XL|NL))+"
    r"|(?:UD-)?(?:MX|NV)FP4(?:_MOE)?|BF16|F16|F32|FP16|FP32|FP8"
    r")(?![A-Za-z0-9])",
    re.IGNORECASE,
)
"""As llama.cpp and those who publish with it write them, at any place, as whole words."""

_PART = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})$", re.DOTALL)
_PROJECTOR, _IMATRIX = (re.compile(rf"(?<![a-z0-9]){w}(?![a-z0-9])") for w in ("mmproj", "imatrix"))
TEMPLATES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
"""Where a chat template is looked for, beside safetensors; the last may be without one."""

_DRAFTS = ("mtp-", "eagle3-", "dflash-", "dspark-")
"""How a file begins that only speeds another up. Source: llama.cpp, common/download.cpp."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One model that can be chosen: a file, a set of parts, or a folder's safetensors."""

    name: str
    """Its path without part number and ending, which no other variant beside it has."""

    quantization: str | None
    """From its name, as in UD-Q4_K_XL; None where that says nothing."""

    format: Format
    files: tuple[RepositoryFile, ...]
    """Of its weights, the first part first."""

    missing: tuple[str, ...] = ()
    """Parts that the set should have, and that are not there."""

    config: RepositoryFile | None = None
    """config.json; None for a GGUF, which has all in itself."""

    template: RepositoryFile | None = None
    """Where a safetensors model's chat template is, if it has one; None for a GGUF."""

    @property
    def file_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def base(self) -> str:
        """Its name in lower case, without folder and quantization."""
        return base_of(self.name)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a folder or repository holds; sorted by name."""

    models: tuple[Variant, ...]
    projectors: tuple[RepositoryFile, ...]
    drafts: tuple[RepositoryFile, ...]
    """Files that make another model faster; none is a model of its own."""


def sort_files(files: Iterable[RepositoryFile], *, mlx: bool = False) -> Contents:
    """Sort files by what their names say.

    Args:
        files: With their paths inside the folder or repository.
        mlx: Whether safetensors here are MLX's, which only its hub or its config.json tells.
    """
    files = sorted(files, key=lambda file: file.path)
    ggufs = [file for file in files if file.path.lower().endswith(".gguf")]
    projectors = [file for file in ggufs if is_projector_name(_name(file))]
    drafts = [file for file in ggufs if _name(file).lower().startswith(_DRAFTS)]
    others = {file.path for file in (*projectors, *drafts)}
    models = [file for file in ggufs if file.path not in others and not _is_imatrix(file)]
    return Contents(
        (*_ggufs(models), *_safetensors(files, Format.MLX if mlx else Format.SAFETENSORS)),
        tuple(projectors),
        tuple(drafts),
    )


def quantization_of(path: str) -> str | None:
    """Find the quantization in a file's name, else in its folder's; the last word that is one."""
    for part in reversed(PurePosixPath(path).parts):
        if found := _QUANTIZATION.findall(part):
            return str(found[-1]).upper()
    return None


def is_projector_name(name: str) -> bool:
    """Tell a projector by its file's name."""
    return _PROJECTOR.search(name.lower()) is not None


def base_of(path: str) -> str:
    """Take folder, quantization and ending off, and `mmproj` too: what a model's files share."""
    stem = _QUANTIZATION.sub("", _stem(PurePosixPath(path).name)).lower()
    return re.sub(r"[-._]+", "-", _PROJECTOR.sub("", stem)).strip("-")


def choose_projector(variant: Variant, contents: Contents) -> RepositoryFile | None:
    """Choose the projector that belongs to a model, the one in 16 bits first; None without one.

    Where models of several kinds share a folder, only one that bears the model's name will do.
    """
    alone = len({model.base for model in contents.models}) == 1
    fitting = [p for p in contents.projectors if alone or _names(p, variant)]
    return min(fitting, key=_projector_order, default=None)


def _names(projector: RepositoryFile, variant: Variant) -> bool:
    ours, theirs = f"{variant.base}-", f"{base_of(projector.path)}-"
    return theirs != "-" and (ours.startswith(theirs) or theirs.startswith(ours))


def _projector_order(file: RepositoryFile) -> tuple[int, str]:
    order = ("F16", "BF16", "Q8_0", "F32")  # every backend computes in F16; F32 is twice the size
    found = quantization_of(_name(file))
    return (order.index(found) if found in order else len(order), file.path)


def _name(file: RepositoryFile) -> str:
    return PurePosixPath(file.path).name


def _stem(path: str) -> str:
    return re.sub(r"\.(gguf|safetensors)$", "", path, flags=re.IGNORECASE)


def _is_imatrix(file: RepositoryFile) -> bool:
    """A model made with one may say so in its name; the matrix itself has no quantization."""
    name = _name(file)
    return _IMATRIX.search(name.lower()) is not None and quantization_of(name) is None


def _ggufs(files: Sequence[RepositoryFile]) -> list[Variant]:
    return [
        Variant(stem, quantization_of(stem), Format.GGUF, tuple(parts), missing)
        for stem, parts, missing in _sets(files)
    ]


def _sets(
    files: Sequence[RepositoryFile],
) -> list[tuple[str, list[RepositoryFile], tuple[str, ...]]]:
    """Group parts: the set's stem, its files in order, and the names of those that are missing."""
    sets: dict[tuple[str, int], dict[int, RepositoryFile]] = {}
    for file in files:
        part = _PART.fullmatch(_stem(file.path))
        if part is None or not 1 <= int(part["number"]) <= int(part["count"]):
            sets[_stem(file.path), 1] = {1: file}
        else:
            there = sets.setdefault((part["stem"], int(part["count"])), {})
            there[int(part["number"])] = file
    return [
        (stem, list(parts.values()), _missing(count, parts))
        for (stem, count), parts in sets.items()
    ]


def _missing(count: int, parts: dict[int, RepositoryFile]) -> tuple[str, ...]:
    if len(parts) == count:
        return ()
    any_number, file = next(iter(parts.items()))
    text = f"-{any_number:05}-of-"
    names = (
        _name(file).replace(text, f"-{number:05}-of-")
        for number in range(1, count + 1)
        if number not in parts
    )
    return tuple(names)


def _safetensors(files: Sequence[RepositoryFile], kind: Format) -> list[Variant]:
    """Find the one model that a folder's safetensors make, beside its config.json.

    Mistral's repositories hold the weights twice, also as `consolidated`.
    """
    config = next((file for file in files if file.path == "config.json"), None)
    tops = [f for f in files if f.path.endswith(".safetensors") and "/" not in f.path]
    sets = [one for one in _sets(tops) if not _is_adapter(one[0])]
    if config is None or not sets:
        return []
    known = [one for one in sets if one[0] == "model"]
    rest = [one for one in sets if one[0] != "consolidated"] or sets
    chosen = known[:1] or rest
    weights = tuple(file for _, parts, _ in chosen for file in parts)
    missing = tuple(name for _, _, names in chosen for name in names)
    named = {file.path: file for file in files}
    template = next((named[path] for path in TEMPLATES if path in named), None)
    return [Variant("model", None, kind, weights, missing, config, template)]


def _is_adapter(stem: str) -> bool:
    return stem.startswith("adapter")
