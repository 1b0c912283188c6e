"""The blocks of one answer in Anthropic's stream: one open at a time, in their order. Pure.

Source: the Messages API's streaming page; accumulate_event in anthropic-sdk-python.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from localllm.gateway.translate.anthropic_tools import id_for_client
from localllm.gateway.translate.chunks import CallPart
from localllm.gateway.translate.sse import event

_SIGNATURE = "bG9jYWxsbG0="
"""Of every thought: some clients send none back that has no signature. Nobody checks it here."""


class Kind(StrEnum):
    TEXT = "text"
    THINKING = "thinking"
    CALL = "tool_use"


_DELTAS = {
    Kind.TEXT: ("text_delta", "text"),
    Kind.THINKING: ("thinking_delta", "thinking"),
    Kind.CALL: ("input_json_delta", "partial_json"),
}


@dataclass(slots=True)
class Block:
    """Mutable: grows while the engine streams."""

    kind: Kind
    engines_id: str | None = None
    """Of a call, as its engine gave it."""

    id: str = ""
    name: str = ""
    """Of a call; engines send it with its first piece, or soon after."""

    pieces: list[str] = field(default_factory=list)
    sent: int = 0
    """How many of the pieces have been written."""

    @property
    def said(self) -> str:
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        """Whether nothing can be missing: a call's arguments are an object."""
        if self.kind is not Kind.CALL:
            return True
        may_be = bool(self.pieces) and self.pieces[-1].rstrip().endswith("}")
        return may_be and isinstance(_parsed(self.said), dict)

    def document(self) -> dict[str, object]:
        """The block in an answer that is not streamed. Arguments that were cut off are none."""
        if self.kind is Kind.CALL:
            read = _parsed(self.said or "{}")
            return self.opening() | {"input": read if isinstance(read, dict) else {}}
        return self.opening() | {self.kind.value: self.said} | self._signed()

    def opening(self) -> dict[str, object]:
        match self.kind:
            case Kind.TEXT:
                return {"type": "text", "text": ""}
            case Kind.THINKING:
                return {"type": "thinking", "thinking": "", "signature": ""}
            case Kind.CALL:
                return {"type": "tool_use", "id": self.id, "name": self.name, "input": {}}

    def _signed(self) -> dict[str, object]:
        return {"signature": _SIGNATURE} if self.kind is Kind.THINKING else {}


class Blocks:
    """Writes blocks as what they consist of comes. Mutable.

    What belongs to a later block than the open one waits while that one may get more: pieces of
    several calls may come mixed.
    """

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._all: list[Block] = []
        self._calls: dict[int, Block] = {}
        self._at = 0
        """The block that is being written; those before it are closed."""

        self._is_open = False
        self._blank: tuple[Kind, str] | None = None
        """What a block may begin with, if anything follows: models put blank lines between what
        they think and the calls of tools, and Anthropic's clients want no text without a word."""

    @property
    def calls(self) -> list[Block]:
        return [block for block in self._all if block.kind is Kind.CALL]

    def documents(self) -> list[dict[str, object]]:
        """What was said, for an answer that is not streamed."""
        return [b.document() for b in self._all if b.kind is Kind.CALL or b.said.strip()]

    def say(self, kind: Kind, text: str) -> bytes:
        """Write a text or a thought, in the block before if that is one of the kind."""
        if self._blank is not None:
            blank_kind, blank = self._blank
            self._blank = None
            text = blank + text if blank_kind is kind else text
        if not self._all or self._all[-1].kind is not kind:
            if not text.strip():
                self._blank = (kind, text)
                return b""
            self._all.append(Block(kind))
        self._all[-1].pieces.append(text)
        return self._advance()

    def call(self, part: CallPart) -> bytes:
        """Write a piece of a call. Some engines number all calls 0: then another id is another."""
        block = self._calls.get(part.index)
        is_another = (
            block is not None
            and part.function.name
            and part.id
            not in {
                None,
                block.engines_id,
            }
        )
        if block is None or is_another:
            self._blank = None
            block = Block(Kind.CALL, part.id, self._id(part.id))
            self._calls[part.index] = block
            self._all.append(block)
        block.name = block.name or part.function.name or ""
        if part.function.arguments:
            block.pieces.append(part.function.arguments)
        return self._advance()

    def touch(self, kind: Kind) -> bytes:
        """Write a piece of nothing, in a block of the kind if none is open."""
        if not self._is_open:
            if self._at < len(self._all):  # a call that has no name yet
                return b""
            self._all.append(Block(kind))
            return self._advance() + self._delta("")
        return self._delta("")

    def close(self) -> bytes:
        """Write what is left, and the end of the last block."""
        return self._advance(is_over=True)

    def _id(self, engines: str | None) -> str:
        id_ = id_for_client(engines) if engines else self._new_id("toolu_")
        taken = any(block.id == id_ for block in self.calls)
        return self._new_id("toolu_") if taken else id_

    def _advance(self, *, is_over: bool = False) -> bytes:
        written: list[bytes] = []
        while self._at < len(self._all):
            block = self._all[self._at]
            if not (is_over or block.name or block.kind is not Kind.CALL):
                break
            written.append(self._write(block))
            is_last = self._at == len(self._all) - 1
            if not is_over and (is_last or not block.is_whole):
                break
            written.append(self._stop(block))
        return b"".join(written)

    def _write(self, block: Block) -> bytes:
        """Write what of a block has not been written yet."""
        start = b""
        if not self._is_open:
            self._is_open = True
            start = self._event("content_block_start", content_block=block.opening())
        if block.sent == len(block.pieces):
            return start
        text = "".join(block.pieces[block.sent :])
        block.sent = len(block.pieces)
        return start + self._delta(text)

    def _delta(self, text: str) -> bytes:
        kind, name = _DELTAS[self._all[self._at].kind]
        return self._event("content_block_delta", delta={"type": kind, name: text})

    def _stop(self, block: Block) -> bytes:
        signed = b""
        if block.kind is Kind.THINKING:
            signature = {"type": "signature_delta", "signature": _SIGNATURE}
            signed = self._event("content_block_delta", delta=signature)
        stop = self._event("content_block_stop")
        self._at += 1
        self._is_open = False
        return signed + stop

    def _event(self, kind: str, **members: object) -> bytes:
        return event(kind, {"type": kind, "index": self._at, **members})


def _parsed(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text
