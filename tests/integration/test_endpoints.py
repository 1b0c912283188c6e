"""Each endpoint speaks its own API from end to end: over a socket, with an engine behind the gateway."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from localllm.gateway.client_stream import Patience
from tests.fakes.house import DEADLINE_S, TOKEN, House, a_house, a_plan, asking
from tests.unit.gateway.requests.a_request import a_chat

pytestmark = pytest.mark.anyio

MESSAGES, RESPONSES, COUNT = "/v1/messages", "/v1/responses", "/v1/messages/count_tokens"
TOO_LONG = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (9000 tokens) exceeds the available context size (4096 tokens)",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 9000,
            "n_ctx": 4096,
        }
    }
)


def a_message(text: str = "hi", **script: Any) -> dict[str, Any]:
    return {**asking(text, **script), "max_tokens": 100}


def a_response(text: str = "hi", **script: Any) -> dict[str, Any]:
    return {"model": "small", "input": json.dumps(script) if script else text}


async def post(house: House, path: str, body: Any, **headers: str) -> tuple[int, Any, bytes]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **headers}
    async with house.http.post(path, data=data, headers=named) as answer:
        return answer.status, answer.headers, await answer.read()


def events(stream: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The named events of a stream."""
    for event in stream.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
        if "data" in lines:
            yield lines.get("event", ""), json.loads(lines["data"])


