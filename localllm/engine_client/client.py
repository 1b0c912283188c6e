"""HTTP to one engine process, over its Unix socket or its loopback port."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import anyio
import msgspec

_KEEP_IDLE_S = 4.0
"""llama.cpp closes an idle connection after 5 s; ours must be the first to let go."""

_GOODBYE_S = 2.0
_AT_ONCE_BYTES = 1 << 20
"""A larger body is sent piece by piece, so that the loop does other things between them."""

_FIRST_PROMPT, _FIRST_TOKENS = "Say hello.", 4
_LONG_PROMPT = "Say in a few words what you can help with, and which languages you speak. "
_LONG_TOKENS = 16
_FIRST_PROMPT_TOKENS, _REPEATS = 30, ((40, 700), (8, 170))
"""What the prompts come to with most tokenizers, the long one said so many times; only the choice
to send them needs it. The longest fills a micro batch, as an agent's prompt does."""

_AGAIN_WITHIN_S, _LONG_WITHIN_S = 10.0, 3.0
"""A device that would take longer has its speed measured well enough by what went before."""

_DYING_S = 2.0
"""A process that was killed takes connections until the kernel has taken it apart."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What one short chat measured: by the engine's own clock, else by ours."""

    prefill_tps: float
    decode_tps: float | None
    """None where the answer was a single token, which comes with the prompt."""

    prompt_tokens: int


class _Timings(msgspec.Struct):
    """Source: `timings` in llama.cpp's chat answers; milliseconds."""

    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _ChatAnswer(msgspec.Struct):
    timings: _Timings | None = None
    usage: _Usage | None = None


