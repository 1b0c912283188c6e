"""Prompts as agents send them: tools, a long system prompt, a conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence

RULES = "\n".join(f"Rule {n}: when {n} comes, do thing {n} very well." for n in range(40))
TOOLS = tuple(
    {"type": "function", "function": {"name": f"tool_{n}", "description": f"Does {n}. " * 20}}
    for n in range(6)
)
Said = tuple[str, str]
HI: Said = ("user", "hi")
MORE: Sequence[Said] = (HI, ("assistant", "Hello."), ("user", "read the file"))


def parts(system: str, *said: Said, tools: Sequence[object] = TOOLS) -> list[bytes]:
    """The parts of a prompt; without tools if there are none."""
    messages = [("system", system), *said]
    head = [json.dumps(list(tools)).encode()] if tools else []
    return head + [json.dumps({"role": r, "content": c}).encode() for r, c in messages]


def system(changing: str) -> str:
    """A system prompt with something near its beginning that changes."""
    return f"You are an agent. Now: {changing}.\n{RULES}"
