"""How an engine's answer reaches a client: as it comes, as bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import msgspec
from aiohttp import web

from localllm.errors import LocalLLMError
from localllm.gateway.client_stream import ClientStream
from localllm.gateway.engine_errors import failure_in_tail
from localllm.gateway.http_errors import openai_error
from localllm.gateway.translate.sse import EventReader, EventTooLarge
from localllm.gateway.usage import TAIL_BYTES, Tokens, tokens_in_document, tokens_in_tail
from localllm.metrics.live import Live
from localllm.supervisor.flow import Flow

_DONE = b"data: [DONE]"
_DONE_WITHIN = len(_DONE) + 8


@dataclass(frozen=True, slots=True)
class Source:
    """An answer that has begun.

    Args:
        flow: Counts what comes: an engine that hangs sends nothing but comments.
        broken: Says what it means if it has no end; called where that is so.
        remark: A comment to put before it; empty for none.
        most_bytes: That a document may have, which is held in memory.
    """

    answer: aiohttp.ClientResponse
    flow: Flow
    broken: Callable[[], LocalLLMError]
    remark: bytes = b""
    most_bytes: int = 1 << 30

    async def piece(self) -> bytes:
        """Wait for what comes next; empty at the end, whichever it is."""
        try:
            piece = await self.answer.content.readany()
        except (aiohttp.ClientError, ConnectionError):
            return b""
        if not piece.startswith(b":"):
            self.flow.moved += 1
        return piece

    async def read(self) -> bytes:
        """Read all of it.

        Raises:
            LocalLLMError: It has no end.
        """
        body = bytearray()
        try:
            async for piece in self.answer.content.iter_any():
                body += piece
                if len(body) > self.most_bytes:
                    raise self._too_large()
        except (aiohttp.ClientError, OSError) as error:
            raise self.broken() from error
        self.flow.moved += 1
        return bytes(body)

    def _too_large(self) -> LocalLLMError:
        kind = type(self.broken())
        error = kind(
            "The answer is too large.",
            why=f"it is over {self.most_bytes >> 20} MiB",
            fix="ask for less, or for a stream",
        )
        error.retryable = False
        return error


class Output(Protocol):
    """The client's side of one request."""

    def kept_alive(self) -> AbstractContextManager[None]:
        """Show life to the client while the block runs."""
        ...

    @property
    def has_begun(self) -> bool:
        """Whether a part of an answer has been taken, so that another one cannot follow."""
        ...

    async def pass_on(self, source: Source) -> web.StreamResponse:
        """Send an answer.

        Raises:
            LocalLLMError: It broke off before the client got any of it.
        """
        ...

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        """End with an error.

        Raises:
            LocalLLMError: `error`, where it can be an HTTP status.
        """
        ...


@dataclass(frozen=True, slots=True)
class WholeBytes:
    """One document.

    Args:
        reshape: What is done to it; most are passed on as they are.
    """

    live: Live
    reshape: Callable[[bytes], bytes] | None = None

    @property
    def has_begun(self) -> bool:
        return False

    def kept_alive(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def pass_on(self, source: Source) -> web.StreamResponse:
        body = await source.read()
        count(self.live, tokens_in_document(body))
        if self.reshape is not None:
            body = self.reshape(body)
        return web.Response(body=body, content_type="application/json")

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        raise error


class Comments:
    """Shows life as every reader of server-sent events passes over it; errors in OpenAI's shape."""

    def begin(self) -> bytes:
        return b""

    def life(self) -> bytes:
        return b": waiting for the model\n\n"

    def fail(self, error: LocalLLMError) -> bytes:
        return b"data: " + msgspec.json.encode(openai_error(error).body) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Streamed:
    """What all streams have in common: what fails once one has begun ends it."""

    live: Live
    client: ClientStream

    @property
    def has_begun(self) -> bool:
        return False  # what fails once it has ends the stream

    def kept_alive(self) -> AbstractContextManager[None]:
        return self.client.kept_alive()

    async def send(self, source: Source, data: bytes, *, between_events: bool = True) -> None:
        """Send a piece; while the client does not read, its engine is not to be blamed."""
        source.flow.blocked += 1
        try:
            await self.client.write(data, between_events=between_events)
        finally:
            source.flow.blocked -= 1

    async def fail(self, error: LocalLLMError) -> web.StreamResponse:
        stream = await self.client.fail(error)
        self.live.ended(error.http_status, error.code)
        return stream


@dataclass(frozen=True, slots=True)
class StreamBytes(Streamed):
    """A stream, passed on as it comes; of its bytes the last are read."""

    async def pass_on(self, source: Source) -> web.StreamResponse:
        tail = b""
        is_done = False
        if source.remark:
            await self.client.write(source.remark)
        send, noted = self.send, self.live.piece
        while chunk := await source.piece():
            noted(chunk.count(b"data: {"))
            tail = chunk if len(chunk) >= TAIL_BYTES else (tail + chunk)[-TAIL_BYTES:]
            is_done = _DONE in tail[-_DONE_WITHIN:]
            # after [DONE] nothing may come, not even a comment
            await send(source, chunk, between_events=not is_done and chunk.endswith(b"\n\n"))
        count(self.live, tokens_in_tail(tail))
        if not is_done:
            if (failed := failure_in_tail(tail)) is None:
                return await self.fail(source.broken())
            self.live.ended(failed.http_status, failed.code)  # the client has been told
        return await self.client.end()


class Reshaping(Protocol):
    """Makes the events of a stream others."""

    def feed(self, data: bytes) -> bytes:
        """Take the data of one event; return those to send in its place."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the answer has had its end."""
        ...


@dataclass(frozen=True, slots=True)
class StreamEvents(Streamed):
    """A stream, each of whose events is made another."""

    events: Reshaping

    async def pass_on(self, source: Source) -> web.StreamResponse:
        reader, said = EventReader(), b""
        try:
            while not self.events.is_complete and (piece := await source.piece()):
                found = reader.feed(piece)
                self.live.piece(len(found))
                said = b"".join(map(self.events.feed, found))
                await self.send(source, said, between_events=not self.events.is_complete)
        except LocalLLMError as error:
            return await self.fail(error)
        except EventTooLarge:
            return await self.fail(source.broken())
        count(self.live, tokens_in_tail(said))
        if not self.events.is_complete:
            return await self.fail(source.broken())
        return await self.client.end()


def count(live: Live, tokens: Tokens | None) -> None:
    """Note what an answer took, where the engine has told."""
    if tokens is not None:
        live.used(tokens.prompt, tokens.cached, tokens.generated, tokens.reasoning)
        live.read_s = tokens.read_s
