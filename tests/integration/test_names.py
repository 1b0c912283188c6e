"""Names as clients send them, to a gateway with models behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
from openai import AsyncOpenAI

from localllm.api.views import ServeRequest
from localllm.config.reading import read_settings
from localllm.daemon.parts import connect
from localllm.engines.base import Task
from localllm.errors import BadRequest, ModelNotFound
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor.asks import Asks
from localllm.supervisor.hosted import Terms
from localllm.supervisor.lending import Asking, Lending
from localllm.supervisor.naming import Naming
from localllm.supervisor.orders import Orders
from localllm.supervisor.routing import Lane
from tests.fakes.house import House, a_house, a_plan
from tests.fakes.quick_desk import quick_desk

pytestmark = pytest.mark.anyio

CONFIG = """
[profiles.coding]
model = "tiny"
sampling = { temperature = 0.2 }

[profiles.coding.variants.fast]
thinking = false
max_tokens = 100
"""


@pytest.fixture(autouse=True)
def _a_home_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def write_config(folder: Path, text: str) -> None:
    file = folder / "config" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def from_hub(planned: Planned, repo: str) -> Planned:
    return replace(planned, stored=replace(planned.stored, repo=repo))


async def read(house: House, path: str) -> tuple[int, Any]:
    async with house.http.get(path) as answer:
        return answer.status, json.loads(await answer.read())


async def shown(house: House, name: str) -> tuple[int, Any]:
    return await read(house, f"/v1/models/{quote(name, safe='')}")


def ready_ones(listed: Mapping[str, Any]) -> list[str]:
    return [entry["id"] for entry in listed["data"] if entry["state"] == "ready"]


@pytest.mark.parametrize(
    ("asked", "id_"),
    [
        ("small", "small"),
        ("tiny", "small"),
        ("TINY", "small"),
        ("small:q4_1:4096", "small"),
        ("localllm", "small"),
        ("me/Small-GGUF", "small"),
        ("hf:me/Small-GGUF:Q4_1", "small"),
        ("coding", "coding"),
        ("small:fast", "small:fast"),
        ("coding:fast", "coding:fast"),
        ("me/Small-GGUF:fast", "me/Small-GGUF:fast"),
    ],
)
async def test_a_model_is_shown_under_every_name_that_requests_may_use(
    asked: str, id_: str, tmp_path: Path
) -> None:
    write_config(tmp_path, CONFIG)
    async with a_house(tmp_path) as house:
        await house.ready(from_hub(a_plan(), "me/Small-GGUF"))

        status, entry = await shown(house, asked)

    assert (status, entry["id"], entry["state"]) == (200, id_, "ready")
    assert (entry["context_length"], entry["meta"]["n_ctx"]) == (4096, 4096)


async def test_the_list_has_each_served_model_once_with_its_other_names_and_variants(
    tmp_path: Path,
) -> None:
    write_config(tmp_path, CONFIG)
    async with a_house(tmp_path) as house:
        await house.ready(from_hub(a_plan(), "me/Small-GGUF"))

        _, listed = await read(house, "/v1/models?limit=1000")
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key="k") as client:
            ids = [model.id async for model in client.models.list()]

    entry = listed["data"][0]
    assert ready_ones(listed) == ["small"] == ids[:1]
    assert entry["aliases"] == ["tiny", "coding", "me/small-gguf"]
    assert entry["variants"] == {"small:fast": {"max_tokens": 100, "thinking": False}}
    assert (listed["first_id"], listed["last_id"]) == (ids[0], ids[-1])


async def test_what_is_on_disk_and_loads_on_request_is_listed_as_stopped(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    folder = hub / "models--who--Mine-GGUF" / "snapshots" / "1"
    folder.mkdir(parents=True)
    (folder / "mine-Q8_0.gguf").write_bytes(b"GGUF")
    async with a_house(tmp_path, environment={"HF_HUB_CACHE": str(hub)}) as house:
        await house.ready()
        _, listed = await read(house, "/v1/models")
        status, entry = await shown(house, "who/mine-gguf:Q8_0")
        write_config(tmp_path, "[supervision]\nload_on_request = false\n")

    stopped = {entry["id"]: entry for entry in listed["data"] if entry["state"] == "stopped"}
    assert "who/Mine-GGUF:Q8_0" in stopped
    assert (status, entry) == (200, stopped["who/Mine-GGUF:Q8_0"])
    assert "context_length" not in entry


async def test_without_loading_on_request_only_what_is_served_is_listed(tmp_path: Path) -> None:
    write_config(tmp_path, "[supervision]\nload_on_request = false\n")
    async with a_house(tmp_path) as house:
        await house.ready()

        _, listed = await read(house, "/v1/models")

    assert [entry["id"] for entry in listed["data"]] == ["small"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("smal", "did you mean small"),
        ("small:fasst", "'small' has no variant 'fasst'"),
        ("gpt-9", "'gpt-9' is not served"),
        ("../../etc/passwd", "is not served"),
        ("who/nothing-GGUF", "is not here"),
        ("x" * 3000, "is not served"),
    ],
)
async def test_an_unknown_name_is_a_404_that_helps(asked: str, said: str, tmp_path: Path) -> None:
    write_config(tmp_path, CONFIG)
    async with a_house(tmp_path) as house:
        await house.ready()

        status, answer = await shown(house, asked)

    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert said in answer["error"]["message"]
    assert len(answer["error"]["message"]) < 600


async def test_the_official_client_finds_a_name_with_a_slash(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(from_hub(a_plan(), "me/Small-GGUF"))
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key="k") as client:
            model = await client.models.retrieve("me/Small-GGUF")
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("gpt-9")

    assert model.id == "small"


async def test_a_profile_that_is_written_while_the_daemon_runs_is_found(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        before, _ = await shown(house, "coding:fast")
        write_config(tmp_path, CONFIG)
        await house.operations.reloading.reload()

        status, entry = await shown(house, "coding:fast")

    assert (before, status, entry["id"]) == (404, 200, "coding:fast")


async def test_a_config_that_is_broken_meanwhile_costs_no_name_that_was_known(
    tmp_path: Path,
) -> None:
    write_config(tmp_path, "no = = toml")
    async with a_house(tmp_path) as house:
        await house.ready()

        served, _ = await shown(house, "SMALL")
        unknown, _ = await shown(house, "coding")

    assert (served, unknown) == (200, 404)


async def test_what_embeds_gets_what_asks_for_whatever_is_served_to_embed(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready(a_plan("writes", "w"))
        names = house.fleet.names
        nobody = names.other_than_current(Task.EMBED)
        await house.ready(replace(a_plan("embeds", "e"), task=Task.EMBED))
        current = names.current

        other = "embeds" if current == "writes" else "writes"
        task = Task.EMBED if current == "writes" else Task.WRITE
        assert nobody is None
        assert names.other_than_current(task) == other
        assert names.other_than_current(Task.RERANK) is None


async def _never(name: str, wanted: ServeRequest | None) -> str:
    raise ModelNotFound(f"{name} {wanted}", why="it is a test", fix="none")


@pytest.mark.parametrize(("context", "lane"), [(4096, "main"), (4097, "long"), (9000, "long")])
async def test_a_name_that_stands_for_a_context_leads_to_who_has_it(
    context: int, lane: str, tmp_path: Path
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        long = a_plan(context=9000)
        house.fleet.serve(long, serving_of(long, silence_s=20.0), Terms(lane=Lane.LONG))
        lending = Lending(house.fleet, connect, _never, lambda: 10)
        asking = Asking("small", "me", 10, ServeRequest(context=context))

        async with lending.borrow(asking, 15.0) as lent:
            assert lent.hosted.terms.lane == lane
        with pytest.raises(BadRequest) as caught:
            async with lending.borrow(replace(asking, wanted=ServeRequest(context=9001)), 15.0):
                pass

    assert "9001 tokens, small is served with 9000" in caught.value.why
    assert caught.value.param == "model"


async def test_what_a_name_stands_for_is_what_is_loaded(tmp_path: Path) -> None:
    asked: list[tuple[str, ServeRequest | None]] = []
    async with a_house(tmp_path) as house:
        await house.ready()

        async def load(name: str, wanted: ServeRequest | None) -> str:
            asked.append((name, wanted))
            return "small"

        lending = Lending(house.fleet, connect, load, lambda: 10)
        wanted = ServeRequest(profile="coding")
        async with lending.borrow(Asking("coding", "me", 10, wanted), 15.0) as lent:
            assert lent.hosted.planned.model == "small"

    assert asked == [("coding", wanted)]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("coding", ServeRequest(profile="coding")),
        ("qwen3:8b", ServeRequest(model="qwen3-8b")),
        ("qwen3-8b:Q8_0", ServeRequest(model="qwen3-8b:Q8_0")),
        ("coding:long", ServeRequest(profile="coding", context=9000)),
    ],
)
async def test_a_name_of_what_is_not_served_loads_what_it_stands_for(
    asked: str, wanted: ServeRequest, tmp_path: Path
) -> None:
    write_config(tmp_path, CONFIG + "[profiles.coding.variants.long]\ncontext = 9000\n")
    async with a_house(tmp_path) as house:
        desk = quick_desk(read_settings(tmp_path / "config" / "config.toml", {}), tmp_path, {})
        orders = Orders(desk, house.fleet, Asks(tmp_path / "asks"))
        await orders.resume()
        resolved = await Naming(desk, house.fleet, orders.asks).resolve(asked)
        lending = Lending(house.fleet, connect, orders.load, lambda: 10)
        asking = Asking(resolved.name, "me", 10, resolved.wanted)

        async with lending.borrow(asking, 15.0) as lent:
            context = lent.hosted.planned.plan.context

    assert desk.planned == [wanted]
    assert context == (wanted.context or 4096)
