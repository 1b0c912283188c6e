"""What the catalog, or an earlier start, knows of a model's tokenizer, beside what it does now."""

from __future__ import annotations

import anyio

from localllm.engine_client.interview import CHECK_TEXT, Interview
from localllm.planning.desk import Desk
from localllm.quality.tokens import cut
from localllm.quality.voice import Voice
from localllm.supervisor.doubts import Known, doubts_about
from localllm.supervisor.examinee import Examinee
from localllm.supervisor.tokenizers import known_before, tokenizer_key

_ANSWER = "It was not asked."


async def second_opinion(
    desk: Desk, voice: Voice, examinee: Examinee, name: str
) -> tuple[str, ...]:
    """Say what speaks against its tokenizer; nothing where it is in order, or nobody knows.

    Args:
        name: What people call the model.

    Raises:
        Silent: The engine does not answer.
    """

    def look() -> Known | None:
        key = tokenizer_key(examinee.planned.header)
        return known_before(desk.profile(name), desk.paths.tokenizers, key)

    known = await anyio.to_thread.run_sync(look)
    tokens = await cut(voice, examinee.tongue, CHECK_TEXT)
    heard = Interview(len(tokens) or None, None, None, _ANSWER)
    return doubts_about(heard, known)
