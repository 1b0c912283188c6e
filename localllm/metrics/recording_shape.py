"""From a request that is over to what a recording keeps of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from localllm.api.traffic_file import Shape
from localllm.metrics.live import Live, Phase
from localllm.metrics.recording_blocks import Marked
from localllm.metrics.redaction import redact_body

_MS = 1000.0
_DIGITS = 3
_ENDS: dict[Phase, Literal["done", "failed", "cancelled"]] = {
    Phase.DONE: "done",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}


class _Tools(msgspec.Struct):
    tools: list[msgspec.Raw] | None = None


@dataclass(slots=True)
class Conversations:
    """Gives conversations numbers in place of their names, in the order in which they come. Mutable."""

    _numbers: dict[tuple[str, str | None, str], int] = field(
        default_factory=dict[tuple[str, str | None, str], int]
    )

    def number(self, live: Live) -> int | None:
        caller = live.caller
        if caller.conversation is None:
            return None
        whose = (caller.program_name, caller.key_name, caller.conversation)
        return self._numbers.setdefault(whose, len(self._numbers) + 1)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is known of a request's prompt.

    Args:
        tokens: None: nobody could tell.
        marked: What it has in common with others; None where `tokens` is.
    """

    body: bytes = field(repr=False)
    tokens: Sequence[int] | None = field(default=None, repr=False)
    marked: Marked | None = None

    @property
    def tools(self) -> int:
        """How many tools it offers."""
        try:
            return len(msgspec.json.decode(self.body, type=_Tools).tools or ())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0


def shape_of(
    live: Live, prompt: Prompt | None, *, request: int, began: float, conversation: int | None
) -> Shape:
    """Take of a request what its replay needs.

    Args:
        request: Its number in the recording.
        began: When the recording began, on the clock of the requests.
    """
    marked = None if prompt is None else prompt.marked
    tokens = None if prompt is None else prompt.tokens
    length = live.prompt_tokens
    return Shape(
        id=request,
        timestamp=_ms(live.began - began) or 0.0,
        input_length=length if length is not None or tokens is None else len(tokens),
        output_length=live.generated_tokens,
        hash_ids=None if marked is None else list(marked.hash_ids),
        goes_on_from=None if marked is None else marked.goes_on_from,
        api=live.api.value,
        model=live.model,
        stream=live.stream,
        tools=0 if prompt is None else prompt.tools,
        cached_tokens=live.cached_tokens,
        reasoning_tokens=live.reasoning_tokens,
        conversation=conversation,
        client=live.caller.program,
        ended=_ENDS.get(live.phase, "failed"),
        status=live.status,
        error=live.error_code,
        wait_ms=_ms(live.wait_s),
        first_token_ms=_ms(live.to_first_token_s),
        total_ms=_ms(live.took_s(live.began)),
        gap_ms=_ms(_gap_s(live)),
        longest_gap_ms=_ms(live.longest_gap_s),
    )


def with_body(shape: Shape, body: bytes) -> Shape:
    """Put a request's body to its shape, without keys that are in it."""
    redacted = redact_body(body, texts=False)
    return msgspec.structs.replace(shape, body=redacted) if isinstance(redacted, dict) else shape


def _gap_s(live: Live) -> float | None:
    return None if live.decode_tps is None else 1 / live.decode_tps


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(max(0.0, seconds) * _MS, _DIGITS)