class EngineClient:
    """Two pools to one engine: one that keeps connections, and one that never does.

    Args:
        url: Scheme and authority; a formality where `socket` is given.
        key: Sent as a bearer token, for engines that listen on a port.
        said: Headers that say who asks, for the gateway's own books; an engine need not know.
    """

    def __init__(
        self,
        url: str,
        *,
        socket: Path | None,
        key: str | None,
        said: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
        headers |= said or {}
        self._pooled = _session(socket, headers, fresh=False)
        self._fresh = _session(socket, headers, fresh=True)
        self._broke_off_at: float | None = None

    @property
    def may_be_dying(self) -> bool:
        """Whether an answer broke off a moment ago: what is lost now, another request did it."""
        broke_off = self._broke_off_at
        return broke_off is not None and time.monotonic() - broke_off < _DYING_S

    def broke_off(self) -> None:
        """Note that an answer has no end."""
        self._broke_off_at = time.monotonic()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, also for a caller that is being cancelled; requests fail."""
        with anyio.move_on_after(_GOODBYE_S, shield=True):
            await self._pooled.close()
            await self._fresh.close()

    def post(
        self, path: str, body: bytes, *, fresh: bool = False
    ) -> aiohttp.client._RequestContextManager:
        """Send a JSON body as it is.

        Args:
            fresh: On a connection of its own, for when a pooled one turned out dead.

        Raises:
            aiohttp.ClientConnectionError: The client was closed, since its engine ended.
        """
        session = self._fresh if fresh else self._pooled
        if session.closed:
            raise aiohttp.ClientConnectionError("the engine has ended")
        data = BytesIO(body) if len(body) > _AT_ONCE_BYTES else body
        return session.post(self._url + path, data=data)

    def get(self, path: str) -> aiohttp.client._RequestContextManager:
        """Ask for something, on a connection of its own.

        Raises:
            aiohttp.ClientConnectionError: The client was closed, since its engine ended.
        """
        if self._fresh.closed:
            raise aiohttp.ClientConnectionError("the engine has ended")
        return self._fresh.get(self._url + path)

    async def is_healthy(self) -> bool:
        """Ask `/health`: llama.cpp answers 503 while it loads, and nothing before it listens."""
        try:
            async with self.get("/health") as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, OSError):
            return False

    async def warm_up(self, context: int) -> Speed:
        """Send a real prompt through the model's chat template, past every cache.

        The first chat also pays for what is done but once, so a second one is timed, longer
        where the device is quick; on a device that is slow beyond that, the first must do.

        Args:
            context: Tokens that a request may use; a prompt leaves half of them.

        Raises:
            WarmUpFailed: The engine refused, or its answer has no figures.
        """
        first = await self._timed_chat(_FIRST_PROMPT, _FIRST_TOKENS)
        if _expected_s(first, _FIRST_PROMPT_TOKENS, _FIRST_TOKENS) > _AGAIN_WITHIN_S:
            return first
        again = await self._timed_chat(_FIRST_PROMPT, _FIRST_TOKENS)
        for times, prompt_tokens in _REPEATS:
            expected_s = _expected_s(again, prompt_tokens, _LONG_TOKENS)
            if expected_s <= _LONG_WITHIN_S and 2 * prompt_tokens <= context:
                return await self._timed_chat(_LONG_PROMPT * times, _LONG_TOKENS)
        return again

    async def _timed_chat(self, prompt: str, tokens: int) -> Speed:
        text, _ = await self._chat(prompt, tokens)
        timings = _read(text).timings
        return await self._by_our_clock(prompt, tokens) if timings is None else _speed(timings)

    async def _by_our_clock(self, prompt: str, tokens: int) -> Speed:
        """Time an engine that tells no times: once for a single token, once for all.

        The prompts begin differently, so that the second is not in a cache of prefixes.
        """
        first, first_s = await self._chat(f"1. {prompt}", 1)
        whole, whole_s = await self._chat(f"2. {prompt}", tokens)
        read, both = _read(first).usage, _read(whole).usage
        if read is None or both is None:
            raise WarmUpFailed("an answer with neither timings nor usage")
        written = both.completion_tokens - read.completion_tokens
        return Speed(
            prefill_tps=read.prompt_tokens / max(first_s, 0.001),
            decode_tps=written / max(whole_s - first_s, 0.001) if written > 0 else None,
            prompt_tokens=read.prompt_tokens,
        )

    async def _chat(self, prompt: str, tokens: int) -> tuple[bytes, float]:
        """Ask; return the answer, and the seconds that it took."""
        body = msgspec.json.encode(
            {
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": tokens,
                "cache_prompt": False,
            }
        )
        begun = time.monotonic()
        try:
            async with self.post("/v1/chat/completions", body, fresh=True) as answer:
                text = await answer.read()
        except aiohttp.ClientError as error:
            raise WarmUpFailed(f"the engine closed the connection ({error})") from error
        if answer.status != HTTPStatus.OK:
            raise WarmUpFailed(f"status {answer.status}: {text[:200].decode(errors='replace')}")
        return text, time.monotonic() - begun

    async def still_answers(self, path: str, body: Mapping[str, object]) -> bool:
        """Tell whether a request is answered at all; the caller says until when it has to be."""
        try:
            async with self.post(path, msgspec.json.encode(body), fresh=True) as answer:
                await answer.read()
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, OSError):
            return False

    async def metrics(self) -> str | None:
        """What it says of itself to Prometheus; None where it does not."""
        try:
            async with self.get("/metrics") as answer:
                return await answer.text() if answer.status == HTTPStatus.OK else None
        except (aiohttp.ClientError, OSError, UnicodeDecodeError):
            return None


class WarmUpFailed(Exception):
    """The first chat did not succeed; the text says in which way."""


def _session(socket: Path | None, headers: dict[str, str], *, fresh: bool) -> aiohttp.ClientSession:
    keep = {"force_close": True} if fresh else {"keepalive_timeout": _KEEP_IDLE_S}
    connector: aiohttp.BaseConnector
    if socket is None:
        connector = aiohttp.TCPConnector(limit=0, **keep)
    else:
        connector = aiohttp.UnixConnector(str(socket), limit=0, **keep)
    return aiohttp.ClientSession(
        connector=connector,
        headers={"Content-Type": "application/json", **headers},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
        auto_decompress=False,
        read_bufsize=1 << 18,
    )


def _expected_s(speed: Speed, prompt_tokens: int, tokens: int) -> float:
    return prompt_tokens / speed.prefill_tps + tokens / (speed.decode_tps or speed.prefill_tps)


def _read(text: bytes) -> _ChatAnswer:
    try:
        return msgspec.json.decode(text, type=_ChatAnswer)
    except msgspec.DecodeError as error:
        raise WarmUpFailed(f"an answer that is none ({error})") from error


def _speed(timings: _Timings) -> Speed:
    if timings.predicted_n < 1:
        raise WarmUpFailed("an empty answer")
    # The first token comes with the prompt: the clock of the others starts after it. Source:
    # llama.cpp, tools/server/server-common.h, n_gen_steps.
    steps = timings.predicted_n - 1
    return Speed(
        prefill_tps=1000 * timings.prompt_n / max(timings.prompt_ms, 0.001),
        decode_tps=1000 * steps / max(timings.predicted_ms, 0.001) if steps else None,
        prompt_tokens=timings.prompt_n,
    )
