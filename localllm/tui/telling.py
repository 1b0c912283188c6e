"""Errors of the daemon in words, for a notification or in place. Pure."""

from __future__ import annotations

from localllm.errors import LocalLLMError
from localllm.tui.words import plain


def lines_of(error: LocalLLMError) -> tuple[str, str, str]:
    """What happened, why, and what to do, each harmless on its line."""
    why, fix = (" ".join(plain_lines(text)) for text in (error.why, error.fix))
    return " ".join(plain_lines(error.what)), f"why: {why}", f"next: {fix}"


def told(error: LocalLLMError) -> str:
    """All of it in one text."""
    return "\n".join(lines_of(error))


def plain_lines(text: str) -> list[str]:
    """Cut text of others into harmless lines."""
    return [plain(line.expandtabs(4)) for line in text.splitlines()]
