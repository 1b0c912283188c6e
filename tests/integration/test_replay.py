"""A replay over sockets: when requests come, what they go on from, what the cache makes of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from localllm.api.traffic_file import Shape, Traffic, read_traffic
from localllm.bench.replay import Played, play
from localllm.bench.replay_asking import Asking
from localllm.bench.replay_figures import pass_of
from localllm.bench.replay_plan import Served, plan_replay
from localllm.bench.replay_prompts import Prompts
from localllm.bench.replay_texts import Texts, begins_of
from localllm.bench.replay_words import find_words
from localllm.metrics.recording_blocks import Blocks
from tests.fakes.caching_endpoint import CachingEndpoint, a_caching_endpoint
from tests.unit.bench.a_shape import a_shape, traffic_of

pytestmark = pytest.mark.anyio


def recorded(
    prompts: Sequence[tuple[Sequence[int], int]], every_ms: float = 20, took_ms: float = 1
) -> list[Shape]:
    """What a recording has of prompts, each with what was cached of it."""
    blocks, shapes = Blocks(b"a key of this test"), []
    for number, (tokens, cached) in enumerate(prompts, 1):
        marked = blocks.mark(number, "m", tokens)
        shapes.append(
            a_shape(
                number,
                timestamp=every_ms * number,
                total_ms=took_ms,
                input_length=len(tokens),
                cached_tokens=cached,
                hash_ids=list(marked.hash_ids),
                goes_on_from=marked.goes_on_from,
            )
        )
    return shapes


async def replayed(
    endpoint: CachingEndpoint, shapes: Sequence[Shape], traffic: Traffic | None = None, **how: Any
) -> list[Played]:
    traffic = traffic or traffic_of(*shapes)
    asking, block_tokens = Asking(endpoint.target, "m"), traffic.header.block_tokens
    words = await find_words(asking.count)
    plan = plan_replay(traffic, Served("m", 4096))
    begins = begins_of(shapes, block_tokens)
    texts = Texts(words.words, block_tokens, begins, how.pop("salt", 0))
    prompts = Prompts("m", texts, shapes, words.before)
    usual = {"rate": 1.0, "closed": False, "measure": asking.measure}
    endpoint.prompts.clear()
    endpoint.cached.clear()
    return await play(endpoint.target, plan, prompts, **{**usual, **how})


SYSTEM = list(range(100))
AGENT = [
    (SYSTEM + [1] * 20, 0),
    (SYSTEM + [1] * 20 + [8] * 8 + [2] * 30, 128),
    (SYSTEM + [3] * 20, 96),
    (SYSTEM + [1] * 20 + [8] * 8 + [2] * 30 + [9] * 8 + [4] * 9, 166),
    ([5] * 50, 0),
]
"""Two turns with their answers, of eight tokens, and between them others that begin as they do."""


@pytest.mark.parametrize(("rate", "closed"), [(1.0, False), (1.0, True), (50.0, True)])
async def test_the_cache_is_hit_as_it_was_recorded(*, rate: float, closed: bool) -> None:
    shapes = recorded(AGENT, every_ms=60 if closed else 500)
    async with a_caching_endpoint() as endpoint:
        played = await replayed(endpoint, shapes, rate=rate, closed=closed)

    assert [one.shown.prompt_tokens for one in played] == [len(tokens) for tokens, _ in AGENT]
    view = pass_of(played, rate, {}, 32)
    goes_on = [one.shown.cached_tokens for one in played if one.turn.before is not None]
    assert goes_on == [128, 166]
    if not closed:
        cached = [one.shown.cached_tokens or 0 for one in played]
        assert cached[1:] == [cached for _, cached in AGENT[1:]]
        assert cached[0] <= 1, "nothing but what the words were found with"
        assert view.cache.alike == 5


async def test_a_second_pass_finds_nothing_of_the_first_in_the_cache() -> None:
    shapes = recorded([(SYSTEM, 0)])
    async with a_caching_endpoint() as endpoint:
        await replayed(endpoint, shapes)
        (again,) = await replayed(endpoint, shapes, salt=1)

    assert again.shown.cached_tokens == 0


async def test_what_is_around_a_text_is_measured_once() -> None:
    async with a_caching_endpoint() as endpoint:
        asking = Asking(endpoint.target, "m")
        lengths = [await asking.measure(" a b c"), await asking.measure(" a b")]

    assert lengths == [3, 2]
    assert endpoint.counts == 3


async def test_what_was_sent_is_not_kept_for_the_length_of_a_pass() -> None:
    async with a_caching_endpoint() as endpoint:
        played = await replayed(endpoint, recorded(AGENT, every_ms=1))

    assert all(endpoint.prompts)
    assert [one.shown.shot.body for one in played] == [b""] * 5


async def test_requests_are_sent_when_they_are_due_though_no_answer_has_come() -> None:
    shapes = recorded([([n] * 40, 0) for n in range(6)], every_ms=20)
    async with a_caching_endpoint(delay_s=0.5) as endpoint:
        played = await replayed(endpoint, shapes, rate=2.0)

    assert endpoint.most_at_once == 6
    assert all(one.late_s < 0.3 for one in played)
    spans = [one.shown.sent_at for one in played]
    assert spans[-1] - spans[0] == pytest.approx(0.05, abs=0.3)


async def test_closed_turns_wait_for_the_one_before_and_that_is_not_lateness() -> None:
    conversation = [([1] * n, 0) for n in (40, 60, 80)]
    async with a_caching_endpoint(delay_s=0.1) as endpoint:
        played = await replayed(endpoint, recorded(conversation, every_ms=5), closed=True)

    ends = [one.shown.ended_at for one in played]
    assert endpoint.most_at_once == 1
    assert all(one.shown.sent_at >= end for one, end in zip(played[1:], ends, strict=False))
    assert all(one.late_s < 0.09 for one in played)


async def test_a_turn_whose_forerunner_fails_is_sent_all_the_same() -> None:
    shapes = recorded([([1] * 40, 0), ([1] * 60, 0)])
    async with a_caching_endpoint() as endpoint:
        asked = await replayed(endpoint, shapes[:1])
        endpoint.refuse = endpoint.prompts[0][-1]
        played = await replayed(endpoint, shapes, closed=True)

    assert asked[0].shown.error is None
    assert [one.shown.error is None for one in played] == [False, False]
    assert len(endpoint.prompts) == 2


async def test_nobody_listens_and_every_request_says_so() -> None:
    async with a_caching_endpoint() as endpoint:
        words = await find_words(Asking(endpoint.target, "m").count)
    shapes = recorded(AGENT, every_ms=1)
    prompts = Prompts("m", Texts(words.words, 32, begins_of(shapes, 32)), shapes, 0)
    plan = plan_replay(traffic_of(*shapes), Served("m", None))

    played = await play(
        endpoint.target,
        plan,
        prompts,
        rate=1.0,
        closed=True,
        measure=Asking(endpoint.target, "m").measure,
    )

    assert len(played) == 5
    assert all(one.shown.error for one in played)


async def test_a_trace_of_mooncake_is_replayed_with_its_own_blocks(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [0, 1]},
        {"timestamp": 60, "input_length": 1100, "output_length": 2, "hash_ids": [0, 2, 3]},
        {"timestamp": 120, "input_length": 1100, "output_length": 2, "hash_ids": [0, 2, 4]},
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    traffic = read_traffic(file)

    async with a_caching_endpoint() as endpoint:
        played = await replayed(endpoint, traffic.shapes, traffic=traffic)

    assert [one.shown.prompt_tokens for one in played] == [600, 1100, 1100]
    assert [one.shown.generated_tokens for one in played] == [3, 2, 2]
    assert [one.shown.cached_tokens for one in played][1:] == [512, 1024]
