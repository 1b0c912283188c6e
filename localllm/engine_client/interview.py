"""What a new engine process is asked before it gets requests: to cut a text and join it again, and to speak.

It tells what was heard; whether that is right is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from unicodedata import normalize

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient, WarmUpFailed

CHECK_TEXT = (
    "def area(r: float) -> float:\n    if r < 0:\n        raise ValueError(f'no circle: {r!r}')\n"
    "\t\treturn 3.14159 * r ** 2  # naïve façade, Größe, señor, žluťoučký\n\n\n\n"
    "I'm sure they DON'T know 1234567 of it   (not    even        once)...\n"
    "日本語のテキスト。 中文文本  한국어 नमस्ते\n"
    '🙂🚀 👨\u200d👩\u200d👧 🇫🇷 \u2764\ufe0f {"a": [null, 1e-9]}'
)
"""Code, accents, scripts, emoji and runs of whitespace, on which tokenizers differ. It is composed
(NFC and NFKC leave it as it is), and nothing in it looks like a model's markup."""

_CHAT = {
    "messages": [{"role": "user", "content": "Name the days of the week."}],
    "max_tokens": 24,
    "temperature": 0,
    "cache_prompt": False,
}
"""Even the smallest models know them, and no two words of the answer are the same."""

_DOES_NOT_TELL = frozenset(
    {
        HTTPStatus.BAD_REQUEST,  # it has such a path, and words of its own for what it wants
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)


@dataclass(frozen=True, slots=True)
class Interview:
    """What one engine process said."""

    tokens: int | None
    """Of CHECK_TEXT, special ones left out; None where the engine does not tell tokens."""

    round_trip: bool | None
    """Whether they give CHECK_TEXT again; None where the engine does not say."""

    chat_prompt_tokens: int | None
    """Of the question in the model's chat template; None where the engine does not count."""

    answer: str
    """What it thought and what it said; empty where it did neither."""


class _Tokens(msgspec.Struct):
    tokens: list[int]


class _Text(msgspec.Struct):
    content: str


class _Message(msgspec.Struct):
    reasoning_content: str | None = None
    reasoning: str | None = None
    """The same by its newer name. Source: vLLM, which has had both."""

    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _ChatAnswer(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_Kind = TypeVar("_Kind")


async def interview(client: EngineClient) -> Interview:
    """Ask an engine that writes; whoever calls bounds the time.

    Raises:
        WarmUpFailed: It does not answer a chat, or what it sends is no answer.
    """
    cut = await _ask_if_told(client, "/tokenize", {"content": CHECK_TEXT}, _Tokens)
    again = None
    if cut is not None:
        again = await _ask_if_told(client, "/detokenize", {"tokens": cut.tokens}, _Text)
    chat = await _chat(client)
    return Interview(
        tokens=None if cut is None else len(cut.tokens),
        round_trip=None if again is None else is_said_again(CHECK_TEXT, again.content),
        chat_prompt_tokens=None if chat.usage is None else chat.usage.prompt_tokens,
        answer="\n".join(part for choice in chat.choices for part in _parts(choice.message)),
    )


def is_said_again(text: str, again: str) -> bool:
    """Compare a composed text with what its tokens say.

    Sentencepiece puts a space before the first word, and some tokenizers decompose.
    """
    return normalize("NFC", again).lstrip(" ") == text


def _parts(message: _Message) -> list[str]:
    thought = message.reasoning_content or message.reasoning
    return [part for part in (thought, message.content) if part]


async def _ask_if_told(
    client: EngineClient, path: str, body: object, kind: type[_Kind]
) -> _Kind | None:
    """Ask for what an engine need not have; None where it has not, or tells it in another shape."""
    status, text = await _post(client, path, body)
    if status in _DOES_NOT_TELL:
        return None
    _require_ok(status, text)
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return None


async def _chat(client: EngineClient) -> _ChatAnswer:
    status, text = await _post(client, "/v1/chat/completions", _CHAT)
    _require_ok(status, text)
    try:
        return msgspec.json.decode(text, type=_ChatAnswer)
    except msgspec.DecodeError as error:
        raise WarmUpFailed(f"an answer that is none ({error})") from error


async def _post(client: EngineClient, path: str, body: object) -> tuple[int, str]:
    """Return the status and the text, in which bytes that are no characters are marked as such."""
    try:
        async with client.post(path, msgspec.json.encode(body), fresh=True) as answer:
            return answer.status, (await answer.read()).decode(errors="replace")
    except aiohttp.ClientError as error:
        raise WarmUpFailed(f"the engine closed the connection ({error})") from error


def _require_ok(status: int, text: str) -> None:
    if status != HTTPStatus.OK:
        raise WarmUpFailed(f"status {status}: {text[:200]}")
