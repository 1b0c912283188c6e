"""Which requests are sent to a slot, and what makes what a slot has kept another model's memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localllm.config.settings import Prefix
from localllm.engine_client.client import EngineClient
from localllm.engines.base import SAVES_SLOTS, Adapter, Endpoint, LaunchSpec, Serving, Task
from localllm.fit.plan import Draft
from localllm.gateway.asking import asking_of
from localllm.gateway.placing import Placing, Spot
from localllm.metrics.callers import Caller
from localllm.metrics.live import Api, Live
from localllm.planning.companions import Companions
from localllm.planning.planner import Planned, serving_of
from localllm.prefix.keeping import Keeping
from localllm.prefix.prompt import Prompt
from localllm.prefix.running import Placed
from localllm.supervisor.bus import EventBus
from localllm.supervisor.hosted import Hosted, Terms
from localllm.supervisor.lending import Asking, Lent
from localllm.supervisor.new_instance import make_instance
from localllm.supervisor.resolving import Resolved
from localllm.supervisor.tools import Tools
from tests.fakes.house import POLICY, a_plan
from tests.unit.prefix.a_prompt import outline

pytestmark = pytest.mark.anyio

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
ASKING = Asking(None, "a client", 1)
SECRET = b"a key of this test's own"


def a_client() -> EngineClient:
    return EngineClient("http://127.0.0.1:9", socket=None, key=None)


def a_pinning_plan(folder: Path) -> Planned:
    """Of an engine that saves slots, with a file that is there."""
    planned, file = a_plan(), folder / "model.gguf"
    file.write_bytes(b"weights")
    installed = replace(planned.choice.installed, abilities=frozenset({SAVES_SLOTS}))
    stored = replace(planned.stored, file=file)
    return replace(planned, stored=stored, choice=replace(planned.choice, installed=installed))


def hosted_of(planned: Planned, folder: Path, **changes: Any) -> Hosted:
    """An instance that does not run."""

    def launch(*_: object) -> LaunchSpec:
        return LaunchSpec((), Endpoint(), 1.0)

    tools = Tools(
        EventBus(),
        POLICY,
        folder,
        lambda _: a_client(),
        launch,
        record=lambda *_: None,
        examine=lambda *_: (),
        budgets=lambda *_: {},
    )
    serving: Serving = replace(serving_of(planned, silence_s=1.0), **changes)
    return make_instance(planned, serving, Terms(), tools, taken=(), takes_over=lambda _: False)


def a_placing(*, enabled: bool = True) -> Placing:
    return Placing(Keeping(None), SECRET, lambda: Prefix(enabled=enabled))


@asynccontextmanager
async def a_spot(
    hosted: Hosted, path: str, body: dict[str, Any], placing: Placing | None = None
) -> AsyncIterator[Spot]:
    async with a_client() as client:
        place = (placing or a_placing()).spot(
            Lent(hosted, client), path, json.dumps(body).encode(), ASKING
        )
        async with place as spot:
            yield spot


def chat(**members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "hi"}], **members}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat()),
        (CHAT, chat(n=1, id_slot=3)),
        (CHAT, chat(tools=[], stream=True)),
        (COMPLETIONS, {"prompt": "once upon"}),
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
    ],
)
async def test_what_reads_one_prompt_is_sent_to_a_slot(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async with a_spot(hosted_of(a_pinning_plan(tmp_path), tmp_path), path, body) as spot:
        assert spot.placed is not None
        assert json.loads(spot.body) == {**body, "id_slot": spot.placed.slot}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, chat(n=2)),
        (COMPLETIONS, {"prompt": ["once", "twice"]}),
        (COMPLETIONS, {"prompt": [1, 2, 3]}),
        (EMBEDDINGS, {"input": "hi"}),
    ],
)
async def test_what_takes_several_slots_or_reads_no_prompt_is_left_to_the_engine(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async with a_spot(hosted_of(a_pinning_plan(tmp_path), tmp_path), path, body) as spot:
        assert (json.loads(spot.body), spot.placed) == (body, None)


async def test_an_engine_that_chooses_by_itself_is_told_no_slot(tmp_path: Path) -> None:
    planned = a_pinning_plan(tmp_path)
    installed = replace(planned.choice.installed, abilities=frozenset())
    planned = replace(planned, choice=replace(planned.choice, installed=installed))

    async with a_spot(hosted_of(planned, tmp_path), CHAT, chat()) as spot:
        assert json.loads(spot.body) == chat()
        assert spot.placed is not None


async def test_where_prompts_are_not_saved_slots_are_named_all_the_same(tmp_path: Path) -> None:
    planned = replace(a_pinning_plan(tmp_path), companions=Companions(draft=Draft(3)))

    async with a_spot(hosted_of(planned, tmp_path), CHAT, chat()) as spot:
        assert "id_slot" in json.loads(spot.body)


@pytest.mark.parametrize("why", ["embeds", "off", "no file"])
async def test_where_nothing_is_kept_nothing_is_placed(tmp_path: Path, why: str) -> None:
    planned = a_pinning_plan(tmp_path)
    if why == "embeds":
        planned = replace(planned, task=Task.EMBED)
    if why == "no file":  # an engine that has it open serves on
        planned.stored.file.unlink()

    place = a_placing(enabled=why != "off")
    async with a_spot(hosted_of(planned, tmp_path), CHAT, chat(), place) as spot:
        assert (json.loads(spot.body), spot.placed) == (chat(), None)


async def test_a_request_without_a_slot_keeps_the_engine_busy_as_well(tmp_path: Path) -> None:
    hosted, placing = hosted_of(a_pinning_plan(tmp_path), tmp_path), a_placing()
    async with a_client() as client:
        engine = await placing.engine(hosted, client)
        assert engine is not None
        run = placing.keeping.run_of(engine)
        body = json.dumps(chat(n=2)).encode()

        async with placing.spot(Lent(hosted, client), CHAT, body, ASKING):
            assert not run.is_idle

        assert run.is_idle


async def test_all_busy_leaves_the_choice_to_the_engine(tmp_path: Path) -> None:
    planned = a_pinning_plan(tmp_path)
    hosted = hosted_of(replace(planned, plan=replace(planned.plan, parallel=1)), tmp_path)
    placing, body = a_placing(), json.dumps(chat()).encode()
    async with a_client() as client:
        lent = Lent(hosted, client)
        async with (
            placing.spot(lent, CHAT, body, ASKING),
            placing.spot(lent, CHAT, body, ASKING) as second,
        ):
            assert (second.body, second.placed) == (body, None)


@pytest.mark.parametrize(("said", "is_kept"), [("1", False), ("0", True), (None, True)])
async def test_a_client_may_say_that_nobody_goes_on_from_its_prompt(
    tmp_path: Path, said: str | None, *, is_kept: bool
) -> None:
    headers = {} if said is None else {"x-localllm-passing": said}
    asking = asking_of(Resolved(None), b"{}", headers, key=None, address="here")
    async with a_client() as client:
        lent = Lent(hosted_of(a_pinning_plan(tmp_path), tmp_path), client)
        body = json.dumps(chat()).encode()
        async with a_placing().spot(lent, CHAT, body, asking) as spot:
            assert spot.placed is not None
            assert spot.placed.prompt.is_passing is not is_kept


Change = Callable[[Planned, Path], Planned]


def the_file(planned: Planned, folder: Path) -> Planned:
    (folder / "other.gguf").write_bytes(b"other weights")
    return replace(planned, stored=replace(planned.stored, file=folder / "other.gguf"))


def the_version(planned: Planned, _: Path) -> Planned:
    installed = replace(planned.choice.installed, version="2")
    return replace(planned, choice=replace(planned.choice, installed=installed))


def the_engine(planned: Planned, _: Path) -> Planned:
    installed = replace(planned.choice.installed, engine="another")
    return replace(planned, choice=replace(planned.choice, installed=installed))


def the_kv_type(planned: Planned, _: Path) -> Planned:
    return replace(planned, plan=replace(planned.plan, kv_type="q8_0"))


def an_adapter(planned: Planned, folder: Path, scale: float = 1.0) -> Planned:
    (folder / "adapter.gguf").write_bytes(b"adapter")
    adapters = (Adapter(folder / "adapter.gguf", scale),)
    return replace(planned, companions=replace(planned.companions, adapters=adapters))


def its_scale(planned: Planned, folder: Path) -> Planned:
    return an_adapter(planned, folder, scale=0.5)


def the_users_flags(planned: Planned, _: Path) -> Planned:
    flags = ("--rope-freq-scale", "0.5")
    return replace(planned, companions=replace(planned.companions, engine_args=flags))


def the_context(planned: Planned, _: Path) -> Planned:
    return replace(planned, plan=replace(planned.plan, context=2048, parallel=1))


def the_checkpoints(planned: Planned, _: Path) -> Planned:
    return replace(planned, plan=replace(planned.plan, checkpoints=3))


async def key_of(planned: Planned, folder: Path, placing: Placing | None = None) -> str:
    async with a_client() as client:
        engine = await (placing or a_placing()).engine(hosted_of(planned, folder), client)
    assert engine is not None
    return engine.key


@pytest.mark.parametrize(
    "change",
    [
        *(the_file, the_version, the_engine, the_kv_type, the_checkpoints),
        *(an_adapter, its_scale, the_users_flags),
    ],
)
async def test_with_another_of_these_it_is_another_models_memory(
    tmp_path: Path, change: Change
) -> None:
    planned = a_pinning_plan(tmp_path)

    assert await key_of(change(planned, tmp_path), tmp_path) != await key_of(planned, tmp_path)


async def test_an_adapter_counts_as_much_as_it_is_laid_over(tmp_path: Path) -> None:
    planned = a_pinning_plan(tmp_path)
    keys = [await key_of(c(planned, tmp_path), tmp_path) for c in (an_adapter, its_scale)]

    assert len(set(keys)) == 2


async def test_with_another_context_it_is_still_the_same_memory(tmp_path: Path) -> None:
    planned = a_pinning_plan(tmp_path)

    assert await key_of(the_context(planned, tmp_path), tmp_path) == await key_of(planned, tmp_path)


async def test_what_comes_under_the_name_of_one_that_was_stopped_has_a_key_of_its_own(
    tmp_path: Path,
) -> None:
    """The same model with another KV type: the instance's name is the same, and so is its first run."""
    placing, planned = a_placing(), a_pinning_plan(tmp_path)
    other = the_kv_type(planned, tmp_path)
    assert hosted_of(planned, tmp_path).id == hosted_of(other, tmp_path).id

    assert await key_of(planned, tmp_path, placing) != await key_of(other, tmp_path, placing)


