"""What is measured, in which order: depths one after the other, then ever more requests at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.bench.errors import NotMeasurable

USUAL_DEPTHS = (0, 4096, 16384, 65536, 131072)
USUAL_PROMPT, USUAL_ANSWER = 512, 128
_LEAST_PROMPT, _LEAST_ANSWER = 32, 2
_SPARE = 16
"""Tokens of the context that a template may need beyond what was counted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asked for; None leaves it to us."""

    depths: Sequence[int] | None = None
    at_once: Sequence[int] | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    repeat: int = 3
    is_cold: bool = False
    """Whether the depth is read anew for each answer, instead of lying in the cache."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to measure."""

    depth_tokens: int
    """What is in the context before the prompt that is measured."""

    at_once: int
    prompt_tokens: int
    answer_tokens: int
    is_warm: bool
    """Whether the depth is in the cache when the prompt comes."""

    @property
    def context_tokens(self) -> int:
        return self.depth_tokens + self.prompt_tokens + self.answer_tokens


def points_of(wish: Wish, *, context: int, slots: int) -> list[Point]:
    """List what is measured of a model with so much context and so many slots.

    Raises:
        NotMeasurable: It does not fit into the context; which, and by how much.
    """
    prompt, answer = _lengths(wish, context)
    depths = _depths(wish, context, prompt + answer)
    single = [_point(depth, 1, prompt, answer, wish) for depth in depths]
    crowds = wish.at_once or _powers_of_two(slots)
    return single + [_point(0, n, prompt, answer, wish) for n in crowds if n > 1 or not single]


def _point(depth: int, at_once: int, prompt: int, answer: int, wish: Wish) -> Point:
    return Point(depth, at_once, prompt, answer, is_warm=depth > 0 and not wish.is_cold)


def _lengths(wish: Wish, context: int) -> tuple[int, int]:
    """How long prompts and answers are: as asked, else as is usual, or less in a small context."""
    room = context - _SPARE
    answer = wish.answer_tokens or max(_LEAST_ANSWER, min(USUAL_ANSWER, room // 4))
    prompt = wish.prompt_tokens or max(_LEAST_PROMPT, min(USUAL_PROMPT, (room - answer) // 2))
    if prompt + answer > room:
        raise _too_long(prompt, answer, context)
    return prompt, answer


def _depths(wish: Wish, context: int, rest: int) -> Sequence[int]:
    room = context - _SPARE - rest
    if wish.depths is None:
        return [depth for depth in USUAL_DEPTHS if depth <= room]
    beyond = [depth for depth in wish.depths if depth > room]
    if beyond:
        raise NotMeasurable(
            f"The depth {', '.join(map(str, beyond))} does not fit into the context.",
            why=f"it has {context} tokens, of which prompt, answer and template take {rest + _SPARE}",
            fix=f"ask for a depth of {max(room, 0)} at most, or serve it with more: "
            "localllm up --context N",
        )
    return list(dict.fromkeys(wish.depths))


def _too_long(prompt: int, answer: int, context: int) -> NotMeasurable:
    return NotMeasurable(
        "Prompt and answer do not fit into the context.",
        why=f"{prompt} tokens of a prompt, {answer} of an answer and {_SPARE} for the template, "
        f"the context has {context}",
        fix="ask for less: --prompt N --generate N, or serve it with more: localllm up --context N",
    )


def _powers_of_two(slots: int) -> list[int]:
    """1, 2, 4 and so on up to the slots, which are the last one.

    >>> _powers_of_two(6)
    [1, 2, 4, 6]
    """
    below = [1 << n for n in range(slots.bit_length()) if 1 << n < slots]
    return [*below, slots]
