"""Which engine can do what beside plain writing, and what to say where one cannot. Pure.

What a user asks for is never left out in silence, nor handed to an engine that would not know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from localllm.engines.base import Installed, Serving, Task
from localllm.errors import ConfigError, EngineUnusable


class Extra(StrEnum):
    """What may be asked for, named by the key of a profile that asks for it."""

    DRAFT = "draft"
    ADAPTERS = "lora"
    EMBED = 'use = "embed"'
    RERANK = 'pooling = "rank"'
    ARGS = "engine_args"


_LLAMA_CPP = frozenset(Extra) - {Extra.ARGS}
_ABLE: Mapping[str, frozenset[Extra]] = {
    "llama-server": frozenset(Extra),
    "xllamacpp": _LLAMA_CPP,
    "vllm": frozenset({Extra.ARGS}),
    "sglang": frozenset({Extra.ARGS}),
}
"""By the engine's name; one that is not here does none of it. Flags need a command line."""

_FLAGS: Mapping[Extra, tuple[str, ...]] = {
    Extra.DRAFT: ("--spec-type", "--spec-draft-n-max", "--spec-draft-model", "--spec-draft-ngl"),
    Extra.ADAPTERS: ("--lora-scaled",),
    Extra.EMBED: ("--embeddings", "--pooling"),
    Extra.RERANK: ("--reranking",),
}
"""What a llama-server must have: those for drafts came in May 2026."""

DRAFTED_ANSWERS = (
    "answers that are bound to a schema or a grammar are drafted as well: this llama.cpp has no "
    "switch for it by request"
)
"""Source: llama.cpp, pull request 22397, of April 2026, which took `speculative.n_max` out of
requests; its issue 23052 asks for a switch."""


def require_able(installed: Installed, extras: frozenset[Extra]) -> None:
    """Refuse an engine that cannot do all of it.

    Raises:
        ConfigError: It is no engine for it; the error names those that are.
        EngineUnusable: It is, but this build lacks a flag, which the error names.
    """
    able = _ABLE.get(installed.engine, frozenset())
    lacking = " and ".join(sorted(extra.value for extra in extras - able))
    if lacking:
        others = [name for name, can in _ABLE.items() if extras <= can] or ["none that is known"]
        raise ConfigError(
            f"{installed.engine} cannot serve with {lacking}.",
            why=f"it can be had with {', '.join(others)}",
            fix=f"name one of these as engine, or take {lacking} out of the profile",
        )
    if installed.engine == "llama-server":
        for extra in sorted(extras):
            require_flags(installed, extra)


def require_flags(found: Installed, extra: Extra) -> None:
    """Refuse a llama-server that does not know how to do it.

    Raises:
        EngineUnusable: It names the flag that is missing.
    """
    missing = [flag for flag in _FLAGS.get(extra, ()) if flag not in found.abilities]
    if missing:
        raise EngineUnusable(
            f"This llama-server cannot serve with {extra.value}.",
            why=f"{found.origin or ' '.join(found.program)} has no {missing[0]}",
            fix=f"localllm engine install, or take {extra.value} out of the profile",
        )


def require_plain(file: Path) -> None:
    """Refuse an adapter whose path a llama-server would take apart.

    Raises:
        EngineUnusable: It holds a comma or a colon.
    """
    if {",", ":"}.intersection(str(file)):
        raise EngineUnusable(
            f"{file} cannot be named to a llama-server.",
            why="it takes commas and colons for the end of a path",
            fix="rename the file or its folder, or choose xllamacpp as engine",
        )


def caveats(serving: Serving) -> Iterator[str]:
    """Say what a user should know of what they asked for."""
    if serving.drafting is not None and serving.task is Task.WRITE:
        yield DRAFTED_ANSWERS
