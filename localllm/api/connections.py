"""What of a daemon's answers an agent's settings depend on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from localllm.agents.connection import Connection
from localllm.api.status_views import InstanceView
from localllm.errors import ModelNotFound

_NO_TEXT = {"embedding", "rerank"}
"""Abilities of models that do nothing else."""


def connection_of(
    base: str,
    models: Sequence[InstanceView],
    entries: Sequence[Mapping[str, Any]],
    name: str | None,
    *,
    needs_key: bool,
) -> Connection:
    """Put together what is known of one model.

    Args:
        base: The endpoint, without a path.
        models: As `/api/v1/models` has them.
        entries: Of `/v1/models`; none where it is not to be had.
        name: Of the model; None for the one that requests without a name mean.

    Raises:
        ModelNotFound: No such model is served, or none at all.
    """
    chosen = choose(models, _behind(name, entries))
    entry = next((each for each in entries if each.get("id") == chosen[0].id), {})
    return _connection(base, chosen, entry, needs_key=needs_key)


def _behind(name: str | None, entries: Sequence[Mapping[str, Any]]) -> str | None:
    """Find the id that a name leads to; the name itself where none says so."""
    for entry in entries:
        aliases = entry.get("aliases")
        if isinstance(aliases, list) and name in aliases:
            return str(entry.get("id"))
    return name


def choose(models: Sequence[InstanceView], name: str | None) -> list[InstanceView]:
    """Find the instances of one model: of the named, else of the current one, else of the first."""
    served = [model for model in models if model.wanted]
    if name is None:
        ordered = sorted(served, key=lambda model: not model.current)
        name = ordered[0].id if ordered else None
    found = [model for model in served if model.id == name]
    if found:
        return found
    ids = list(dict.fromkeys(model.id for model in served))
    near = get_close_matches(name or "", ids, n=1)
    raise ModelNotFound(
        "No model is served." if name is None else f"The model {name!r} is not served.",
        why=f"served are {', '.join(ids)}" if ids else "the daemon runs, and serves nothing",
        fix=f"--model {near[0]}" if near else f"localllm up {name or ''}".rstrip(),
    )


def _connection(
    base: str, chosen: Sequence[InstanceView], entry: Mapping[str, Any], *, needs_key: bool
) -> Connection:
    abilities = entry.get("abilities")
    can = set(abilities) if isinstance(abilities, list) else None
    largest = max(chosen, key=lambda model: model.context)  # long prompts are routed to it
    return Connection(
        base=base,
        model=largest.id,
        context=largest.context,
        parallel=max(model.parallel for model in chosen),
        trained=_trained(entry),
        writes=can is None or not can & _NO_TEXT,
        tools=None if can is None else "tools" in can,
        reasoning=None if can is None else "reasoning" in can,
        images=None if can is None else "vision" in can,
        needs_key=needs_key,
    )


def _trained(entry: Mapping[str, Any]) -> int | None:
    meta = entry.get("meta")
    trained = meta.get("n_ctx_train") if isinstance(meta, dict) else None
    return trained if isinstance(trained, int) else None
