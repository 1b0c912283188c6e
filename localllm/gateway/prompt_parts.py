"""The text of a prompt as its request has it, in about the order in which the model reads it. Pure.

It need not be what the template makes of it: two requests that begin alike here begin alike there.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from localllm.gateway.members import read_members

_ONE = frozenset({b"1", b"null"})
_OF_INFILL = ("input_extra", "input_prefix")
_BEFORE = ("tools", "chat_template_kwargs", "reasoning_effort")


def prompt_parts(path: str, body: bytes) -> Sequence[bytes]:
    """Take a request's prompt apart, tools first; nothing where it is none that goes on with others.

    Args:
        path: Of the engine's endpoint.
    """
    try:
        members = read_members(body)
        if any(bytes(members.get(name, b"1")) not in _ONE for name in ("n", "n_cmpl")):
            return []  # several answers at once take several slots, and the engine finds them
        match path:
            case "/v1/chat/completions":
                messages = msgspec.json.decode(members["messages"], type=list[msgspec.Raw])
                before = [bytes(members[name]) for name in _BEFORE if name in members]
                return [*before, *(bytes(message) for message in messages)]
            case "/infill":
                return [bytes(members[name]) for name in _OF_INFILL if name in members]
            case "/v1/completions" if bytes(members["prompt"]).startswith(b'"'):
                return [bytes(members["prompt"])]
            case _:
                return []
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
