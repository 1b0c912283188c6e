"""Runs in the child: puts what a slot holds into a file, and takes it from there.

What a file says of itself has to be true of the model that is served: shapes that do not fit would
end the thread that generates. Reading and writing are done beside that thread, since a disk is slow.
"""

# mypy: disable-error-code="no-untyped-call"
# (mlx-lm leaves out most types)

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
from mlx.utils import tree_map
from mlx_lm.models import cache as caches
from mlx_lm.models.cache import load_prompt_cache, save_prompt_cache

from localllm.engines.workers.answers import Document
from localllm.engines.workers.http import Refusal, invalid
from localllm.engines.workers.mlx.generation import Attend, Generator
from localllm.engines.workers.mlx.prompts import Prompts
from localllm.engines.workers.mlx.worker import WorkerSettings
from localllm.engines.workers.slot_requests import Action, SlotRequest, draft_of, no_folder

_FORMAT = "1"
"""Counts up with what is written."""

_BAD_FILE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What mlx, and mlx-lm's reader of caches, raise at a file that is none."""

_Cache = list[Any]
"""Of all layers."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What a slot holds."""

    tokens: list[int]
    parts: list[tuple[int, _Cache]]
    """Caches after so many of the tokens; the first after all of them."""


class SlotFiles:
    """What llama.cpp's server does with slots and files."""

    def __init__(self, generator: Generator, settings: WorkerSettings) -> None:
        self._generator = generator
        self._folder = None if settings.prefix_folder is None else Path(settings.prefix_folder)
        self._said = {
            "format": _FORMAT,
            "mlx_lm": mlx_lm.__version__,
            "model": _identity(Path(settings.model), settings.kv_bits),
        }
        # One thread: each that works with mlx has a stream of its own, and mlx never ends it.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="slot-files")

    def answer(self, asked: SlotRequest, attend: Attend) -> Document:
        """Do it, and say what was done, as llama.cpp's server does.

        Args:
            attend: Raises where the client has gone, who would not know what is in a file.

        Raises:
            Refusal: There is no folder, or the file is not one of ours, or cannot be written.
        """
        if asked.action is Action.ERASE:
            return self._erase(asked.slot, attend)
        if self._folder is None:
            raise no_folder()
        do = self._save if asked.action is Action.SAVE else self._restore
        counts = do(asked.slot, self._folder / asked.file, attend)
        return {"id_slot": asked.slot, "filename": asked.file, **counts}

    def _erase(self, slot: int, attend: Attend) -> Document:
        def erase(prompts: Prompts, model: object) -> int:
            tokens = prompts.slots.held(slot)
            prompts.slots.forget(slot)
            prompts.drop(model, tokens)
            return len(tokens)

        return {"id_slot": slot, "n_erased": self._generator.do(erase, attend)}

    def _save(self, slot: int, file: Path, attend: Attend) -> Document:
        def take(prompts: Prompts, model: object) -> _Held | None:
            tokens = prompts.slots.held(slot)
            parts = [(size, _computed(part)) for size, part in prompts.take(model, tokens)]
            return _Held(list(tokens[: parts[0][0]]), parts) if parts else None

        held = self._generator.do(take, attend)
        if held is None:
            return {"n_saved": 0, "n_written": 0}
        written = self._disk.submit(_write, file, held, self._said, attend).result()
        return {"n_saved": len(held.tokens), "n_written": written}

    def _restore(self, slot: int, file: Path, attend: Attend) -> Document:
        self._generator.do(partial(_make_room, slot, _size(file)), attend)
        held = self._disk.submit(_read, file, self._said).result()

        def put(prompts: Prompts, model: object) -> bool:
            for length, part in reversed(held.parts):
                prompts.insert_cache(model, held.tokens[:length], part)
            if not prompts.has(model, held.tokens):
                return False
            prompts.slots.put(slot, held.tokens)
            return True

        if not self._generator.do(put, attend):
            raise _no_room()
        return {"n_restored": len(held.tokens), "n_read": _size(file)}


