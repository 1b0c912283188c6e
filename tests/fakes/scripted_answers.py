"""How a scripted daemon answers one connection: HTTP in, the scene's documents out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from localllm.api.now_views import NowQuery
from localllm.api.views import EventsQuery, LogsQuery, PlanRequest, ShutdownReply
from localllm.errors import BadRequest, LocalLLMError, NoSuchEndpoint, Unauthorized
from localllm.gateway.http_errors import openai_error
from tests.fakes import scene_verbs as verbs

if TYPE_CHECKING:
    from tests.fakes.scripted_daemon import ScriptedDaemon

_TICK_S = 0.25
_MOST_LINES = 2_000
_ACCEPTED = {"switch", "load", "pull", "shutdown"}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _daemon(self) -> ScriptedDaemon:
        return self.server.daemon  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer({})

    def do_DELETE(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        read = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(json.loads(read or b"{}"))

    def _answer(self, body: dict[str, Any]) -> None:
        while self._daemon.silent and not self._daemon.over.wait(0.02):
            pass
        split = urlsplit(self.path)
        parts = [unquote(part) for part in split.path.strip("/").split("/")]
        query = dict(parse_qsl(split.query))
        try:
            if parts[0] == "api":
                self._check_token()
            self._dispatch(parts, query, body)
        except LocalLLMError as error:
            reply = openai_error(error)
            self._send(reply.status, reply.body)

    def _check_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self._daemon.token}":
            raise Unauthorized(
                "The control API needs the daemon's token.",
                why="the header Authorization is missing, or its token is not this daemon's",
                fix="use the localllm command, which reads it from daemon.json",
            )

    def _dispatch(self, parts: list[str], query: dict[str, str], body: dict[str, Any]) -> None:
        match [self.command, *parts[2:]] if parts[0] == "api" else [self.command, *parts]:
            case ["GET", "models", name, "logs"]:
                self._logs(name, _read(query, LogsQuery))
            case ["GET", "events"]:
                self._events(_read(query, EventsQuery))
            case ["POST", "v1", "chat", "completions"]:
                self._chat(body)
            case ["POST", "shutdown"]:
                self._daemon.scene.note("shutdown", "", body)
                self._send(202, ShutdownReply(pid=4242))
            case ["GET", *path]:
                self._send(200, self._shown(path, query))
            case [method, *path]:
                verb, document = self._done(method, path, body)
                self._send(202 if verb in _ACCEPTED else 200, document)

    def _shown(self, path: list[str], query: dict[str, str]) -> object:
        scene = self._daemon.scene
        self._as_scripted(path[0])
        match path:
            case ["requests", which]:
                return scene.detail(which)
            case ["agents", name]:
                return scene.agent(name)
            case [name]:
                shown: dict[str, Callable[[], object]] = {
                    "now": lambda: scene.now(_read(query, NowQuery).recent),
                    "status": scene.status,
                    "models": scene.instances,
                    "hardware": lambda: scene.hardware,
                    "plan": lambda: scene.plan(scene.hardware, _read(query, PlanRequest)),
                    "store": scene.shown_store,
                    "pulls": lambda: list(scene.pulls),
                    "requests": scene.requests,
                    "agents": scene.agents,
                    "engines": lambda: list(scene.builds),
                }
                if name in shown:
                    return shown[name]()
        raise self._nothing_here()

    def _done(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[str, object]:
        scene = self._daemon.scene
        match [method, *path]:
            case ["POST", "switch"]:
                verb, name = "switch", None
            case ["POST", "pulls"]:
                verb, name = "pull", None
            case ["DELETE", "pulls", name]:
                verb = "cancel"
            case ["POST", "pulls" | "models", name, verb]:
                pass
            case _:
                raise self._nothing_here()
        self._as_scripted(verb)
        match verb:
            case "switch" | "load":
                return verb, verbs.serve(scene, verb, name, body)
            case "unload":
                return verb, verbs.unload(scene, name or "")
            case "pin" | "unpin":
                return verb, verbs.pin(scene, name or "", pinned=verb == "pin")
            case "pull":
                return verb, verbs.pull(scene, body)
            case "pause" | "resume" | "cancel":
                return verb, verbs.on_pull(scene, verb, name or "")
        raise self._nothing_here()

    def _nothing_here(self) -> NoSuchEndpoint:
        return NoSuchEndpoint(
            f"There is no {self.command} {self.path}.", why="a scripted daemon", fix="script it"
        )

    def _as_scripted(self, verb: str) -> None:
        scene = self._daemon.scene
        self._daemon.over.wait(scene.slow_s.get(verb, 0.0))
        if verb in scene.refusals:
            raise scene.refusals[verb]

    def _send(self, status: int, document: object) -> None:
        content = msgspec.json.encode(document)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _logs(self, name: str, wanted: LogsQuery) -> None:
        scene = self._daemon.scene
        view = scene.find(name).view
        key = name if name in scene.logs else view.id
        lines = scene.logs.setdefault(key, [])
        first = max(0, len(lines) - wanted.lines)

        def pieces() -> Iterator[str]:
            at = first
            for _ in self._ticks(follow=wanted.follow):
                while at < len(lines):
                    new = lines[at : at + _MOST_LINES]
                    at += len(new)
                    yield "".join(f"{line}\n" for line in new)

        self._stream("text/plain; charset=utf-8", pieces())

    def _events(self, wanted: EventsQuery) -> None:
        events = self._daemon.scene.events

        def pieces() -> Iterator[str]:
            at = 0
            for _ in self._ticks(follow=wanted.follow):
                while at < len(events):
                    event, at = events[at], at + 1
                    yield f"id: {event.seq}\ndata: {msgspec.json.encode(event).decode()}\n\n"

        self._stream("text/event-stream; charset=utf-8", pieces())

    def _ticks(self, *, follow: bool) -> Iterator[None]:
        """Once, and where it is followed after each change, until the daemon ends."""
        yield
        scene, daemon = self._daemon.scene, self._daemon
        while follow and not daemon.over.is_set():
            with scene.changed:
                scene.changed.wait(_TICK_S)
            yield

    def _chat(self, body: dict[str, Any]) -> None:
        scene = self._daemon.scene
        scene.note("chat", str(body.get("model", "")), body)
        self._as_scripted("chat")
        given = iter(scene.answer) if scene.answer is not None else self._pushed()
        model = scene.instances()[0].id if scene.models else "localllm"
        self._stream("text/event-stream; charset=utf-8", _chat_events(model, given))

    def _pushed(self) -> Iterator[str]:
        scene, at = self._daemon.scene, 0
        for _ in self._ticks(follow=True):
            while at < len(scene.pieces):
                piece, at = scene.pieces[at], at + 1
                if piece is None:
                    scene.pieces.clear()
                    return
                yield piece

    def _stream(self, kind: str, pieces: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            content = piece.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.write(b"0\r\n\r\n")


def _chat_events(model: str, pieces: Iterator[str]) -> Iterator[str]:
    """As the gateway streams a chat: deltas, the reason of its end, the usage, [DONE]."""
    tokens, began = 0, time.monotonic()
    for piece in pieces:
        tokens += 1
        yield _chat_event(model, {"content": piece}, None)
    yield _chat_event(model, {}, "stop")
    usage = {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens}
    took_ms = 1_000 * (time.monotonic() - began)
    timings = {"predicted_n": tokens, "predicted_ms": took_ms, "prompt_n": 12, "prompt_ms": 4.0}
    last = {"id": "chatcmpl-1", "model": model, "object": "chat.completion.chunk"}
    last |= {"created": 1_795_990_000, "choices": [], "usage": usage, "timings": timings}
    yield f"data: {json.dumps(last)}\n\n"
    yield "data: [DONE]\n\n"


def _chat_event(model: str, delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    event = {"id": "chatcmpl-1", "model": model, "object": "chat.completion.chunk"}
    return f"data: {json.dumps(event | {'created': 1_795_990_000, 'choices': [choice]})}\n\n"


def _read(query: dict[str, str], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest("The query is wrong.", why=str(error), fix="correct it") from error
