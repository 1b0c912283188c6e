"""Runs in the child: what the model holds of a prompt, put into a file, taken from there, thrown away.

The files are llama.cpp's own. They are written by it, and read by way of memory: where it reads one
itself that is cut off, it ends the whole process, and from memory it says that it cannot.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localllm.engines.workers.http import Refusal, invalid
from localllm.engines.workers.slot_requests import draft_of, no_folder

_SEQUENCE = 0
_MAGIC = 0x67677371
_HEAD = struct.Struct("=3I")
"""Magic, version and number of tokens; the tokens and the state follow. In this machine's byte
order, as llama.cpp writes. The version is for llama.cpp to judge."""

_TOKEN_BYTES = 4
_LEAD = struct.pack("=Ii", 0xAF143CD8, _SEQUENCE)
"""What is before a state in memory, and in no file. Source: llama_context::state_seq_get_data in
llama.cpp, src/llama-context.cpp (io_magic); without it every file is refused."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What went into a file, or came from there."""

    tokens: int
    size_bytes: int


class Slot:
    """The one sequence of a model; who asks has the turn.

    Args:
        llm: A `llama_cpp.Llama`, whose notes of what it holds are kept right.
        folder: None: there is none for files.
    """

    def __init__(self, lib: Any, llm: Any, folder: Path | None) -> None:  # noqa: ANN401
        self._lib, self._llm, self.folder = lib, llm, folder

    def save(self, name: str) -> Moved:
        """Write what is held; of nothing, no file.

        Raises:
            Refusal: The disk does not take it; a file of that name stays as it was.
        """
        tokens, file = self._held(), self._file(name)
        if not tokens:
            return Moved(0, 0)
        draft = draft_of(file)
        try:
            return Moved(len(tokens), self._write(tokens, draft, file))
        except OSError as error:
            raise _unsaved(error) from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def restore(self, name: str) -> Moved:
        """Hold what is in a file, in place of what is held.

        Raises:
            Refusal: It is no such file, not a whole one, or another model's; then nothing is held.
        """
        file = self._file(name)
        try:
            tokens, size_bytes = self._take(file)
        except (OSError, ValueError, struct.error) as error:
            self.erase()
            raise invalid(f"filename: it cannot be restored: {_words(error)}") from error
        self._llm.input_ids[: len(tokens)] = tokens
        self._llm.n_tokens = len(tokens)
        return Moved(len(tokens), size_bytes)

    def erase(self) -> int:
        """Hold nothing; return how many tokens were held."""
        held = int(self._llm.n_tokens)
        self._llm.n_tokens = 0
        self._lib.llama_memory_clear(self._memory, True)  # noqa: FBT003  # C knows no names
        return held

    @property
    def _memory(self) -> Any:  # noqa: ANN401
        return self._lib.llama_get_memory(self._llm.ctx)

    @property
    def _last(self) -> int:
        """The position of the last token held; negative: none is."""
        return int(self._lib.llama_memory_seq_pos_max(self._memory, _SEQUENCE))

    def _file(self, name: str) -> Path:
        if self.folder is None:
            raise no_folder()
        return self.folder / name

    def _held(self) -> list[int]:
        """The tokens; of a request that broke off the memory may still have others behind them."""
        count = int(self._llm.n_tokens)
        self._lib.llama_memory_seq_rm(self._memory, _SEQUENCE, count, -1)
        if self._last != count - 1:
            self.erase()
        tokens: list[int] = self._llm.input_ids[: self._llm.n_tokens].tolist()
        return tokens

    def _write(self, tokens: Sequence[int], draft: Path, file: Path) -> int:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        numbers = (ctypes.c_int32 * len(tokens))(*tokens)
        path = os.fsencode(draft)
        said = self._lib.llama_state_seq_save_file(
            self._llm.ctx, path, _SEQUENCE, numbers, len(tokens)
        )
        written = draft.stat().st_size
        if not said or said != written:  # it does not look whether its last bytes went out
            raise OSError(0, "llama.cpp could not write all of it")
        draft.replace(file)
        return written

    def _take(self, file: Path) -> tuple[Sequence[int], int]:
        """Map a file privately, put the lead over its last tokens, and give llama.cpp what follows."""
        with (
            file.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped,
        ):
            tokens = tokens_in(mapped, self._llm.n_vocab(), len(self._llm.input_ids))
            start = _HEAD.size + _TOKEN_BYTES * len(tokens) - len(_LEAD)
            mapped[start : start + len(_LEAD)] = _LEAD
            size = len(mapped) - start
            state = (ctypes.c_uint8 * size).from_buffer(mapped, start)
            try:
                read = self._lib.llama_state_seq_set_data(self._llm.ctx, state, size, _SEQUENCE)
            finally:
                del state  # the map cannot be closed before
            if read != size or self._last != len(tokens) - 1:
                raise ValueError("it is damaged, or of another model")
            return tokens, len(mapped)


def tokens_in(data: mmap.mmap | bytes, vocabulary: int, most: int) -> Sequence[int]:
    """Read the tokens of a file.

    Raises:
        ValueError: There are none, too many, or others than the model knows.
        struct.error: It is too short.
    """
    magic, _, count = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("it is none of llama.cpp's")
    if not 0 < count <= most:
        raise ValueError(f"it has {count} tokens, and the context takes {most}")
    tokens = struct.unpack_from(f"={count}i", data, _HEAD.size)
    if not all(0 <= token < vocabulary for token in tokens):
        raise ValueError("it has tokens that the model does not know")
    return tokens


def _words(error: Exception) -> str:
    """Without the file's path."""
    return (error.strerror or "no") if isinstance(error, OSError) else str(error)


def _unsaved(error: OSError) -> Refusal:
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR, f"it cannot be saved: {_words(error)}", "server_error"
    )