def _make_room(slot: int, size_bytes: int, prompts: Prompts, _model: object) -> None:
    """Before it is read: both together may be more than the memory takes."""
    prompts.slots.forget(slot)
    if size_bytes > prompts.max_bytes:
        raise _no_room()
    prompts.trim_to(n_bytes=prompts.max_bytes - size_bytes)


def _no_room() -> Refusal:
    return invalid("filename: what it holds is more than there is room for")


def _computed(cache: _Cache) -> _Cache:
    """Finish what mlx has put off, in the thread it belongs to; then any other may read it.

    Raises:
        Refusal: The model has a kind of cache that mlx-lm could not read again.
    """
    for layer in cache:
        if getattr(caches, type(layer).__name__, None) is not type(layer):
            raise invalid(f"mlx-lm cannot save a cache of the kind {type(layer).__name__}")
    whole = [type(layer).from_state(tree_map(_contiguous, layer.state)) for layer in cache]
    mx.eval([layer.state for layer in whole])
    return whole


def _contiguous(part: Any) -> Any:  # noqa: ANN401
    return mx.contiguous(part) if isinstance(part, mx.array) else part


def _write(file: Path, held: _Held, said: dict[str, str], attend: Attend) -> int:
    """Write a draft and give it the name when it is whole; a crash leaves nothing half there."""
    draft = draft_of(file)
    layers = [layer for _, part in held.parts for layer in part]
    lengths = [length for length, _ in held.parts]
    told = {**said, "tokens": json.dumps(held.tokens), "lengths": json.dumps(lengths)}
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
            save_prompt_cache(opened, layers, told)  # type: ignore[arg-type]  # mlx takes both
        written = draft.stat().st_size
        attend()
        draft.replace(file)
    except (OSError, RuntimeError, ValueError) as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, ConnectionError):
            raise
        message = f"the slot cannot be saved: {error}"
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, "server_error") from error
    return written


def _read(file: Path, said: dict[str, str]) -> _Held:
    """Read a file of ours.

    Raises:
        Refusal: It is none, or not whole, or another model's or version's.
    """
    try:
        layers, told = _load(file)
        if {name: told.get(name) for name in said} != said:
            raise ValueError("it belongs to another model, or to another version of the engine")
        return _held(json.loads(told["tokens"]), json.loads(told["lengths"]), layers)
    except _BAD_FILE as error:
        raise invalid(f"filename: the slot cannot be restored from it: {error}") from error


def _load(file: Path) -> tuple[_Cache, dict[str, str]]:
    """Have mlx-lm read it, under a name whose end says what it is: mlx looks at nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / "slot.safetensors"
        named.symlink_to(file.absolute())
        cache, told = load_prompt_cache(str(named), return_metadata=True)
        mx.eval([layer.state for layer in cache])
    return cache, told


def _held(tokens: list[int], lengths: list[int], layers: _Cache) -> _Held:
    if not all(type(number) is int for number in (*tokens, *lengths)):
        raise ValueError("its tokens are none")
    if not tokens or not lengths or lengths[0] != len(tokens) or min(lengths) < 1:
        raise ValueError("it holds nothing")
    each, rest = divmod(len(layers), len(lengths))
    if rest or not each:
        raise ValueError("it is not whole")
    parts = [(n, layers[i * each : (i + 1) * each]) for i, n in enumerate(lengths)]
    if any(getattr(layer, "offset", n) != n for n, part in parts for layer in part):
        raise ValueError("it holds other tokens than it says")
    return _Held(list(tokens), parts)


def _size(file: Path) -> int:
    """The size of a file; what is none is refused before it is opened, which might never end."""
    try:
        found = file.lstat()
    except OSError as error:
        raise invalid(f"filename: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise invalid("filename: it is no file")
    return found.st_size


def _identity(folder: Path, kv_bits: int | None) -> str:
    """Tell a model from others by its settings, and its weights by their sizes and times."""
    weights: Sequence[Path] = sorted(folder.glob("model*.safetensors"))
    digest = sha256((folder / "config.json").read_bytes())
    for found in (file.stat() for file in weights):
        digest.update(f" {found.st_size} {found.st_mtime_ns}".encode())
    return f"{digest.hexdigest()} {kv_bits or 16}"
