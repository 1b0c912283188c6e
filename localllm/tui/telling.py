"""Errors of the daemon in words, for a notification or in place. Pure."""

from __future__ import annotations

from localllm.errors import LocalLLMError
from localllm.wording.plain import plain_line


def lines_of(error: LocalLLMError) -> tuple[str, str, str]:
    """What happened, why, and what to do, each harmless on its line."""
    what, why, fix = map(plain_line, (error.what, error.why, error.fix))
    return what, f"why: {why}", f"next: {fix}"


def told(error: LocalLLMError) -> str:
    """All of it in one text."""
    return "\n".join(lines_of(error))
