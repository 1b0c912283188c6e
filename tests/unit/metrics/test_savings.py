"""What the cache has spared: never more than it has, and nothing where nobody knows how fast one reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localllm.metrics.live import Api, Live
from localllm.metrics.savings import NOTHING, Pace, Savings, Spared, day_of
from tests.unit.metrics.a_live import NOON, World

TODAY, DAY_S = day_of(NOON), 86_400.0


def unknown(_instance: str) -> float | None:
    return None


class Counted(World):
    """Requests that are told to savings as they end."""

    def __init__(self, prefill_tps: Callable[[str], float | None] = unknown) -> None:
        super().__init__()
        self.savings = Savings(prefill_tps)

    def asked(
        self, *, cached: int | None = 0, read: int = 0, took_s: float | None = 1.0, **more: str
    ) -> Spared | None:
        """Answer a request of which so much was cached, and so much was read in that time."""
        live = self.begin(Api(more.get("api", "chat")))
        live.admitted("m:1", "m", more.get("engine", "xllamacpp"))
        if took_s is not None:
            self.clock.now += took_s
            live.piece()
        live.used(prompt=(cached or 0) + read, cached=cached, generated=1)
        live.ended(200)
        return self.savings.finished(live)

    @property
    def today(self) -> Spared:
        return self.savings.on(TODAY)


def test_cached_tokens_save_what_reading_took_of_this_instance() -> None:
    world = Counted()
    world.asked(read=1000, took_s=10.0)

    spared = world.asked(cached=1000, read=10, took_s=0.3)

    assert spared == Spared(1000, pytest.approx(10.0))
    assert world.today == spared


def test_what_the_engine_says_that_reading_took_goes_before_what_we_see() -> None:
    world = Counted()
    live = world.begin(Api.CHAT)
    live.admitted("m:1", "m", "xllamacpp")
    live.read_s = 2.0
    live.used(prompt=1000, cached=0, generated=1)
    live.ended(200)
    world.savings.finished(live)

    assert world.asked(cached=1000) == Spared(1000, pytest.approx(2.0)), "it was not streamed"


def test_before_anything_was_measured_tokens_are_counted_and_seconds_are_not() -> None:
    world = Counted()

    spared = world.asked(cached=1000, read=63, took_s=5.0)

    assert spared == Spared(1000, None), "63 tokens tell little of how fast it reads"
    assert world.today == Spared(1000, None)


def test_until_requests_tell_the_start_or_the_plan_does() -> None:
    world = Counted({"m:1": 500.0}.get)

    assert world.asked(cached=1000, read=5) == Spared(1000, 2.0)


@pytest.mark.parametrize(
    ("read", "took_s"),
    [(100, 5.0), (9000, 900.0)],
    ids=["a short read's fixed cost", "a deep read's attention"],
)
def test_of_the_sizes_that_were_read_the_quickest_is_believed(read: int, took_s: float) -> None:
    world = Counted()
    world.asked(read=1000, took_s=10.0)
    world.asked(read=read, took_s=took_s)

    spared = world.asked(cached=1000)

    assert spared == Spared(1000, pytest.approx(10.0))


def test_one_read_that_looks_quick_by_accident_does_not_count() -> None:
    world = Counted()
    for took_s in (10.0, 11.0, 0.001, 10.5, 12.0):
        world.asked(read=1000, took_s=took_s)

    spared = world.asked(cached=1000)

    assert spared == Spared(1000, pytest.approx(10.5))


def test_a_machine_that_has_become_slower_is_believed_after_a_while() -> None:
    pace = Pace()
    for _ in range(50):
        pace.saw(1000, 1.0)

    for _ in range(5):
        pace.saw(1000, 3.0)

    assert pace.token_s() == pytest.approx(0.003)


@pytest.mark.parametrize(
    "told",
    [
        {"cached": 0},
        {"cached": None},
        {"cached": 500, "engine": "remote"},
        {"cached": 500, "api": "count_tokens"},
    ],
    ids=["nothing cached", "an engine that does not tell", "another's cache", "no answer at all"],
)
def test_nothing_is_spared_where_no_cache_of_ours_did_it(told: dict[str, object]) -> None:
    world = Counted(lambda _: 100.0)

    spared = world.asked(**{"read": 1000, **told})  # type: ignore[arg-type]

    assert spared is None
    assert world.today == NOTHING


def test_a_request_that_no_instance_got_spares_nothing() -> None:
    world = Counted()
    live = world.begin()
    live.ended(429, "queue_full")

    assert world.savings.finished(live) is None


def test_an_answer_in_one_piece_tells_nothing_of_the_speed_and_is_spared_all_the_same() -> None:
    world = Counted()
    world.asked(read=1000, took_s=None)
    assert world.asked(cached=10) == Spared(10, None)

    world.asked(read=1000, took_s=10.0)

    assert world.asked(cached=1000, took_s=None) == Spared(1000, pytest.approx(10.0))


def test_a_day_ends_at_midnight_in_utc_and_what_began_before_is_yesterdays() -> None:
    world = Counted(lambda _: 100.0)
    world.asked(cached=100)
    yesterday = _begun(world)

    world.began_at += DAY_S
    world.asked(cached=300)
    yesterday.used(prompt=1000, cached=1000)
    yesterday.ended(200)
    late = world.savings.finished(yesterday)

    assert late == Spared(1000, 10.0), "the ledger gets it"
    assert world.savings.on(TODAY) == Spared(1100, 11.0)
    assert world.savings.on(day_of(NOON + DAY_S)) == Spared(300, 3.0)


def test_a_clock_that_was_years_ahead_and_was_set_costs_no_day() -> None:
    world = Counted(lambda _: 100.0)
    world.began_at += 3650 * DAY_S
    world.asked(cached=300)

    world.began_at = NOON
    world.asked(cached=100)

    assert world.savings.on(TODAY) == Spared(100, 1.0)


def _begun(world: World) -> Live:
    live = world.begin()
    live.admitted("m:1", "m", "xllamacpp")
    return live


def test_what_an_earlier_daemon_counted_today_is_gone_on_from() -> None:
    world = Counted(lambda _: 100.0)
    world.savings.resume(TODAY, Spared(1000, 20.0))

    world.asked(cached=100)

    assert world.today == Spared(1100, 21.0)


def test_instances_are_bounded_and_each_has_its_own_pace() -> None:
    world = Counted()
    for number in range(150):
        live = world.begin()
        live.admitted(f"m:{number}", "m", "xllamacpp")
        world.clock.now += 1.0 + number
        live.piece()
        live.used(prompt=100, cached=0)
        live.ended(200)
        world.savings.finished(live)

    assert len(world.savings._paces) == 100
    assert world.savings._paces["m:149", "xllamacpp"].token_s() == pytest.approx(1.5)
