"""One finished request as the ledger keeps it. No prompt, no key. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

from localllm.metrics.live import Live
from localllm.metrics.savings import Spared, day_of


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table `requests`; the fields are its columns."""

    id: str
    began_at: float
    """Unix seconds."""

    day: str
    """In UTC, as in 2026-11-29."""

    api: str
    asked: str | None
    model: str | None
    instance: str | None
    engine: str | None
    program: str
    client: str
    """The program without its version: what daily totals are kept by."""

    conversation: str | None
    key_name: str | None
    stream: bool
    phase: str
    status: int | None
    error_code: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    generated_tokens: int
    reasoning_tokens: int | None
    wait_s: float | None
    first_token_s: float | None
    longest_gap_s: float
    took_s: float
    saved_tokens: int | None
    """The cached ones, where an engine here has spared them."""

    saved_s: float | None
    """That reading those would have taken at least; None: nobody knows."""


COLUMNS = tuple(field.name for field in fields(Row))


def row_of(live: Live, client: str, spared: Spared | None = None) -> Row:
    """Take of a request that is over what is kept of it.

    Args:
        client: One of a bounded number of names.
    """
    return Row(
        id=live.id,
        began_at=live.began_at,
        day=day_of(live.began_at),
        api=live.api.value,
        asked=live.asked,
        model=live.model,
        instance=live.instance,
        engine=live.engine,
        program=live.caller.program,
        client=client,
        conversation=live.caller.conversation,
        key_name=live.caller.key_name,
        stream=live.stream,
        phase=live.phase.value,
        status=live.status,
        error_code=live.error_code,
        prompt_tokens=live.prompt_tokens,
        cached_tokens=live.cached_tokens,
        generated_tokens=live.generated_tokens,
        reasoning_tokens=live.reasoning_tokens,
        wait_s=live.wait_s,
        first_token_s=live.to_first_token_s,
        longest_gap_s=live.longest_gap_s,
        took_s=live.took_s(live.began),
        saved_tokens=None if spared is None else spared.tokens,
        saved_s=None if spared is None else spared.seconds,
    )
