"""Conversations of the shape that agents really send, as recorded in `tests/data/agents`.

The recordings hold every key, tool and block; the long texts, which are their authors', are cut
there and say how long they were. Seeded words of that length, scaled, stand in for them. Pure but
for the reading of the recordings.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).resolve().parents[1] / "tests" / "data" / "agents"
AGENTS = ("claude-code", "codex", "opencode")
ANSWER_TOKENS = 8
LONG = 60
"""Characters from which on a text is prose; shorter ones are names, paths and kinds."""

_CUTS = re.compile(r" \[(\d+) characters left out\]")
_CUT = re.compile(_CUTS.pattern + r"\Z")
_KEPT = 160
_OF_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_WORDS = tuple(
    "the file reads a line and tells what it found before another tool is asked to write its "  # noqa: SIM905
    "answer into place while nobody waits for more than one test of every change that was made".split()
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is posted."""

    path: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One session of an agent: its request for the turn that is next."""

    agent: str
    request: Request
    turns: int = 0

    def answered(self, answer: str, words: str) -> Conversation:
        """Go on with an answer, and what the user says to it."""
        where = "input" if self.agent == "codex" else "messages"
        said = [*self.request.body[where], *_turn(self.agent, answer or "Done.", words)]
        body = {**self.request.body, where: said}
        return replace(self, request=replace(self.request, body=body), turns=self.turns + 1)

    def billed(self, version: str) -> Conversation:
        """Begin the system prompt with the line that Claude Code changes between sessions."""
        line = {"type": "text", "text": f"x-anthropic-billing-header: cc_version={version};"}
        body = {**self.request.body, "system": [line, *self.request.body["system"]]}
        return replace(self, request=replace(self.request, body=body))

    def without_tools(self) -> Conversation:
        """Leave them out: not every engine can read calls of tools out of an answer."""
        body = {k: v for k, v in self.request.body.items() if k not in _OF_TOOLS}
        return replace(self, request=replace(self.request, body=body))

    @property
    def size_bytes(self) -> int:
        return len(json.dumps(self.request.body))


def conversation(
    agent: str, model: str, *, scale: float, seed: int, session: int = 0
) -> Conversation:
    """Begin one; the same seed gives the same texts, in whatever session.

    The tools' length is added to the instructions: SmolLM2's template writes no tools.

    Args:
        scale: Of each text's recorded length.
    """
    recorded = _recording(agent)
    chance = random.Random(f"{agent} {seed}")  # noqa: S311  # nothing is secret
    body = _filled(recorded["first"], scale, chance)
    tools = json.dumps(recorded["first"]["tools"])
    tools_length = len(tools) + sum(int(one) for one in _CUTS.findall(tools))
    _lengthen(agent, body, text_of(int(tools_length * scale), chance))
    known_as = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{agent} {seed} {session}"))
    limit = "max_output_tokens" if agent == "codex" else "max_tokens"
    asked = {**_in_session(body, known_as), "model": model, limit: ANSWER_TOKENS}
    kept = {
        k: v for k, v in recorded["headers"].items() if not k.startswith(("accept", "content-"))
    }
    return Conversation(agent, Request(recorded["target"], asked, _in_session(kept, known_as)))


def side_requests(of: Conversation) -> tuple[Request, ...]:
    """What an agent asks by the way, in its session: a title, a summary; Claude Code, a count."""
    title = "Write a title of five words for what the user asks. Say nothing else."
    summary = "Summarize in one sentence what was done so far, for the list of sessions."
    asked = "Read heron.txt and write what it says to result.txt."
    small = [_small(of, title, asked), _small(of, summary, f"The user: {asked} The agent: Done.")]
    if of.agent != "claude-code":
        return tuple(small)
    members = ("model", "messages", "system", "tools")
    counted = {k: v for k, v in of.request.body.items() if k in members}
    headers = of.request.headers
    return (*small, Request("/v1/messages/count_tokens?beta=true", counted, headers))


def another_client(model: str, *, scale: float, seed: int) -> Request:
    """A chat without a session, in the middle of the sizes."""
    chance = random.Random(f"client {seed}")  # noqa: S311  # nothing is secret
    text = text_of(int(12_000 * scale), chance)
    messages = [{"role": "user", "content": f"What is this about? {text}"}]
    return Request("/v1/chat/completions", _chat(model, messages), {})


def text_of(characters: int, chance: random.Random) -> str:
    words: list[str] = []
    length = 0
    while length < characters:
        words.append(chance.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)


@cache
def _recording(agent: str) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((RECORDINGS / f"{agent}.json").read_text())
    return recorded


def _filled(value: Any, scale: float, chance: random.Random) -> Any:  # noqa: ANN401  # JSON
    match value:
        case dict():
            return {key: _filled(each, scale, chance) for key, each in value.items()}
        case list():
            return [_filled(each, scale, chance) for each in value]
        case str():
            cut = _CUT.search(value)
            length = _KEPT + int(cut[1]) if cut else len(value)
            is_prose = length >= LONG and " " in value
            return text_of(int(length * scale), chance) if is_prose else value
        case _:
            return value


def _lengthen(agent: str, body: dict[str, Any], text: str) -> None:
    match agent:
        case "claude-code":
            body["system"][-1]["text"] += f"\n{text}"
        case "codex":
            body["input"][0]["content"][0]["text"] += f"\n{text}"
        case _:
            body["messages"][0]["content"] += f"\n{text}"


def _in_session(value: Any, session: str) -> Any:  # noqa: ANN401  # JSON
    text = json.dumps(value).replace(_NO_UUID, session).replace("ses_0", f"ses_{session}")
    return json.loads(text)


def _turn(agent: str, answer: str, words: str) -> list[dict[str, Any]]:
    said = (("assistant", "output_text", answer), ("user", "input_text", words))
    if agent == "codex":
        return [
            {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
            for role, kind, text in said
        ]
    return [{"role": role, "content": text} for role, _, text in said]


def _small(of: Conversation, system: str, user: str) -> Request:
    """Ask for something else, with the agent's own API and headers."""
    model, asked = of.request.body["model"], [{"role": "user", "content": user}]
    body: dict[str, Any]
    match of.agent:
        case "claude-code":
            body = {"system": [{"type": "text", "text": system}], "messages": asked}
            body = {**body, "model": model, "max_tokens": ANSWER_TOKENS, "stream": True}
        case "codex":
            body = {"model": model, "instructions": system, "input": user, "stream": True}
            body = {**body, "max_output_tokens": ANSWER_TOKENS, "store": False}
        case _:
            body = _chat(model, [{"role": "system", "content": system}, *asked])
    return Request(of.request.path, body, of.request.headers)


def _chat(model: str, messages: list[dict[str, str]]) -> dict[str, Any]:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": model, "messages": messages, "max_tokens": ANSWER_TOKENS, **options}
