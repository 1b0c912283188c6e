"""Which files of a repository a model is made of: those are fetched, and no others. Pure.

No file that a program may run or unpickle is ever among them, whatever a listing names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from localllm.errors import ModelNotFound
from localllm.formats.errors import BadModelFile
from localllm.formats.header import Format
from localllm.store.contents import Variant
from localllm.store.names import is_inside, shown
from localllm.store.repository import Repository, RepositoryFile

MAX_TEXT_BYTES = 64 << 20
"""Of a file that is no weights; the largest known, a tokenizer of 262,144 tokens, has 33 MB."""

MAX_TEXTS = 60
"""Some twenty are usual."""

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Weights that run as a program does when they are loaded."""

_WEIGHTS = {
    Format.GGUF: ".gguf",
    Format.MLX: ".safetensors",
    Format.SAFETENSORS: ".safetensors",
}
_TEXTS = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""As mlx-lm fetches them, but for Python and lines of JSON, neither of which it needs.
Source: mlx-lm 0.32, utils.py (DEFAULT_ALLOW_PATTERNS); transformers 5.24, whose tokenizers read
any of them; vllm reads the same."""

_FOREIGN = (".bin.index.json", ".h5.index.json", ".msgpack.index.json")
"""What only leads to weights that are not fetched."""

_POOLING = "1_Pooling/config.json"
"""How vectors are made of texts: vllm reads it, mlx-lm does not. Source: sentence-transformers."""

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tiktoken.model", "vocab.json", "tekken.json")
"""Without one of them, no engine reads text for a model in safetensors."""


def needed_files(
    repository: Repository, variant: Variant, projector: RepositoryFile | None
) -> tuple[RepositoryFile, ...]:
    """Choose the files of one model, in the order in which they should come.

    Weights come last: programs take a model to be here once they are.

    Args:
        projector: What reads images for it, if that is wanted; of a GGUF alone it is another file.

    Raises:
        ModelNotFound: Parts of it are not in the repository.
        BadModelFile: A file is not what it is taken for, by its name or size.
    """
    _require_whole(repository, variant)
    chosen = [*_beside(repository, variant), *filter(None, [projector]), *variant.files]
    endings = (_WEIGHTS[variant.format], *_TEXTS)
    for file in chosen:
        if not is_inside(file.path) or not file.path.lower().endswith(endings):
            raise _odd(repository, file, "its name is none that a file of such a model has")
    return tuple(dict.fromkeys(chosen))


def has_tokenizer(names: Sequence[str]) -> bool:
    """Tell whether a folder of safetensors, with files of these names, can be served."""
    return not {PurePosixPath(name).name for name in names}.isdisjoint(TOKENIZERS)


def _beside(repository: Repository, variant: Variant) -> Sequence[RepositoryFile]:
    """What is read beside weights; a GGUF has it all in itself."""
    if variant.format is Format.GGUF:
        return ()
    texts = sorted(_texts(repository, variant.format), key=lambda file: file.path)
    must = {"config.json", "model.safetensors.index.json", *TOKENIZERS}
    for file in texts:
        if file.size_bytes > MAX_TEXT_BYTES and file.path in must:
            raise _odd(repository, file, f"it has {file.size_bytes} bytes")
    small = [file for file in texts if file.size_bytes <= MAX_TEXT_BYTES]
    if len(small) > MAX_TEXTS:
        small.sort(key=lambda file: (file.path not in must, file.path))
    return small[:MAX_TEXTS]


def _texts(repository: Repository, format_: Format) -> Iterator[RepositoryFile]:
    for file in repository.files:
        name = file.path.lower()
        wanted = "/" not in name and name.endswith(_TEXTS) and not name.endswith(_FOREIGN)
        pools = format_ is Format.SAFETENSORS and file.path == _POOLING
        if (wanted or pools) and is_inside(file.path):
            yield file


def _require_whole(repository: Repository, variant: Variant) -> None:
    if variant.missing:
        raise ModelNotFound(
            f"{repository.name} does not have all parts of {shown(variant.name)}.",
            why=f"missing: {', '.join(map(shown, variant.missing[:5]))}",
            fix="choose another quantization, or another repository of the same model",
        )


def _odd(repository: Repository, file: RepositoryFile, why: str) -> BadModelFile:
    return BadModelFile(
        f"{shown(file.path)} of {repository.name} is not fetched.",
        why=why,
        fix="choose another repository of the same model",
    )
