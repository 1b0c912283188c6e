"""One model as `/v1/models` lists it, in the words of all who read that list. Pure.

OpenAI's `id`, `object`, `created` and `owned_by`; Anthropic's `type`, `display_name`, `created_at`,
`max_input_tokens` and `max_tokens`; `context_length` as OpenRouter has it, `max_model_len` as vLLM,
`meta` as llama.cpp, of which Crush reads `n_ctx`. What is not known is left out, since some clients
take no null where they look for a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from localllm.catalog.facts import Ability
from localllm.catalog.profile import Profile
from localllm.engines.base import Task
from localllm.formats.header import Header
from localllm.user_profiles import Manner

_FILLS = ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id")
"""Of a GGUF that names its token for the text before a gap. Source: gguf-py, constants.py."""

_NEEDS_A_PROJECTOR = frozenset({Ability.VISION, Ability.AUDIO})
_SHARE_OF_ANSWER = 4
"""Of the context a quarter: what agents' settings mostly keep free for an answer."""

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a model that can be asked for."""

    id: str
    state: str
    display_name: str
    aliases: Sequence[str] = ()
    """Other names that lead to it."""

    variants: Mapping[str, Manner] = field(default_factory=dict[str, Manner])
    abilities: Sequence[str] = ()
    """Those that are known; the catalog does not know every model."""

    context: int | None = None
    """Tokens, of the instance for long prompts if there is one; None until it is planned."""

    context_trained: int | None = None
    parameters: int | None = None
    file_bytes: int | None = None


def abilities_of(
    task: Task | None, profile: Profile | None, header: Header | None, *, sees: bool
) -> Sequence[str]:
    """List what a model can do beside writing text.

    Args:
        task: What it is served for; None where it is not served, so that its profile tells.
        sees: Whether images are served: that takes a second file.
    """
    if task is not None and task is not Task.WRITE:
        return ("embedding" if task is Task.EMBED else "rerank",)
    known = () if profile is None else profile.abilities
    found = [a.value for a in known if a not in _NEEDS_A_PROJECTOR or sees]
    if sees and Ability.VISION.value not in found:
        found.append(Ability.VISION.value)
    if header is not None and header.takes_tools and Ability.TOOLS.value not in found:
        found.append(Ability.TOOLS.value)
    if task is None and profile is not None and "embed" in profile.uses:
        found.append("embedding")
    if header is not None and any(key in header.metadata for key in _FILLS):
        found.append("fim")
    return found


def render_entry(entry: Entry, created: int) -> Document:
    """Write one entry.

    Args:
        created: Unix seconds.
    """
    return {
        "id": entry.id,
        "object": "model",
        "type": "model",
        "created": created,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "owned_by": "localllm",
        "display_name": entry.display_name,
        "state": entry.state,
        "aliases": list(entry.aliases),
        "abilities": list(entry.abilities),
        "variants": {f"{entry.id}:{end}": _said(m) for end, m in entry.variants.items()},
        **_lengths(entry.context),
        "meta": _without_none(
            n_ctx=entry.context,
            n_ctx_train=entry.context_trained,
            n_params=entry.parameters,
            size=entry.file_bytes,
        ),
    }


def render_list(entries: Sequence[Document]) -> Document:
    """Write the whole list, OpenAI's and Anthropic's at once: it is one page."""
    ids = [entry["id"] for entry in entries]
    return {
        "object": "list",
        "data": list(entries),
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }


def _lengths(context: int | None) -> Document:
    if context is None:
        return {}
    answer = context // _SHARE_OF_ANSWER
    return {
        "context_length": context,
        "max_model_len": context,
        "max_input_tokens": context,
        "max_output_tokens": answer,
        "max_tokens": answer,
    }


def _said(manner: Manner) -> Document:
    values = {name: getattr(manner, name) for name in Manner.__struct_fields__}
    return _without_none(**values)


def _without_none(**values: object) -> Document:
    return {name: value for name, value in values.items() if value is not None}
