"""The official client reads what is written, and what it sends is understood."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from localllm import errors as e
from localllm.gateway.translate.anthropic_errors import anthropic_error
from localllm.gateway.translate.anthropic_request import messages_request
from localllm.gateway.translate.chunks import Chunk
from localllm.gateway.translate.sse import EventReader
from tests.unit.gateway.translate.messages_reader import (
    an_answer,
    call,
    ends,
    text,
    thought,
    used,
    written,
)

STREAM = {"Content-Type": "text/event-stream"}
ASKED: dict[str, Any] = {
    "model": "a-model",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
}


@dataclass
class Server:
    """Answers every request alike, and keeps its body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(STREAM))
    body: bytes = b""
    asked: bytes = b""
    client: Any = None


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            served.asked = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(served.status)
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(served.body)))
            self.end_headers()
            self.wfile.write(served.body)

        def log_message(self, *_args: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{http.server_port}"
    with anthropic.Anthropic(base_url=url, api_key="local", max_retries=0) as client:
        served.client = client
        yield served
    http.shutdown()
    thread.join()
    http.server_close()


ANSWERS = {
    "text": [text("Hel"), text("lo."), ends("stop"), used(10, 2, cached=8)],
    "thinking": [thought("h"), thought("m"), text("Yes."), ends("stop"), used(10, 3, reasoning=2)],
    "tools": [
        text("I look."),
        call("", name="look", id_="abc"),
        call('{"at": ["é",'),
        call(' 1]}'),
        call("{}", name="wait", id_="def", index=1),
        ends("tool_calls"),
        used(10, 30),
    ],
    "cut": [text("all that fi"), ends("length"), used(10, 3)],
    "stop": [text("One. E"), text("ND two")],
    "nothing": [ends("stop")],
}  # fmt: skip


@pytest.mark.parametrize("chunks", ANSWERS.values(), ids=ANSWERS.keys())
@pytest.mark.parametrize("is_beta", [False, True], ids=["stable", "beta"])
def test_its_accumulator_puts_the_same_message_together(
    server: Server, chunks: list[Chunk], is_beta: bool
) -> None:
    answer = an_answer(stops=("END",))
    server.body = written(answer, *chunks)
    messages = server.client.beta.messages if is_beta else server.client.messages

    with messages.stream(**ASKED) as stream:
        said = "".join(stream.text_stream)
        final = json.loads(stream.get_final_message().to_json())

    whole: Any = answer.whole()
    assert {name: final.get(name) for name in whole} == whole
    assert said == "".join(b["text"] for b in whole["content"] if b["type"] == "text")


@pytest.mark.parametrize("chunks", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_event_and_the_whole_message_are_of_its_types(chunks: list[Chunk]) -> None:
    answer = an_answer(stops=("END",))
    kinds = TypeAdapter[Any](RawMessageStreamEvent)

    for event in EventReader().feed(written(answer, *chunks)):
        assert kinds.validate_json(event, strict=True).type == json.loads(event)["type"]
    assert Message.model_validate(answer.whole(), strict=True).id == "msg_1"


def test_a_message_that_is_not_streamed_is_read(server: Server) -> None:
    answer = an_answer()
    written(answer, *ANSWERS["tools"])
    server.headers = {"Content-Type": "application/json"}
    server.body = json.dumps(answer.whole()).encode()

    message = server.client.messages.create(**ASKED)

    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert message.content[1].input == {"at": ["é", 1]}
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 30)


def test_signs_of_life_are_passed_over(server: Server) -> None:
    answer = an_answer()
    life = answer.begin() + answer.life(None) + answer.life(None)
    server.body = life + answer.feed(text("Yes.")) + answer.life(None) + answer.end()

    with server.client.messages.stream(**ASKED) as stream:
        assert stream.get_final_text() == "Yes."


def test_an_error_in_a_stream_is_raised(server: Server) -> None:
    answer = an_answer()
    gone = e.EngineGone("The engine ended.", why="it died", fix="again")
    server.body = answer.begin() + answer.feed(text("half")) + answer.fail(gone)

    with pytest.raises(anthropic.APIError, match="The engine ended") as caught:
        with server.client.messages.stream(**ASKED) as stream:
            stream.until_done()

    assert caught.value.body == anthropic_error(gone).body


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (e.BadRequest("a: no.", why="b", fix="c", param="a"), anthropic.BadRequestError),
        (
            e.ContextTooLong("Long.", why="b", fix="c", tokens=9, maximum=8),
            anthropic.BadRequestError,
        ),
        (e.Unauthorized("No.", why="b", fix="c"), anthropic.AuthenticationError),
        (e.ModelNotFound("No.", why="b", fix="c"), anthropic.NotFoundError),
        (e.TooLarge("No.", why="b", fix="c"), anthropic.RequestTooLargeError),
        (e.Busy("No.", why="b", fix="c"), anthropic.RateLimitError),
        (e.StillLoading("No.", why="b", fix="c"), anthropic.ServiceUnavailableError),
        (KeyError("a bug"), anthropic.InternalServerError),
    ],
)
def test_a_refusal_is_raised_by_its_own_class(
    server: Server, error: Exception, raised: type[anthropic.APIStatusError]
) -> None:
    reply = anthropic_error(error)
    server.status, server.body = reply.status, json.dumps(reply.body).encode()
    server.headers = {"Content-Type": "application/json", **reply.headers}

    with pytest.raises(anthropic.APIStatusError) as caught:
        server.client.messages.create(**ASKED)

    assert isinstance(caught.value, raised)
    assert caught.value.body == reply.body


def test_what_it_sends_is_understood(server: Server) -> None:
    answer = an_answer()
    server.body = written(answer, text("ok"))
    picture = {"type": "base64", "media_type": "image/png", "data": "QUJD"}
    shown = [{"type": "text", "text": "see"}, {"type": "image", "source": picture}]

    with server.client.messages.stream(
        **ASKED | {"messages": [{"role": "user", "content": shown}]},
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        tool_choice={"type": "any"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        stop_sequences=["END"],
        extra_body={"min_p": 0.1, "top_k": 5},
    ) as stream:
        stream.until_done()

    asked = messages_request(server.asked, lambda prefix: prefix)
    assert asked.is_stream
    assert [m["role"] for m in asked.chat["messages"]] == ["system", "user"]  # type: ignore[attr-defined]
    expected = {"tool_choice": "required", "top_k": 5, "min_p": 0.1, "thinking_budget_tokens": 1024}
    assert expected.items() <= asked.chat.items()
