"""What breaks the prefix of an agent's prompts: removed or shown, and to nobody but who asks for it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from localllm.config.settings import Prefix
from localllm.daemon.running import has_uvloop
from tests.fakes.house import CHAT, TOKEN, House, a_house
from tests.unit.prefix.an_agents_prompt import RULES

pytestmark = pytest.mark.anyio

MESSAGES = "/v1/messages"
LINE = "x-anthropic-billing-header: cc_version=2.1.330; cch=1f2;"
SECRET = "Project Nightingale"
AGENT = {"User-Agent": "agent/1.0", "x-session-id": "s-1"}
CONTROL = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": has_uvloop()}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path) as built:
        await built.ready()
        yield built


def a_turn(day: str, *, prompt: int = 700, cached: int = 0) -> dict[str, Any]:
    """A chat whose system prompt has a date, and what the engine counts of it."""
    usage = {"prompt_tokens": prompt, "prompt_tokens_details": {"cached_tokens": cached}}
    script = {"body": json.dumps({"choices": [], "usage": {**usage, "completion_tokens": 2}})}
    system = {"role": "system", "content": f"{SECRET}, {day}.\n{RULES}"}
    return {"model": "small", "messages": [system, {"role": "user", "content": json.dumps(script)}]}


async def post(house: House, path: str, body: object, **headers: str) -> str:
    """Ask for something that succeeds; return the request's id."""
    async with house.http.post(path, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
        return answer.headers["x-request-id"]


async def shown(house: House, call: str, status: int = 200) -> Any:
    async with house.http.get(f"/api/v1/{call}", headers=CONTROL) as answer:
        assert answer.status == status
        return await answer.json()


async def test_a_request_shows_where_its_prompt_parts_from_the_one_before(house: House) -> None:
    first = await post(house, CHAT, a_turn("2026-11-29"), **AGENT)
    second = await post(house, CHAT, a_turn("2026-11-30"), **AGENT)

    assert (await shown(house, f"requests/{first}"))["parting"] is None
    detail = await shown(house, f"requests/{second}")

    parting = detail["parting"]
    assert detail["prefix_broken"]
    assert (parting["part"], parting["kind"]) == ("message 1 (system)", "date")
    assert parting["says"] == (
        f"the prefix differs at token {parting['token']} (about): a date in message 1 (system), "
        f'before "{parting["before"]}", now "{parting["now"]}"'
    )
    assert "Nightingale, 2026-11-30." in parting["now"]


async def test_the_place_is_the_engines_own_count_where_that_is_near(house: House) -> None:
    await post(house, CHAT, a_turn("2026-11-29"), **AGENT)
    second = await post(house, CHAT, a_turn("2026-11-30", cached=20), **AGENT)

    parting = (await shown(house, f"requests/{second}"))["parting"]

    assert (parting["token"], parting["is_exact"]) == (20, True)


async def test_what_was_seen_of_each_program_is_shown(house: House) -> None:
    for day in ("2026-11-29", "2026-11-30", "2026-12-01"):
        await post(house, CHAT, a_turn(day), **AGENT)
    await post(house, CHAT, a_turn("2026-12-01", cached=699), **AGENT)

    [program] = (await shown(house, "prefix/partings"))["programs"]

    assert (program["program"], program["requests"], program["breaks"]) == ("agent", 4, 2)
    assert (program["prompt_tokens"], program["cached_tokens"]) == (2800, 699)
    assert [place["times"] for place in program["places"]] == [2]


async def test_words_of_prompts_are_in_the_detail_alone(
    house: House, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    for day in ("2026-11-29", "2026-11-30"):
        await post(house, CHAT, a_turn(day), **AGENT)

    listed = await shown(house, "requests")
    async with house.http.get("/metrics") as answer:
        metrics = await answer.text()

    assert [one["prefix_broken"] for one in listed["recent"]] == [True, False]
    for text in (json.dumps(listed), metrics, caplog.text):
        assert "Nightingale" not in text
    (house.record).unlink()  # the engine's own, which is a test's
    written = [f for f in tmp_path.rglob("*") if f.is_file() and b"Nightingale" in f.read_bytes()]
    assert written == []


async def test_a_request_that_nobody_knows_is_said_so(house: House) -> None:
    said = await shown(house, "requests/req_nobody", status=404)

    assert said["error"]["code"] == "not_found"


async def test_the_billing_header_is_left_out_and_shown_as_removed(house: House) -> None:
    system = [{"type": "text", "text": LINE}, {"type": "text", "text": "Be brief."}]
    hi = {"role": "user", "content": "hi"}
    message = {"model": "small", "max_tokens": 9, "system": system, "messages": [hi]}
    chat = {"model": "small", "messages": [of_system(f"{LINE}\nBe brief."), hi]}

    ids = [await post(house, MESSAGES, message), await post(house, CHAT, chat)]

    for id_ in ids:
        detail = await shown(house, f"requests/{id_}")
        assert detail["removed"] == ["x-anthropic-billing-header"]
    for sent in house.chats():
        assert json.loads(sent["body"])["messages"] == [of_system("Be brief."), hi]


async def test_another_header_in_each_session_breaks_nothing(house: House) -> None:
    for version in ("1f2", "9a0"):
        turn = a_turn("2026-11-30")
        line = LINE.replace("1f2", version)
        turn["messages"][0]["content"] = f"{line}\n{turn['messages'][0]['content']}"
        last = await post(house, CHAT, turn, **{**AGENT, "x-session-id": version})

    assert (await shown(house, f"requests/{last}"))["parting"] is None
    [program] = (await shown(house, "prefix/partings"))["programs"]
    assert (program["breaks"], program["headers_removed"]) == (0, 2)


async def test_the_billing_header_stays_where_the_settings_say_so(tmp_path: Path) -> None:
    door = {"prefix": Prefix(remove_billing_header=False)}
    async with a_house(tmp_path, door=door) as house:
        await house.ready()
        hi = {"role": "user", "content": "hi"}
        message = {"model": "small", "max_tokens": 9, "system": LINE, "messages": [hi]}
        ids = [
            await post(house, MESSAGES, message),
            await post(house, CHAT, {"model": "small", "messages": [of_system(LINE), hi]}),
        ]

        details = [await shown(house, f"requests/{id_}") for id_ in ids]

    assert [detail["removed"] for detail in details] == [[], []]
    for sent in house.chats():
        assert json.loads(sent["body"])["messages"] == [of_system(LINE), hi]


def of_system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}