async def test_a_file_that_was_replaced_counts_from_the_next_run_on(tmp_path: Path) -> None:
    placing, planned = a_placing(), a_pinning_plan(tmp_path)
    hosted = hosted_of(planned, tmp_path)
    async with a_client() as client:
        before = await placing.engine(hosted, client)
        planned.stored.file.write_bytes(b"other weights, and more of them")

        same_run = await placing.engine(hosted, client)

    assert before is not None
    assert before == same_run
    assert await key_of(planned, tmp_path, placing) != before.key


async def test_an_engine_that_takes_hundreds_at_once_has_a_bound(tmp_path: Path) -> None:
    planned = a_pinning_plan(tmp_path)
    many = replace(planned, plan=replace(planned.plan, parallel=500))
    async with a_client() as client:
        engine = await a_placing().engine(hosted_of(many, tmp_path), client)

    assert engine is not None
    assert engine.slots == 64


@pytest.mark.parametrize(("prompt", "tokens"), [(1000, 1007), (None, None)])
def test_prompt_and_answer_are_in_the_slot_at_the_end_if_the_engine_has_counted(
    prompt: int | None, tokens: int | None
) -> None:
    live = Live(
        *("r", Api.CHAT, None, Caller()),
        *(False, 0.0, 0.0, lambda: 0.0, lambda _: None),
    )
    live.prompt_tokens, live.generated_tokens = prompt, 7
    placed = Placed(0, Prompt(outline(b"hi"), CHAT, b"{}"))

    Spot(b"{}", placed).holds_all(live)
    Spot(b"{}").holds_all(live)

    assert placed.tokens == tokens
