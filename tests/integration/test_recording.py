"""A recording over the control API: what is asked of a gateway gets into a file, and that it does is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localllm.api.traffic_file import read_traffic
from tests.fakes.house import TOKEN, House, a_house, asking

pytestmark = pytest.mark.anyio
PATH = "/api/v1/recording"
OURS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


async def call(house: House, method: str, path: str = PATH, **body: Any) -> tuple[int, Any]:
    sent = {"json": body} if method == "POST" else {}
    async with house.http.request(method, path, headers=OURS, **sent) as answer:
        return answer.status, await answer.json()


async def test_requests_are_recorded_from_on_to_off(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        await house.ask(asking("before"))
        status, begun = await call(house, "POST", minutes=5)
        answered, _, _ = await house.ask(asking("the xylophone", chunks=4))
        unknown, _, _ = await house.ask(asking("hi", model="nobody"))
        _, ended = await call(house, "DELETE")
        await house.ask(asking("after"))

    assert (status, begun["over"], begun["prompts"]) == (202, None, False)
    assert (answered, unknown, ended["requests"], ended["over"]) == (200, 404, 2, "stopped")
    traffic = read_traffic(Path(begun["file"]))
    good, bad = traffic.shapes
    assert (good.model, good.output_length, good.input_length) == ("small", 4, 9)
    assert (good.hash_ids, ended["unmarked"]) == (None, 1), "this engine cuts no texts"
    assert (bad.ended, bad.error, bad.input_length) == ("failed", "model_not_found", None)
    assert traffic.header.model == "small"
    assert "xylophone" not in Path(begun["file"]).read_text()


async def test_a_recording_that_goes_on_is_in_status_and_in_now(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        _, before = await call(house, "GET", "/api/v1/status")
        await call(house, "POST", client="codex*", prompts=True)
        _, status = await call(house, "GET", "/api/v1/status")
        _, now = await call(house, "GET", "/api/v1/now")
        await call(house, "DELETE")
        _, after = await call(house, "GET", "/api/v1/status")

    assert (before["recording"], after["recording"]) == (None, None)
    assert (status["recording"]["client"], status["recording"]["prompts"]) == ("codex*", True)
    assert now["recording"]["file"] == status["recording"]["file"]


async def test_nothing_was_recorded_yet(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        assert (await call(house, "GET"))[0] == 404
        assert (await call(house, "DELETE"))[0] == 404


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"minutes": 1e9}, {"client": ""}, {"prompt": True}]
)
async def test_a_wrong_question_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async with a_house(tmp_path) as house:
        status, said = await call(house, "POST", **wrong)

    assert status == 400
    assert said["error"]["message"]


async def test_a_disk_that_takes_no_file_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    async with a_house(tmp_path) as house:
        status, said = await call(house, "POST")

    assert status == 500
    assert "Nothing can be recorded" in said["error"]["message"]


PLANTED = "xylophone"
EVERY_API: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "name": PLANTED, "content": PLANTED}],
        "tools": [{"type": "function", "function": {"name": PLANTED, "description": PLANTED}}],
        "user": PLANTED,
        "metadata": {PLANTED: PLANTED},
    },
    "/v1/completions": {"prompt": PLANTED},
    "/v1/responses": {"input": PLANTED, "instructions": PLANTED},
    "/v1/messages": {
        "system": PLANTED,
        "messages": [{"role": "user", "content": PLANTED}],
        "max_tokens": 4,
        "metadata": {"user_id": PLANTED},
    },
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": PLANTED}]},
    "/v1/embeddings": {"input": PLANTED},
    "/v1/rerank": {"query": PLANTED, "documents": [PLANTED]},
}
PLANTED_HEADERS = {
    **OURS,
    "User-Agent": f"agent/1.0 ({PLANTED})",
    "X-Session-Id": PLANTED,
    "Cookie": PLANTED,
    f"X-{PLANTED}": PLANTED,
}


async def test_no_word_gets_into_it_by_any_way_in(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        _, begun = await call(house, "POST", client="*")
        for path, body in EVERY_API.items():
            for odd in (
                {},
                {"model": f"../{PLANTED}\x1b[2J"},
                {PLANTED: PLANTED},
                {"stream": PLANTED},
                {"temperature": PLANTED},
            ):
                sent = {"model": "localllm", **body, **odd}
                async with house.http.post(path, headers=PLANTED_HEADERS, json=sent) as answer:
                    await answer.read()
        async with house.http.post("/v1/chat/completions", headers=PLANTED_HEADERS, data=PLANTED):
            pass
        _, ended = await call(house, "DELETE")

    text = Path(begun["file"]).read_text()
    assert ended["requests"] == 5 * len(EVERY_API) + 1
    assert PLANTED not in text.lower()
    assert "agent/1.0" in text
