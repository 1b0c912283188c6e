"""Takes a line out of prompts that Claude Code puts first in its system prompt. Pure.

It differs from session to session, so that no prompt would be found in the cache again
(llama.cpp#21793), and says nothing to a model.
"""

from __future__ import annotations

from typing import Any

import msgspec

from localllm.gateway.members import read_members, with_members
from localllm.gateway.translate.anthropic_wire import Content, Request, Turn

BILLING = "x-anthropic-billing-header"
_OF_SYSTEM = ("system", "developer")


class _Message(msgspec.Struct):
    role: str = ""
    content: Any = None


def without_billing(request: Request) -> Request:
    """Take the line out of a message's system prompts; one that has none comes back itself."""
    system = _without(request.system)
    turns = [_turn_without(turn) for turn in request.messages]
    pairs = zip(turns, request.messages, strict=True)
    if system is request.system and all(turn is before for turn, before in pairs):
        return request
    return msgspec.structs.replace(request, system=system, messages=turns)


def chat_without_billing(body: bytes) -> bytes:
    """Take the line out of a chat completion's system messages; all else stays as it was written.

    Args:
        body: That was checked.
    """
    if BILLING.encode() not in body:
        return body
    raw = msgspec.json.decode(read_members(body)["messages"], type=list[msgspec.Raw])
    messages = [_message_without(message) for message in raw]
    kept = [message for message in messages if message is not None]
    return body if kept == raw or not kept else with_members(body, {"messages": kept})


def _message_without(raw: msgspec.Raw) -> msgspec.Raw | None:
    """Take the line out of one message; None if nothing else was in it."""
    message = msgspec.json.decode(raw, type=_Message)
    if message.role not in _OF_SYSTEM or not isinstance(message.content, str | list):
        return raw
    content = _without(message.content)
    if content is message.content:
        return raw
    if not content:
        return None
    return msgspec.Raw(with_members(bytes(raw), {"content": content}))


def _turn_without(turn: Turn) -> Turn:
    content = _without(turn.content) if turn.role == "system" else turn.content
    return turn if content is turn.content else msgspec.structs.replace(turn, content=content)


def _without(content: Content | None) -> Content | None:
    """Take the line out of each text; a text of nothing else goes."""
    if isinstance(content, str):
        return content.partition("\n")[2] if content.startswith(BILLING) else content
    if not any(map(_is_billed, content or ())):
        return content
    blocks: list[dict[str, Any]] = []
    for block in content or ():
        text = block["text"].partition("\n")[2] if _is_billed(block) else None
        if text is None:
            blocks.append(block)
        elif text:
            blocks.append({**block, "text": text})
    return blocks


def _is_billed(block: object) -> bool:
    if not isinstance(block, dict) or block.get("type") != "text":
        return False
    text = block.get("text")
    return isinstance(text, str) and text.startswith(BILLING)
