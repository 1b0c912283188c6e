"""Has an engine cut a fixed text, join it again, and write fixed conversations out by its chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import normalize

import msgspec

from localllm.quality.facts import Tokenizer
from localllm.quality.voice import Body, Voice

_CUTS_CHATS = frozenset({"vllm", "sglang"})
"""Engines in whose words a text is a `prompt`, and which cut a chat where others write it out."""

_TELLS_MARKUP = frozenset({"xllamacpp", "llama-server"})

_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_DATE = re.compile(
    rf"\d{{4}}-\d\d-\d\d|\d{{1,2}} {_MONTH} \d{{4}}|{_MONTH} \d{{1,2}},? \d{{4}}|\d{{1,2}}:\d\d(?::\d\d)?"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
)

_TOOL = "get_weather"
_WEATHER: Body = {
    "type": "function",
    "function": {
        "name": _TOOL,
        "description": "Current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CHATS: Mapping[str, Body] = {
    "question": {"messages": [{"role": "user", "content": "What is the heron doing?"}]},
    "conversation": {
        "messages": [
            {"role": "system", "content": "You answer in short sentences."},
            {"role": "user", "content": "My name is Quillon."},
            {"role": "assistant", "content": "Hello Quillon."},
            {"role": "user", "content": "What is my name?"},
        ]
    },
    "tools": {
        "messages": [{"role": "user", "content": "Is it raining in Oslo?"}],
        "tools": [_WEATHER],
    },
}
"""What a template is tried with: a question, all roles in turn, and a tool on offer."""


@dataclass(frozen=True, slots=True)
class Tongue:
    """Which engine's words are spoken, and the name that its model has there."""

    engine: str
    model: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Joined(msgspec.Struct):
    content: str | None = None
    prompt: str | None = None
    """In vLLM's words."""

    text: str | None = None
    """In SGLang's."""


class _Prompt(msgspec.Struct):
    prompt: str


async def cut(voice: Voice, tongue: Tongue, text: str) -> Sequence[int]:
    """Cut a text as it stands, with nothing put before or behind it; none: the engine does not tell."""
    return await _cut(voice, tongue, text, begins=False)


async def cut_beginning(voice: Voice, tongue: Tongue, text: str) -> Sequence[int]:
    """Cut the beginning of a prompt: with what the model's prompts begin with, and without an end.

    Gemma and others have no idea of a text that does not begin so.
    """
    plain = await cut(voice, tongue, text)
    whole = await _cut(voice, tongue, text, begins=True)
    ends = range(len(plain), len(whole) + 1)
    return next((whole[:end] for end in ends if whole[end - len(plain) : end] == plain), plain)


async def _cut(voice: Voice, tongue: Tongue, text: str, *, begins: bool) -> list[int]:
    told = (await voice.ask("/tokenize", _cut_body(tongue, text, begins=begins))).read(_Tokens)
    return [] if told is None else told.tokens


async def look_at_tokenizer(
    voice: Voice, tongue: Tongue, text: str, *, has_template: bool = True
) -> Tokenizer:
    """Find out all that can be.

    Args:
        has_template: Whether the model brings a chat template; what an engine takes in its place
            says nothing about the model.

    Raises:
        Silent: The engine does not answer.
    """
    ids = await cut(voice, tongue, text)
    chats: dict[str, str] = {}
    refused: dict[str, str] = {}
    for name, chat in CHATS.items() if has_template else ():
        said, why = await _written_out(voice, tongue, chat)
        if said is not None:
            chats[name] = said
        elif why is not None:
            refused[name] = why
    return Tokenizer(
        ids=tuple(ids) or None,
        joined=None if not ids else await _is_joined(voice, tongue, ids, text),
        chats=chats,
        refused=refused,
        missing=tuple(missing_of(chats)),
        knows_tools=_TOOL in chats["tools"] if "tools" in chats else None,
        markup_tokens=await _markup(voice, tongue, chats.get("question")),
    )


def missing_of(chats: Mapping[str, str]) -> Sequence[str]:
    """List what was said in a conversation and is not in what came of it, in its order.

    Templates may put the system's words anywhere, and leave out tools that a model cannot call.
    """
    return [f"{name}: {part}" for name in chats for part in _missing(chats[name], CHATS[name])]


def _missing(said: str, chat: Body) -> Sequence[str]:
    messages = chat["messages"]
    assert isinstance(messages, list), "CHATS has it so"
    at, gone = 0, []
    for message in messages:
        content, is_system = message["content"], message["role"] == "system"
        found = said.find(content, 0 if is_system else at)
        if found < 0:
            gone.append(content)
        elif not is_system:
            at = found + len(content)
    return gone


def undated(said: str) -> str:
    """Leave out what a template says of the day, as those of Llama, Mistral and gpt-oss do."""
    return _DATE.sub("", said)


def is_same_text(text: str, again: str) -> bool:
    """Compare a composed text with what its tokens say.

    Sentencepiece puts a space before the first word, and some tokenizers decompose.
    """
    return normalize("NFC", again).lstrip(" ") == text


def _cut_body(tongue: Tongue, text: str, *, begins: bool) -> Body:
    if tongue.engine in _CUTS_CHATS:
        return {"model": tongue.model, "prompt": text, "add_special_tokens": begins}
    return {"content": text, "add_special": begins}


async def _is_joined(voice: Voice, tongue: Tongue, ids: Sequence[int], text: str) -> bool | None:
    again = await _join(voice, tongue, ids)
    return None if again is None else is_same_text(text, again)


async def _join(voice: Voice, tongue: Tongue, ids: Sequence[int]) -> str | None:
    named = {"model": tongue.model} if tongue.engine in _CUTS_CHATS else {}
    whole = {"skip_special_tokens": False} if tongue.engine == "sglang" else {}
    body = {**named, **whole, "tokens": [*ids]}
    told = (await voice.ask("/detokenize", body)).read(_Joined)
    if told is None:
        return None
    return next((said for said in (told.content, told.prompt, told.text) if said is not None), None)


async def _written_out(voice: Voice, tongue: Tongue, chat: Body) -> tuple[str | None, str | None]:
    """Return the text, or why there is none; neither where the engine has no such call."""
    if tongue.engine in _CUTS_CHATS:
        body = {"model": tongue.model, **chat, "add_generation_prompt": True}
        told = (await voice.ask("/tokenize", body)).read(_Tokens)
        return (None if told is None else await _join(voice, tongue, told.tokens)), None
    answer = await voice.ask("/apply-template", chat)
    prompt = answer.read(_Prompt)
    if prompt is not None:
        return prompt.prompt, None
    refusal = answer.read_refusal()
    return None, refusal if "template" in (refusal or "").lower() else None


async def _markup(voice: Voice, tongue: Tongue, said: str | None) -> int | None:
    """Count the tokens of a written chat that are single tokens only since they are markup."""
    if said is None or tongue.engine not in _TELLS_MARKUP:
        return None
    as_markup = await cut(voice, tongue, said)
    body = {"content": said, "parse_special": False}
    as_text = (await voice.ask("/tokenize", body)).read(_Tokens)
    if not as_markup or as_text is None:
        return None
    return len({*as_markup} - {*as_text.tokens})
