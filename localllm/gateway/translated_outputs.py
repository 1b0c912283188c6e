"""How an engine's answer reaches a client of another API: translated while it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import msgspec
from aiohttp import web

from localllm.errors import EngineGone, LocalLLMError
from localllm.gateway.engine_errors import failure
from localllm.gateway.outputs import Source, Streamed, count
from localllm.gateway.translate.chunks import Chunk, Progress, Timings, Usage, parse_chunk
from localllm.gateway.translate.sse import EventReader, EventTooLarge
from localllm.gateway.translate.translation import Answering
from localllm.gateway.usage import tokens_of
from localllm.metrics.live import Live

_DONE = b"[DONE]"


@dataclass(slots=True)
class AnsweringVoice:
    """Speaks to a client as its answer's translation does. Mutable: it knows how far a prompt is."""

    answering: Answering
    progress: Progress | None = None

    def begin(self) -> bytes:
        return self.answering.begin()

    def life(self) -> bytes:
        return self.answering.life(self.progress)

    def fail(self, error: LocalLLMError) -> bytes:
        return self.answering.fail(error)


@dataclass(slots=True)
class _Translating:
    """Mutable; reads an engine's stream to its end, or until enough is said."""

    live: Live
    voice: AnsweringVoice
    _usage: Usage | None = None
    _timings: Timings | None = None

    async def run(self, source: Source, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Write what the client's API makes of the answer, but for its end.

        Raises:
            LocalLLMError: The engine failed, or its answer has no end.
        """
        try:
            if not await self._translated(source, write):
                raise source.broken()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, EventTooLarge) as error:
            raise _nonsense(error) from error
        finally:
            count(self.live, tokens_of(self._usage, self._timings))

    async def _translated(self, source: Source, write: Callable[[bytes], Awaitable[None]]) -> bool:
        """Tell whether the answer came to its end."""
        reader, answering = EventReader(), self.voice.answering
        while piece := await source.piece():
            said: list[bytes] = []
            is_over = False
            for data in reader.feed(piece):
                is_over = data == _DONE
                if not is_over:
                    said.append(answering.feed(self._noted(parse_chunk(data))))
                    is_over = answering.is_complete
                if is_over:
                    break
            if together := b"".join(said):
                await write(together)
            if is_over:
                return True
        return False

    def _noted(self, chunk: Chunk) -> Chunk:
        """Count a chunk, and tell what its request takes.

        Raises:
            LocalLLMError: The engine has failed.
        """
        if chunk.error is not None:
            raise failure(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.timings is not None:
            self._timings = chunk.timings
        if (progress := chunk.prompt_progress) is not None:
            self.voice.progress = progress
            self.live.progressed(progress.processed, progress.total, progress.cache)
        elif chunk.choices:
            self.live.piece()
        return chunk


def _nonsense(error: Exception) -> EngineGone:
    return EngineGone(
        "The engine's answer cannot be read.",
        why=str(error) or type(error).__name__,
        fix="send the request again; localllm logs shows the engine's own words",
    )


@dataclass(frozen=True, slots=True)
class StreamTranslated(Streamed):
    """A stream of the client's API."""

    voice: AnsweringVoice

    async def pass_on(self, source: Source) -> web.StreamResponse:
        await self.client.open()  # an answer begins before the first of it is translated
        try:
            await _Translating(self.live, self.voice).run(source, partial(self.send, source))
        except LocalLLMError as error:
            return await self.fail(error)
        return await self.client.end(self.voice.answering.end())


@dataclass(slots=True)
class WholeTranslated:
    """One document of the client's API, collected from the engine's stream. Mutable."""

    live: Live
    voice: AnsweringVoice
    has_begun: bool = False

    def kept_alive(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def pass_on(self, source: Source) -> web.StreamResponse:
        answering = self.voice.answering

        async def no_client(_said: bytes) -> None: ...

        self.has_begun = True
        answering.begin()
        await _Translating(self.live, self.voice).run(source, no_client)
        answering.end()
        return web.Response(
            body=msgspec.json.encode(answering.whole()), content_type="application/json"
        )

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        raise error
