"""Puts the settings that a model's name carries into a request, where the request leaves them open. Pure.

The values of all other members stay as they are, byte for byte; a request in which nothing is
open is not written anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from localllm.gateway.members import Members, read_members
from localllm.user_profiles import AS_IT_IS, Manner

_CHECK_THE_NAME = frozenset({"vllm", "sglang"})
"""Engines for which the name in a request has to be the one that they were started with: vLLM answers
404 to others (NotFoundError, 'The model ... does not exist'), SGLang takes what is behind a colon
for an adapter (docs.sglang.io, LoRA Serving). llama.cpp's and ours serve one model under any name
and answer under its id (seen with xllamacpp 2026.10)."""

_SAMPLING = ("temperature", "top_p", "top_k", "min_p")
_MOST_TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict")
"""All say how long an answer may be: OpenAI's old and new names, its responses', llama.cpp's."""

_TEMPLATE = "chat_template_kwargs"
_NULL = b"null"


def apply_variant(body: bytes, manner: Manner) -> bytes:
    """Set what a manner says and a chat completion request leaves open; null counts as open.

    Args:
        body: A JSON object; what is none stays as it is, for the engine to refuse.
    """
    if manner == AS_IT_IS:
        return body
    members = _members(body)
    if members is None:
        return body
    added = dict(_added(members, manner))
    return msgspec.json.encode(members | added) if added else body


def for_engine(body: bytes, engine: str, alias: str) -> bytes:
    """Have a request name the model as its engine calls it, where the engine looks at that.

    Args:
        engine: As in Installed.engine.
        alias: As in Serving.alias.
    """
    if engine not in _CHECK_THE_NAME:
        return body
    members, named = _members(body), msgspec.json.encode(alias)
    if members is None or bytes(members.get("model", _NULL)) == named:
        return body
    return msgspec.json.encode(members | {"model": msgspec.Raw(named)})


def _members(body: bytes) -> Members | None:
    try:
        return read_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _added(members: Members, manner: Manner) -> Iterator[tuple[str, msgspec.Raw]]:
    for name in _SAMPLING:
        value = getattr(manner, name)
        if value is not None and not _says(members, name):
            yield name, _raw(value)
    if manner.max_tokens is not None and not any(_says(members, name) for name in _MOST_TOKENS):
        yield "max_tokens", _raw(manner.max_tokens)
    effort = manner.reasoning_effort
    if effort is not None and not _says(members, "reasoning_effort"):
        yield "reasoning_effort", _raw(effort)
    yield from _template(members, manner)


def _template(members: Members, manner: Manner) -> Iterator[tuple[str, msgspec.Raw]]:
    """What the chat's template is told: llama.cpp hands it no `reasoning_effort` of the request."""
    said: dict[str, object] = {}
    if _says(members, _TEMPLATE):
        try:
            said = msgspec.json.decode(members[_TEMPLATE], type=dict[str, object])
        except msgspec.DecodeError:
            return  # for the engine to refuse
    wanted: dict[str, object] = {}
    if manner.thinking is not None:
        wanted["enable_thinking"] = manner.thinking
    if manner.reasoning_effort is not None and not _says(members, "reasoning_effort"):
        wanted["reasoning_effort"] = manner.reasoning_effort
    if not wanted.keys() <= said.keys():
        yield _TEMPLATE, _raw(wanted | said)


def _says(members: Members, name: str) -> bool:
    return bytes(members.get(name, _NULL)) != _NULL


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
