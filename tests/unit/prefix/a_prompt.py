"""Prompts, their outlines, and what is saved of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.outline import BLOCK_BYTES, BYTES_PER_TOKEN, Outline, outline_of

KEY = b"k" * 32


def text_of(words: str, tokens: int = 0) -> bytes:
    """About so many tokens, that differ from the first on for other words."""
    return (f"{words}\n".encode() * (tokens + 1))[: max(len(words), tokens * BYTES_PER_TOKEN)]


def outline(*texts: bytes) -> Outline:
    return outline_of([b"".join(texts)], KEY)


def blocks(letters: str) -> Outline:
    """A block for each letter: two have in common what their letters have."""
    return outline(*(letter.encode() * BLOCK_BYTES for letter in letters))


def a_holding(slot: int, text: bytes = b"", **changes: Any) -> Holding:
    tokens = len(text) // BYTES_PER_TOKEN
    said = Holding(slot, outline(text) if text else None, tokens=tokens, is_saved=False)
    return replace(said, **changes)


def an_entry(name: str = "0" * 8, letters: str = "a", **changes: Any) -> Entry:
    entry = Entry(
        id=name,
        key="model",
        model="m",
        outline=blocks(letters),
        tokens=1000,
        size_bytes=100,
        sha256="0" * 64,
        saved_at=0.0,
        used_at=0.0,
        uses=0,
    )
    return replace(entry, **changes)
