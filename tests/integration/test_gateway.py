"""Requests through the gateway to an engine: what passes, what is said when it does not."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import openai
import pytest
from openai import AsyncOpenAI

from localllm.daemon.running import has_uvloop
from localllm.events import ModelState as S
from localllm.gateway.client_stream import Patience
from localllm.gateway.outputs import StreamBytes
from localllm.supervisor.fleet import Fleet
from tests.fakes.house import CHAT, DEADLINE_S, LISTED, TOKEN, House, a_house, a_plan, asking

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the daemon uses here."""
    return "asyncio", {"use_uvloop": has_uvloop()}


SOME = b'data: {"choices":[{"delta":{"content":"na\xc3\xafve \xe2\x9c\x93"},"index":0}]}\n\n'
DONE = b"data: [DONE]\n\n"


def error_of(text: bytes) -> dict[str, Any]:
    """Read an error object, which has always the same four keys."""
    error: dict[str, Any] = json.loads(text)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def last_event(text: bytes) -> dict[str, Any]:
    *_, event, end = text.split(b"\n\n")
    assert (event[:6], end) == (b"data: ", b"")
    return error_of(event[6:])


def client_of(house: House) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key="k", max_retries=0)


@pytest.mark.parametrize(
    "pieces",
    [
        [SOME, SOME, DONE],
        [SOME * 500 + DONE],
        [bytes([byte]) for byte in SOME + DONE],
        [SOME[:48], SOME[48:49], SOME[49:], DONE[:7], DONE[7:-1], DONE[-1:]],
        [SOME.replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
        [b": ping\n\n", SOME, b"event: x\nid: 7\n", SOME, DONE],
        [b"data: \xff\xfe\x00 no text at all\n\n", DONE],
        [SOME, b"data: [DONE]"],
        [SOME, DONE, b"\n"],
    ],
    ids=["events", "at once", "bytes", "in letters", "crlf", "comments", "binary", "short", "long"],
)
async def test_a_stream_is_passed_on_byte_for_byte(pieces: list[bytes], tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        asked = asking(pieces=[piece.hex() for piece in pieces], delay_s=0.001)

        status, headers, text = await house.ask({**asked, "stream": True})

    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert text == b"".join(pieces)


@pytest.mark.parametrize("body", ['{"choices": [ ],\n "na\u00efve" :1e400}', "no JSON", " "])
async def test_a_whole_answer_is_passed_on_byte_for_byte(body: str, tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, headers, text = await house.ask(asking(body=body))

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert text == body.encode()


async def test_a_large_request_is_passed_on_byte_for_byte(tmp_path: Path) -> None:
    asked = asking("x" * (3 << 20))
    async with a_house(tmp_path, max_body_mib=4) as house:
        await house.ready()

        status, _, _ = await house.ask(asked)

        assert (status, [json.loads(c["body"]) for c in house.chats()]) == (200, [asked])


@pytest.mark.parametrize("stream", ["true", "false", "null"])
async def test_a_request_is_passed_on_byte_for_byte(stream: str, tmp_path: Path) -> None:
    messages = '[{"content" :"hi", "role":"user"}]'
    asked = (
        f'{{ "stream":{stream},"x" : 1.50, "model":"small",\n"messages":{messages}, "\\u00e9":"é"}}'
    )
    async with a_house(tmp_path) as house:
        await house.ready()

        status, _, _ = await house.ask(asked.encode())

        assert status == 200
        assert [chat["body"] for chat in house.chats()] == [asked]


async def test_the_first_words_arrive_while_the_engine_still_speaks(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        asked = {**asking(chunks=1000, delay_s=0.05), "stream": True}

        async with house.http.post(CHAT, json=asked) as answer:
            first = await answer.content.readuntil(b"\n\n")

        assert b"word" in first  # the whole answer takes 50 s


async def test_the_official_client_reads_both_kinds_of_answer(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        async with client_of(house) as client:
            whole = await client.chat.completions.create(**asking(chunks=2))
            stream = await client.chat.completions.create(**asking(chunks=2), stream=True)
            words = [chunk.choices[0].delta.content async for chunk in stream]

    assert (whole.choices[0].message.content, whole.model) == (" word word", "small")
    assert words == [" word", " word", None]


@pytest.mark.parametrize("name", ["small", "tiny", "small:q4_1:4096", None])
async def test_a_model_answers_to_its_name_its_alias_its_plan_and_if_alone_to_nothing(
    name: str | None, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, _, text = await house.ask(asking(model=name))

    assert (status, json.loads(text)["model"]) == (200, "small")


async def test_each_of_two_models_gets_its_own_requests(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        await house.ready(a_plan("other", "o"))

        answers = [await house.ask(asking(model=name)) for name in ("small", "other", "o", None)]
        _, _, listed = await read(house, "/v1/models")

    assert [json.loads(text)["model"] for _, _, text in answers[:3]] == ["small", "other", "other"]
    assert json.loads(answers[3][2])["model"] == "other", "it names none: the one asked for last"
    served = [entry["id"] for entry in json.loads(listed)["data"] if entry["state"] == "ready"]
    assert served == ["other", "small"]


async def read(house: House, path: str) -> tuple[int, Any, bytes]:
    async with house.http.get(path) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_an_unknown_model_is_a_404_in_openais_words(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, headers, text = await house.ask({**asking(model="gpt-9"), "stream": True})
        async with client_of(house) as client:
            with pytest.raises(openai.NotFoundError) as raised:
                await client.chat.completions.create(**asking(model="gpt-9"))

    error = error_of(text)
    assert (status, headers["x-should-retry"]) == (404, "false")
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")
    assert "gpt-9" in error["message"]
    assert "served now: small" in error["message"]
    assert raised.value.code == "model_not_found"


async def test_the_list_of_models_says_what_agents_ask_of_it(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        before, _, said = await read(house, "/readyz")
        await house.ready()
        after, _, _ = await read(house, "/readyz")
        _, _, text = await read(house, "/v1/models/tiny")
        missing, _, lacking = await read(house, "/v1/models/gpt-9")

    entry = json.loads(text)
    assert (before, error_of(said)["code"], after) == (503, "still_loading", 200)
    assert (entry["id"], entry["object"], entry["created"]) == ("small", "model", 1_764_000_000)
    assert (entry["context_length"], entry["meta"]["n_ctx"], entry["state"]) == (
        4096,
        4096,
        "ready",
    )
    assert (missing, error_of(lacking)["code"]) == (404, "model_not_found")


TOO_LONG = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "the request exceeds the available context size",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5000,
            "n_ctx": 4096,
        }
    }
)


GONE = (502, "engine_gone", "true")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("script", "said", "words"),
    [
        ({"status": 400, "body": TOO_LONG}, (400, "context_length_exceeded", "false"), "5000|4096"),
        (
            {"status": 400, "body": '{"error":{"message":"no"}}'},
            (400, "bad_request", "false"),
            "no",
        ),
        ({"status": 500, "body": '{"error":{"message":"oops"}}'}, GONE, "500|oops"),
        ({"status": 500, "body": "<html>"}, GONE, "500|<html>"),
        ({"status": 503, "body": "{}"}, GONE, "503"),
        ({"garbage": True}, GONE, "engine"),
        ({"drop": "always"}, GONE, "engine"),
        ({"die_after": 0}, GONE, "engine"),
    ],
)
async def test_what_an_engine_refuses_or_fails_at_is_said_in_openais_words(
    script: dict[str, Any], said: tuple[int, str, str], words: str, *, stream: bool, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, headers, text = await house.ask({**asking(**script), "stream": stream})

    error = error_of(text)
    assert (status, error["code"], headers["x-should-retry"]) == said
    assert all(word in error["message"] for word in words.split("|"))


@pytest.mark.parametrize(
    "script",
    [
        {"chunks": 9, "die_after": 3},
        {"chunks": 9, "cut_after": 3},
        {"pieces": [SOME.hex(), SOME[:40].hex()]},
        {"pieces": [SOME.hex()]},
        {"pieces": [(b"data: [DONE] is what I would say\n\n" + SOME).hex()]},
    ],
    ids=["killed", "cut", "half an event", "no end", "no end in sight"],
)
async def test_a_stream_that_breaks_off_ends_with_an_error_event(
    script: dict[str, Any], tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        with anyio.fail_after(1.0):
            status, _, text = await house.ask({**asking(**script), "stream": True})
        requests = len(house.chats())

    assert (status, requests) == (200, 1)  # not sent again: the client has read a part
    assert text.startswith(b"data: {") or script["pieces"]
    assert last_event(text)["code"] == "engine_gone"


async def test_the_official_client_raises_when_a_stream_breaks_off(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        words: list[str] = []
        async with client_of(house) as client:
            stream = await client.chat.completions.create(
                **asking(chunks=9, die_after=3), stream=True
            )
            with pytest.raises(openai.APIError, match="The engine ended before"):
                async for chunk in stream:
                    words.append(chunk.choices[0].delta.content or "")

    assert words == [" word"] * 3


async def test_after_a_crash_requests_wait_for_the_restart_and_are_served(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        first = hosted.runner.record.run
        os.kill(hosted.runner.record.pid or 0, signal.SIGKILL)
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is S.READY:
                await hosted.changed.wait()

        status, _, _ = await house.ask(asking())

        assert (status, hosted.runner.record.run) == (200, first + 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_between_a_crash_and_its_discovery_is_served_after_the_restart(
    tmp_path: Path, *, stream: bool
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        record, spec = hosted.runner.record, hosted.runner.spec
        assert spec is not None
        assert spec.endpoint.socket is not None
        spec.endpoint.socket.unlink()  # nobody is reached any more, and it counts as ready
        answers = []

        async def ask() -> None:
            answers.append(await house.ask({**asking(), "stream": stream}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.2)
            os.kill(record.pid or 0, signal.SIGKILL)

        [(status, _, text)] = answers
        assert (status, b"word" in text, hosted.runner.record.run) == (200, True, record.run + 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_an_engine_takes_while_it_ends_is_served_after_the_restart(
    tmp_path: Path, *, stream: bool
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        record = hosted.runner.record
        await house.ask({**asking(cut_after=1), "stream": True})
        answers = []

        async def ask() -> None:
            answers.append(await house.ask({**asking(), "stream": stream}))

        os.kill(record.pid or 0, signal.SIGSTOP)  # its sockets still take what comes
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.2)
            os.kill(record.pid or 0, signal.SIGKILL)

        [(status, _, text)] = answers
        assert (status, b"word" in text, hosted.runner.record.run) == (200, True, record.run + 1)


async def test_a_request_that_ends_an_engine_is_not_sent_to_the_next_one(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        run = hosted.runner.record.run

        status, headers, _ = await house.ask({**asking(die_after=0), "stream": True})
        await house.ask(asking())

        assert (status, headers["x-should-retry"]) == (502, "true")
        assert hosted.runner.record.run == run + 1


async def test_a_pooled_connection_is_used_again(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        for _ in range(3):
            await house.ask(asking("twice"))

        assert len({chat["connection"] for chat in house.chats("twice")}) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_that_hit_a_dead_pooled_connection_is_sent_again_on_a_fresh_one(
    tmp_path: Path, *, stream: bool
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):  # so that the next one in the pool is dead, too
                tasks.start_soon(house.ask, {**asking(delay_s=0.2), "stream": stream})

        status, _, text = await house.ask({**asking(drop="reused"), "stream": stream})
        sent = house.chats("reused")

    assert (status, b"word" in text) == (200, True)
    assert len({chat["connection"] for chat in sent}) == len(sent) == 2
    assert sent[0]["body"] == sent[1]["body"]


async def test_a_request_is_sent_again_at_most_once(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        status, headers, _ = await house.ask(asking(drop="always"))

        assert (status, headers["x-should-retry"]) == (502, "true")
        assert len(house.chats("always")) == 2


@pytest.mark.parametrize(
    "asked",
    [
        {**asking(chunks=10_000, delay_s=0.01), "stream": True},
        {**asking(hang=True), "stream": True},
        asking(hang=True),
    ],
    ids=["while streaming", "before the stream", "whole"],
)
async def test_an_engine_is_told_at_once_when_its_client_goes_away(
    asked: dict[str, Any], tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, {**asked, "user": "somebody"})
            await house.until("somebody")
            tasks.cancel_scope.cancel()

        with anyio.fail_after(1.0):
            await house.until('{"gone": true}')
            while hosted.in_flight:
                await anyio.sleep(0.005)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.house.PATIENCE", Patience(open_after_s=0.05, silence_s=0.05))


@pytest.mark.usefixtures("impatient")
async def test_a_stream_opens_while_its_model_loads_and_shows_life_until_it_is_served(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "0.5") as house:
        house.serve(a_plan())

        status, headers, text = await house.ask({**asking(), "stream": True})

    comments, events = text.count(b": waiting for the model\n\n"), text.split(b"data: ")[1:]
    assert (status, headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    assert comments >= 2
    assert [b"word" in event for event in events] == [True, True, True, False, False]
    assert text.endswith(DONE)


@pytest.mark.usefixtures("impatient")
async def test_the_official_client_waits_through_the_comments(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-load", "0.3") as house:
        house.serve(a_plan())
        async with client_of(house) as client:
            stream = await client.chat.completions.create(**asking(chunks=2), stream=True)
            words = [chunk.choices[0].delta.content async for chunk in stream]

    assert words == [" word", " word", None]


async def test_a_whole_answer_waits_for_its_model(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-load", "0.3") as house:
        house.serve(a_plan())

        status, _, _ = await house.ask(asking())

    assert status == 200


async def test_a_request_waits_for_its_model_until_its_deadline(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-load", "60", wait_s=0.1) as house:
        house.serve(a_plan())

        status, headers, text = await house.ask(asking())

    assert (status, error_of(text)["code"]) == (503, "still_loading")
    assert (headers["x-should-retry"], headers["Retry-After"]) == ("true", "5")


@pytest.mark.usefixtures("impatient")
async def test_an_open_stream_that_reaches_the_deadline_ends_with_an_error_event(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "60", wait_s=0.2) as house:
        house.serve(a_plan())

        status, _, text = await house.ask({**asking(), "stream": True})

    assert (status, text[:2]) == (200, b": ")
    assert last_event(text)["code"] == "still_loading"


@pytest.mark.usefixtures("impatient")
async def test_an_open_stream_whose_engine_then_refuses_ends_with_an_error_event(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, "--fake-load", "0.3") as house:
        house.serve(a_plan())
        asked = asking(status=400, body=TOO_LONG)

        status, _, text = await house.ask({**asked, "stream": True})

    assert (status, last_event(text)["code"]) == (200, "context_length_exceeded")


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_leaves_while_its_model_loads_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_house(tmp_path, "--fake-load", "60") as house:
        hosted = house.serve(a_plan())
        async with house.http.post(CHAT, json={**asking(), "stream": True}) as answer:
            await answer.content.readuntil(b"\n\n")

        with anyio.fail_after(DEADLINE_S):
            while hosted.waiting:
                await anyio.sleep(0.005)
    assert "unexpectedly" not in caplog.text


DEEP = b"[" * 200_000


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b"", "application/json", 400, "bad_request"),
        (b"[]", "application/json", 400, "bad_request"),
        (b'"text"', "application/json", 400, "bad_request"),
        (b"null", "application/json", 400, "bad_request"),
        (b'{"model":7}', "application/json", 400, "bad_request"),
        (b'{"stream":"yes"}', "application/json", 400, "bad_request"),
        (b'{"model":"\xff"}', "application/json", 400, "bad_request"),
        (DEEP, "application/json", 400, "bad_request"),
        (b'{"messages":' + DEEP, "application/json", 400, "bad_request"),
        (b'{"messages":' + DEEP + b"]" * len(DEEP) + b"}", "application/json", 400, "bad_request"),
        (b"{}" + b" " * (3 << 20), "application/json", 413, "too_large"),
        (b'{"model":"small"}', "text/plain", 415, "not_json"),
        (b"model=small", "application/x-www-form-urlencoded", 415, "not_json"),
    ],
)
async def test_a_body_that_is_no_chat_is_refused_before_an_engine_sees_it(
    body: bytes, kind: str, status: int, code: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        said, headers, text = await house.ask(body, **{"Content-Type": kind})

        assert (said, error_of(text)["code"], house.chats()) == (status, code, [])
        assert headers["x-should-retry"] == "false"


async def test_a_compressed_body_may_not_grow_over_the_limit(tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415

    async with a_house(tmp_path) as house:
        await house.ready()
        bomb = gzip.compress(b'{"a":"' + b"0" * (8 << 20) + b'"}')

        status, _, _ = await house.ask(bomb, **{"Content-Encoding": "gzip"})

        assert (status, house.chats()) == (413, [])


@pytest.mark.parametrize("how", ["the model", "the daemon"])
async def test_while_it_drains_running_requests_finish_and_new_ones_are_turned_away(
    how: str, tmp_path: Path
) -> None:
    answers: list[tuple[int, Any, bytes]] = []
    async with a_house(tmp_path) as house:
        hosted = await house.ready()

        async def run() -> None:
            answers.append(await house.ask({**asking(chunks=40, delay_s=0.02), "stream": True}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await house.until("0.02")
            tasks.start_soon(*stop(how, house.fleet, hosted))
            with anyio.fail_after(DEADLINE_S):
                while hosted.state is not S.DRAINING:
                    await hosted.changed.wait()
            status, headers, text = await house.ask(asking())

    assert (status, error_of(text)["code"], headers["Retry-After"]) == (503, "not_ready", "5")
    assert [(s, t.count(b"word"), t.endswith(DONE)) for s, _, t in answers] == [(200, 40, True)]


def stop(how: str, fleet: Fleet, hosted: Any) -> tuple[Any, ...]:
    return (fleet.stop, hosted.planned.model, "test") if how == "the model" else (fleet.close,)


async def test_a_model_that_cannot_start_is_no_invitation_to_try_again(tmp_path: Path) -> None:
    async with a_house(tmp_path, "--fake-layers", "7/7") as house:
        hosted = house.serve(a_plan())
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is not S.FAILED:
                await hosted.changed.wait()

        status, headers, text = await house.ask(asking())

    assert (status, error_of(text)["code"]) == (503, "start_failed")
    assert headers["x-should-retry"] == "false"
    assert "layers" in error_of(text)["message"]


async def test_every_answer_forbids_a_browser_to_guess_frame_or_run_it(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        answers = [await house.ask({**asking(), "stream": s}, Origin=LISTED) for s in (True, False)]
        answers.append(await house.ask(b"{", Origin=LISTED))

    for _, headers, _ in answers:
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Access-Control-Allow-Origin"] == LISTED


async def test_no_log_has_a_prompt_an_answer_or_a_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a-prompt-of-mine"
    scripts: list[dict[str, Any]] = [
        {}, {"status": 500, "body": secret}, {"garbage": True}, {"cut_after": 1}, {"die_after": 2}
    ]  # fmt: skip
    async with a_house(tmp_path) as house:
        await house.ready()
        for script in scripts:
            asked = {**asking(**script), "stream": True, "user": secret}
            await house.ask(asked, Authorization=f"Bearer {secret}")
        await house.ask(f'{{"model": "{secret}'.encode())
        await read(house, "/api/v1/models")
        async with house.http.get("/api/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}):
            pass
        logs = [file.read_text() for file in tmp_path.glob("*.log")]

    assert logs
    for text in (*logs, caplog.text):
        assert secret not in text
        assert TOKEN not in text


async def test_a_thousand_quick_requests_at_once_are_all_served(tmp_path: Path) -> None:
    statuses: list[int] = []
    async with a_house(tmp_path) as house:
        await house.ready()
        limit = anyio.CapacityLimiter(100)

        async def run() -> None:
            async with limit:
                statuses.append((await house.ask({**asking(), "stream": True}))[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(run)

    assert statuses == [200] * 1000


async def test_an_engine_is_held_back_while_its_client_does_not_read(tmp_path: Path) -> None:
    chunks = 100_000  # 20 MB
    async with a_house(tmp_path) as house:
        await house.ready()
        async with house.http.post(CHAT, json={**asking(chunks=chunks), "stream": True}) as answer:
            await house.until("written")
            sent, before = written(house), 0
            while sent > before:  # until all buffers on the way are full
                await anyio.sleep(0.2)
                sent, before = written(house), sent
            text = await answer.read()

    assert sent < chunks / 2
    assert text.count(b"word") == chunks


def written(house: House) -> int:
    """Chunks that the engine could send so far."""
    return max(one.get("written", 0) for one in house.happened())


async def test_a_bug_in_a_stream_cuts_it_and_puts_no_second_answer_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(output: StreamBytes, _source: object) -> None:
        await output.client.write(b"data: {")
        raise RuntimeError("a bug")

    monkeypatch.setattr(StreamBytes, "pass_on", broken)
    async with a_house(tmp_path) as house:
        await house.ready()

        async with house.http.post(CHAT, json={**asking(), "stream": True}) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()

    assert answer.status == 200
    assert "a request failed unexpectedly: path=/v1/chat/completions" in caplog.text
