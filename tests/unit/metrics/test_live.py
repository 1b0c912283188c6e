"""A request knows how far it is, and how long each part of it took."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from localllm.errors import Busy
from localllm.metrics.live import GAP_BOUNDS_S, Api, Phase
from tests.unit.metrics.a_live import AGENT, World


def test_a_request_goes_from_waiting_over_prefill_to_its_end() -> None:
    world = World()
    live = world.begin()
    phases = [live.phase]

    live.admitted("m:1", "m", "xllamacpp")
    phases.append(live.phase)
    live.piece()
    phases.append(live.phase)
    live.ended(200)
    phases.append(live.phase)

    assert phases == [Phase.WAITING, Phase.PREFILL, Phase.GENERATING, Phase.DONE]


def test_its_times_are_from_its_arrival_on() -> None:
    live = World().answered(tokens=3)

    assert live.wait_s == pytest.approx(1.0)
    assert live.to_first_token_s == pytest.approx(2.0)
    assert live.took_s(now=1e9) == pytest.approx(2.2)
    assert live.decode_tps == pytest.approx(10.0)
    assert live.longest_gap_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("status", "code", "cancelled", "phase"),
    [
        (200, None, False, Phase.DONE),
        (429, "busy", False, Phase.FAILED),
        (400, None, False, Phase.FAILED),
        (200, "engine_gone", False, Phase.FAILED),
        (499, None, True, Phase.CANCELLED),
    ],
)
def test_how_it_ends_is_its_last_phase(
    status: int, code: str | None, cancelled: bool, phase: Phase
) -> None:
    live = World().begin()

    live.ended(status, code, cancelled=cancelled)

    assert live.phase is phase


def test_it_ends_once_and_later_words_do_not_count() -> None:
    world = World()
    told: list[str] = []
    world.requests.when_one_ends.append(lambda live: told.append(live.id))
    live = world.begin()

    live.ended(502, "engine_gone")
    live.ended(200)

    assert (live.status, live.phase, told) == (502, Phase.FAILED, ["req_1"])


def test_a_piece_of_several_tokens_counts_each_with_its_share_of_the_time() -> None:
    world = World()
    live = world.begin()
    live.piece()
    world.clock.now += 0.36

    live.piece(tokens=4)
    taken = live.take()

    assert taken.tokens == 5
    assert taken.gaps_s == pytest.approx(0.36)
    assert dict(zip(GAP_BOUNDS_S, taken.gaps, strict=False))[0.1] == 4 == sum(taken.gaps)


def test_a_gap_longer_than_all_bounds_is_counted_too() -> None:
    world = World()
    live = world.begin()
    live.piece()
    world.clock.now += 3600

    live.piece()

    assert live.take().gaps[-1] == 1


def test_a_piece_without_tokens_is_none() -> None:
    live = World().begin()

    live.piece(0)

    assert (live.phase, live.generated_tokens, live.first_token_at) == (Phase.WAITING, 0, None)


def test_the_engines_count_goes_before_that_of_the_pieces() -> None:
    live = World().begin()
    live.piece()
    live.piece()
    first = live.take()

    live.used(generated=7)

    assert (first.tokens, live.take().tokens, live.generated_tokens) == (2, 5, 7)


def test_what_was_counted_is_never_taken_back() -> None:
    live = World().begin()
    live.piece(tokens=5)
    live.take()

    live.used(generated=4)

    assert (live.take().tokens, live.generated_tokens) == (0, 4)


def test_a_prompt_shows_how_far_it_has_been_read() -> None:
    live = World().begin()

    live.progressed(512, 2048, cached=256)
    live.progressed(1024, 2048)

    assert (live.prompt_read, live.prompt_tokens, live.cached_tokens) == (1024, 2048, 256)


@pytest.mark.anyio
async def test_what_the_block_ends_with_is_what_the_request_ends_with() -> None:
    requests = World().requests
    asked = (Api.CHAT, "m", AGENT)
    with requests.following(*asked, stream=True):
        pass
    with (
        pytest.raises(Busy),
        requests.following(*asked, stream=True),
    ):
        raise Busy("Busy.", why="it is", fix="wait")
    with pytest.raises(ConnectionResetError), requests.following(*asked, stream=True):
        raise ConnectionResetError
    with anyio.CancelScope() as scope:
        with requests.following(*asked, stream=True):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    with pytest.raises(KeyError), requests.following(*asked, stream=True):
        raise KeyError

    ends = [(one.status, one.error_code, one.phase) for one in reversed(requests.recent())]
    assert ends == [
        (200, None, Phase.DONE),
        (429, "busy", Phase.FAILED),
        (499, None, Phase.CANCELLED),
        (499, None, Phase.CANCELLED),
        (500, "internal_error", Phase.FAILED),
    ]
    assert requests.live() == ()


def test_of_those_that_are_over_only_the_last_are_kept() -> None:
    world = World(kept=2)
    for _ in range(3):
        world.begin().ended(200)

    assert [one.id for one in world.requests.recent()] == ["req_3", "req_2"]


def test_a_very_long_name_of_a_model_is_cut() -> None:
    assert len(World().begin(asked="m" * 10_000).asked or "") == 200


@pytest.mark.anyio
async def test_whoever_follows_is_woken_by_each_new_phase_and_by_nothing_else() -> None:
    world = World()
    seen = world.requests.changes
    counted: list[int] = []

    async def follow() -> None:
        nonlocal seen
        while len(counted) < 4:
            seen = await world.requests.change_after(seen)
            counted.append(seen)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        live = world.begin()
        await anyio.wait_all_tasks_blocked()
        live.admitted("m:1", "m", "e")
        await anyio.wait_all_tasks_blocked()
        live.piece()
        live.piece()
        live.piece()
        await anyio.wait_all_tasks_blocked()
        live.ended(200)

    assert counted == [1, 2, 3, 4]
