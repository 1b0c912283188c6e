"""How many tokens an engine read, where nothing is generated. Pure."""

from __future__ import annotations

import msgspec


class ReadUsage(msgspec.Struct, frozen=True):
    """As an engine says it; vLLM leaves `prompt_tokens` out of what it ranks."""

    prompt_tokens: int | None = None
    total_tokens: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.prompt_tokens is not None and self.total_tokens is not None

    @property
    def whole(self) -> dict[str, int]:
        """Both counts, which OpenAI's clients read without looking."""
        read = self.prompt_tokens or self.total_tokens or 0
        return {"prompt_tokens": read, "total_tokens": self.total_tokens or read}
