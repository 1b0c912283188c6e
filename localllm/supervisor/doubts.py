"""What of an interview speaks against a new engine process. Pure, and no judge of how clever a model is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from localllm.engine_client.interview import Interview
from localllm.quality.odd_answers import wrong_with


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model's tokenizer."""

    tokens: int
    """Of interview.CHECK_TEXT."""

    told_by: str
    """Completes `according to`: its profile, SmolLM2 135M Q8_0."""


def doubts_about(heard: Interview, known: Known | None) -> tuple[str, ...]:
    """Say what looks wrong, in sentences for people; none if all is well.

    Args:
        known: None: nothing is known of this tokenizer, so its count is taken as it is.
    """
    return tuple(_doubts(heard, known))


def _doubts(heard: Interview, known: Known | None) -> Iterator[str]:
    if known is not None and heard.tokens not in (None, known.tokens):
        yield (
            f"Its tokenizer makes {heard.tokens} tokens of a fixed text,"
            f" and it should be {known.tokens} according to {known.told_by}."
        )
    if heard.round_trip is False:
        yield "Its tokenizer does not give a fixed text back as it was."
    if (wrong := wrong_with(heard.answer)) is not None:
        yield f"It answered a simple question with {wrong}, as broken weights or a wrong chat template make it."