def kinds(stream: bytes) -> list[str]:
    return [kind for kind, _ in events(stream)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = Patience(open_after_s=0.05, silence_s=0.1)
    monkeypatch.setattr("tests.fakes.house.PATIENCE", patience)


async def test_a_message_is_streamed_in_anthropics_events(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, headers, text = await post(house, MESSAGES, {**a_message(chunks=2), "stream": True})

    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert kinds(text) == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert headers["request-id"].startswith("req_")


async def test_a_whole_message_is_collected_from_the_engines_stream(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        asked = {**a_message(chunks=3), "model": "tiny"}
        status, _, text = await post(house, MESSAGES, asked)
        (sent,) = [json.loads(c["body"]) for c in house.chats()]

    message = json.loads(text)
    assert (status, message["type"], message["stop_reason"]) == (200, "message", "end_turn")
    assert message["model"] == "small"  # who answers, by whatever name it was asked
    assert message["content"] == [{"type": "text", "text": " word word word"}]
    assert sent["stream"] is True


async def test_a_response_is_streamed_in_openais_events(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, _, text = await post(house, RESPONSES, {**a_response(chunks=2), "stream": True})

    said = dict(events(text))
    assert status == 200
    assert kinds(text)[:2] == ["response.created", "response.in_progress"]
    assert kinds(text)[-1] == "response.completed"
    output = said["response.completed"]["response"]["output"]
    assert output[0]["content"][0]["text"] == " word word"
    assert b"[DONE]" not in text


async def test_a_response_goes_on_from_an_earlier_one_of_the_same_client(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        _, _, first = await post(house, RESPONSES, a_response("one", chunks=1))
        before = json.loads(first)["id"]

        asked = {**a_response("two"), "previous_response_id": before}
        status, _, _ = await post(house, RESPONSES, asked)
        unknown, _, refused = await post(house, RESPONSES, {**asked, "previous_response_id": "x"})
        sent = json.loads(house.chats()[-1]["body"])["messages"]

    assert (status, [message["role"] for message in sent]) == (200, ["user", "assistant", "user"])
    assert (unknown, json.loads(refused)["error"]["code"]) == (400, "previous_response_not_found")


@pytest.mark.usefixtures("impatient")
async def test_while_a_model_loads_a_message_is_open_and_alive_in_anthropics_way(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "0.8") as house:
        house.serve(a_plan())

        asked = {**a_message(), "stream": True, "thinking": {"type": "adaptive"}}
        status, _, text = await post(house, MESSAGES, asked)

    said = kinds(text)
    assert (status, said[0], said[-1]) == (200, "message_start", "message_stop")
    assert said.count("ping") >= 2
    starts = [
        e["content_block"]["type"] for kind, e in events(text) if kind == "content_block_start"
    ]
    assert starts == ["thinking", "text"]


@pytest.mark.usefixtures("impatient")
async def test_while_a_model_loads_a_response_is_open_and_alive_in_openais_way(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "0.8") as house:
        house.serve(a_plan())

        _, _, text = await post(house, RESPONSES, {**a_response(), "stream": True})

    numbers = [event["sequence_number"] for _, event in events(text)]
    assert kinds(text).count("response.in_progress") >= 3
    assert numbers == list(range(len(numbers)))


async def test_a_message_too_long_is_told_in_the_words_that_claude_code_knows(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        asked = a_message(status=400, body=TOO_LONG)
        status, headers, text = await post(house, MESSAGES, {**asked, "stream": True})

    assert (status, headers["x-should-retry"]) == (400, "false")
    assert json.loads(text) == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "prompt is too long: 9000 tokens > 4096 maximum",
        },
    }


@pytest.mark.parametrize(
    ("path", "body", "end", "code"),
    [
        (MESSAGES, a_message(chunks=3, cut_after=1), "error", "api_error"),
        (RESPONSES, a_response(chunks=3, cut_after=1), "response.failed", "engine_gone"),
    ],
)
async def test_a_stream_that_breaks_ends_with_its_apis_error(
    path: str, body: dict[str, Any], end: str, code: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, _, text = await post(house, path, {**body, "stream": True})
        (over,) = await requests_of(house, "recent")

    last, event = list(events(text))[-1]
    error = event["response"]["error"]["code"] if path == RESPONSES else event["error"]["type"]
    assert (status, last) == (200, end)
    assert error in {code, "server_error"}
    assert (over["phase"], over["error"]) == ("failed", "engine_gone")


async def test_an_unknown_model_is_not_found_in_the_shape_of_its_api(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        said = [
            await post(
                house, path, {"model": "smal", **{k: v for k, v in body.items() if k != "model"}}
            )
            for path, body in ((MESSAGES, a_message()), (RESPONSES, a_response()))
        ]

    (status, _, message), (also, _, response) = said
    assert (status, also) == (404, 404)
    assert json.loads(message)["error"]["type"] == "not_found_error"
    assert "did you mean small?" in json.loads(response)["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (RESPONSES, {"max_output_tokens": 0}, "max_output_tokens"),
        (
            RESPONSES,
            {"tools": [{"type": "function", "name": f"f{n}"} for n in range(129)]},
            "tools",
        ),
        (MESSAGES, {"tools": [{"name": "f" * 300, "input_schema": {}}]}, "tools"),
        (COUNT, {"tools": [{"name": "f" * 300, "input_schema": {}}]}, "tools"),
    ],
)
async def test_what_is_wrong_is_named_in_the_words_of_the_client(
    path: str, body: dict[str, Any], param: str, tmp_path: Path
) -> None:
    asked = a_response() if path == RESPONSES else a_message()
    async with a_house(tmp_path) as house:
        await house.ready()

        status, _, text = await post(house, path, {**asked, **body})

    error = json.loads(text)["error"]
    assert status == 400
    assert error.get("param", param) == param
    assert param in error["message"]
    assert "function" not in error["message"]


async def test_tokens_are_estimated_where_the_engine_does_not_tell(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        asked = {"model": "small", "messages": [{"role": "user", "content": "word " * 700}]}

        status, _, text = await post(house, COUNT, asked)

    assert status == 200
    assert 700 <= json.loads(text)["input_tokens"] <= 1400


async def requests_of(house: House, which: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with house.http.get("/api/v1/requests", headers=headers) as answer:
        return list((await answer.json())[which])


async def test_a_request_can_be_watched_from_its_arrival_to_its_end(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        async with anyio.create_task_group() as tasks:
            asked = {**a_message(chunks=20, delay_s=0.05), "stream": True}
            agent = {"User-Agent": "claude-cli/2.1 (external)", "x-claude-code-session-id": "s-1"}
            tasks.start_soon(lambda: post(house, MESSAGES, asked, **agent))
            with anyio.fail_after(DEADLINE_S):
                while not (live := await requests_of(house, "live")) or not live[0]["first_token"]:
                    await anyio.sleep(0.01)
        (over,) = await requests_of(house, "recent")

    assert (live[0]["phase"], live[0]["api"]) == ("generating", "messages")
    assert (live[0]["client"], live[0]["conversation"]) == ("claude-cli/2.1", "s-1")
    assert (over["phase"], over["status"], over["model"]) == ("done", 200, "small")
    assert over["generated_tokens"] >= 20


async def test_what_was_answered_and_refused_is_in_the_metrics(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        await post(house, MESSAGES, a_message(chunks=5))
        await post(house, MESSAGES, {"model": "small"})

        async with house.http.get("/metrics") as answer:
            text = await answer.text()

    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    ended = {
        (s.labels["api"], s.labels["code"]): s.value
        for s in samples
        if s.name == "localllm_requests_total"
    }
    assert ended[("messages", "bad_request")] == 1
    assert sum(ended.values()) == 2
    assert any(s.name == "localllm_generated_tokens_total" and s.value >= 5 for s in samples)


async def test_what_one_client_sends_can_be_captured(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        begun = {"client": "codex*", "redact_text": True}
        async with house.http.post("/api/v1/capture", json=begun, headers=headers) as answer:
            assert answer.status == 202

        await post(house, RESPONSES, a_response("secret words"), **{"User-Agent": "codex/1.0"})
        await post(house, RESPONSES, a_response("others"), **{"User-Agent": "curl/8"})
        async with house.http.get("/api/v1/capture", headers=headers) as answer:
            shown = await answer.json()

    assert (shown["requests"], shown["over"]) == (1, None)


async def test_no_malformed_body_gets_to_the_engine_and_each_is_a_bad_request(
    tmp_path: Path,
) -> None:
    """The bodies themselves are searched for in test_malformed_bodies.py; here they are sent."""
    chance = random.Random(14)
    wrong = [_spoilt(chance) for _ in range(300)]
    async with a_house(tmp_path) as house:
        await house.ready()
        before = len(house.chats())

        answers = [await post(house, path, body) for path, body in wrong]

        assert len(house.chats()) == before
    for (path, body), (status, _, text) in zip(wrong, answers, strict=True):
        assert status == 400, (path, body)
        error = json.loads(text)["error"]
        assert error["type"] == "invalid_request_error"
        assert error["message"]


def _spoilt(chance: random.Random) -> tuple[str, bytes]:
    """A request with one value that is of no use, or cut in the middle."""
    path, body = chance.choice(
        [
            ("/v1/chat/completions", a_chat()),
            (MESSAGES, a_message()),
            (RESPONSES, a_response()),
            ("/v1/completions", {"model": "small", "prompt": "One,"}),
            ("/v1/embeddings", {"model": "small", "input": "One"}),
            ("/v1/rerank", {"model": "small", "query": "q", "documents": ["d"]}),
        ]
    )
    if chance.random() < 0.3:
        text = json.dumps(body).encode()
        return path, text[: chance.randrange(1, len(text))]
    name = chance.choice([name for name in body if name != "model"])
    value = chance.choice([{"a": [1]}, [], True, {}, [[[]]], -1.5])
    return path, json.dumps({**body, name: value}).encode()
