"""What a model is for, by its own header and the user's words: to write, to embed, to rerank. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from localllm.catalog.facts import Use
from localllm.engines.base import Task
from localllm.errors import ConfigError
from localllm.fit.architectures import ENCODERS
from localllm.fit.plan import Wish
from localllm.formats.header import Header
from localllm.planning.uses import NEEDS

POOLINGS: Mapping[int, str] = {1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""As files number them, and as llama.cpp calls them. Source: llama.cpp, include/llama.h."""

WHOLE_TEXT_TOKENS = 2048
"""For a model that could also write: all the logits of a text that is read at once are in memory."""

_WRITES = frozenset({Use.CHAT.value, Use.CODE.value, Use.VISION.value})


def pooling_of(header: Header, said: str | None) -> str | None:
    """How the vectors of a text's tokens become one; None where nobody says.

    Args:
        said: By the user.
    """
    stated = header.metadata.get(f"{header.architecture}.pooling_type")
    return said or (POOLINGS.get(stated) if isinstance(stated, int) else None)


def task_of(header: Header, use: str | None, pooling: str | None) -> Task:
    """Tell what a model is to do.

    Args:
        use: As the user said it; None: as the model is.
        pooling: As the user said it; None: as the file says.

    Raises:
        ConfigError: It is to embed, and nobody says how.
    """
    encodes = header.architecture in ENCODERS
    pooled = pooling_of(header, pooling)
    if not encodes and (use in _WRITES or (pooled is None and use != Use.EMBED.value)):
        return Task.WRITE
    if pooled is None:
        raise ConfigError(
            f"How {header.name or header.architecture} makes one vector of a text is not known.",
            why=f"its file states no {header.architecture}.pooling_type",
            fix='name it in a profile, as its card does: pooling = "mean", "cls" or "last"',
        )
    return Task.RERANK if pooled == "rank" else Task.EMBED


def for_texts(wish: Wish, header: Header, pooling: str | None) -> Wish:
    """What is asked of the planner where texts become vectors or marks."""
    encodes, whole = header.architecture in ENCODERS, pooling not in (None, "last")
    goal = NEEDS[Use.EMBED].context
    return replace(
        wish,
        goal=min(goal, WHOLE_TEXT_TOKENS) if whole and not encodes else goal,
        embeds=not encodes,
        whole_texts=whole or encodes,
    )
