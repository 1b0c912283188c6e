"""The endpoints under /v1 that a model answers: each request checked, named and sent on its way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from localllm.config.settings import Settings
from localllm.engine_client.chat_tokens import count_chat_tokens
from localllm.engines.base import Task
from localllm.gateway.asking import asking_of, conversation_of, is_passing, prompt_tokens
from localllm.gateway.bodies import read_body
from localllm.gateway.callers import check_model
from localllm.gateway.client_stream import OpenStreams
from localllm.gateway.halves import with_whole_characters
from localllm.gateway.last_prompts import LastPrompts
from localllm.gateway.manners import apply_variant
from localllm.gateway.metering import Metering
from localllm.gateway.middleware import CALLER, REQUEST_ID
from localllm.gateway.relay import Call, Relay
from localllm.gateway.requests.bounds import Limits
from localllm.gateway.translate.anthropic_request import count_tokens_request
from localllm.gateway.translate.responses_store import ResponseStore
from localllm.gateway.wanting import (
    OF_MESSAGES,
    Origin,
    Wanted,
    check_can,
    check_translated,
    want_chat,
    want_completion,
    want_embeddings,
    want_messages,
    want_rerank,
    want_response,
)
from localllm.metrics.callers import caller_of
from localllm.metrics.live import Api, Live
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Lent
from localllm.supervisor.naming import Naming
from localllm.supervisor.resolving import Resolved

_ID_BYTES = 12
_TASKS = {Api.EMBEDDINGS: Task.EMBED, Api.RERANK: Task.RERANK}

Want = Callable[[bytes, Limits, Origin], Wanted]


class _Peek(msgspec.Struct):
    """What is looked at before a request is checked, whatever else it says."""

    model: object = None
    stream: object = None

    @property
    def name(self) -> str | None:
        return self.model if isinstance(self.model, str) else None


@dataclass(frozen=True, slots=True)
class _Named:
    """Whom a request's name leads to."""

    asked: str | None
    resolved: Resolved
    hosted: Hosted | None
    """None: nobody serves it yet."""

    def limits(self, *, grammars: bool) -> Limits:
        if self.hosted is None:
            return Limits(may_send_grammar=grammars)
        planned = self.hosted.planned
        plan, header = planned.plan, planned.header
        return Limits(plan.parallel, plan.context, header.takes_tools, may_send_grammar=grammars)

    @property
    def model(self) -> str:
        """The model's id, or the name that leads to it."""
        name = self.resolved.name or self.asked or ""
        return name if self.hosted is None else self.hosted.planned.stored.id


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Handlers.

    Args:
        settings: As they are now.
        prompts: Told of each prompt before it is sent.
    """

    relay: Relay
    naming: Naming
    metering: Metering
    streams: OpenStreams
    settings: Callable[[], Settings]
    prompts: LastPrompts
    responses: ResponseStore = field(default_factory=ResponseStore)

    def routes(self) -> list[web.RouteDef]:
        calls: list[tuple[str, Api, Want]] = [
            ("/v1/chat/completions", Api.CHAT, want_chat),
            ("/v1/completions", Api.COMPLETIONS, want_completion),
            ("/v1/responses", Api.RESPONSES, want_response),
            ("/v1/messages", Api.MESSAGES, want_messages),
            ("/v1/embeddings", Api.EMBEDDINGS, want_embeddings),
            ("/v1/rerank", Api.RERANK, want_rerank),
        ]
        return [
            *(web.post(path, self._handler(api, want)) for path, api, want in calls),
            web.post("/v1/messages/count_tokens", self.count_tokens),
        ]

    def _handler(
        self, api: Api, want: Want
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await self._read(request)
            peek = _peek(body)
            with self._followed(request, api, peek, body) as live:
                named = await self._named(request, peek.name, _TASKS.get(api, Task.WRITE))
                limits = named.limits(grammars=self.settings().allow_grammars)
                wanted = want(body, limits, self._origin(request, named, live))
                live.removed = wanted.removed
                if not is_passing(request.headers):
                    self.prompts.saw(live, named.model, wanted.path, wanted.body)
                call = self._call(request, named, wanted, live, body)
                self.metering.recordings.saw(live, call.path, call.body)
                return await self.relay.answer(call)

        return handle

    async def count_tokens(self, request: web.Request) -> web.Response:
        """Count a message's tokens, by its model if it is there; else it is an estimate."""
        body = await self._read(request)
        peek = _peek(body)
        with self._followed(request, Api.COUNT_TOKENS, peek, body) as live:
            chat = count_tokens_request(body, remove_billing_header=self._removes_billing_header)
            named = await self._named(request, peek.name, Task.WRITE)
            limits = named.limits(grammars=self.settings().allow_grammars)
            check_translated(chat, limits, OF_MESSAGES)
            counted = None
            client = self.relay.lending.reach(named.hosted)
            if client is not None:
                counted = await count_chat_tokens(client, chat)
            tokens = prompt_tokens(body) if counted is None else counted
            live.used(prompt=tokens)
            return web.json_response({"input_tokens": tokens})

    async def _read(self, request: web.Request) -> bytes:
        most_bytes = self.settings().max_body_mib << 20
        return with_whole_characters(await read_body(request, most_bytes))

    @property
    def _removes_billing_header(self) -> bool:
        """Whether a line of Claude Code's is left out of prompts."""
        return self.settings().prefix.remove_billing_header

    @contextmanager
    def _followed(
        self, request: web.Request, api: Api, peek: _Peek, body: bytes
    ) -> Generator[Live]:
        """Have a request counted and shown, however it ends."""
        headers = request.headers
        key = request[CALLER].name if request[CALLER].key else None
        caller = caller_of(headers.get("User-Agent"), conversation_of(headers, body), key)
        with self.metering.requests.following(
            api, peek.name, caller, stream=peek.stream is True
        ) as live:
            request[REQUEST_ID] = live.id
            self.metering.captures.offer(live, request.headers.items(), body)
            self.metering.recordings.begins(live)
            yield live

    async def _named(self, request: web.Request, asked: str | None, task: Task) -> _Named:
        """Find whom a name leads to, if the caller may ask for it."""
        resolved = await self.naming.resolve(asked, task)
        named = _Named(asked, resolved, self.naming.fleet.names.find(resolved.name))
        aliases = () if named.hosted is None else named.hosted.planned.stored.aliases
        check_model(request[CALLER], named.model, asked, resolved.name, *aliases)
        return named

    def _origin(self, request: web.Request, named: _Named, live: Live) -> Origin:
        caller = request[CALLER]
        earlier = self.responses.of(caller.key or caller.name)
        served = None if named.hosted is None else named.model
        return Origin(
            request,
            live,
            self.streams,
            served,
            earlier,
            _new_id,
            time.time,
            remove_billing_header=self._removes_billing_header,
        )

    def _call(
        self, request: web.Request, named: _Named, wanted: Wanted, live: Live, body: bytes
    ) -> Call:
        resolved = named.resolved

        def may_serve(lent: Lent) -> None:
            planned = lent.hosted.planned
            stored = planned.stored
            names = (named.asked, resolved.name, *stored.aliases)
            check_model(request[CALLER], stored.id, *names)
            check_can(wanted, planned.choice.installed.engine)

        sent = wanted.body
        if wanted.is_generated:
            sent = apply_variant(sent, resolved.manner)
        key, address = request[CALLER].key, request.remote or ""
        asking = asking_of(resolved, body, request.headers, key=key, address=address)
        return Call(request, sent, asking, wanted, live, may_serve)


def _peek(body: bytes) -> _Peek:
    try:
        return msgspec.json.decode(body, type=_Peek)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Peek()  # which the check refuses, in its own words


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(_ID_BYTES)
