"""Whose the energy of a device is: idle, or of the requests that were at an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.events import DeviceId, InstanceId
from localllm.hardware.energy import Counter, EnergyReading
from localllm.metrics.callers import Caller, caller_of
from localllm.metrics.energy import EnergyMeter, Placed
from localllm.metrics.energy_row import DeviceUse, EnergyRow, ModelUse, Sums
from localllm.metrics.energy_shares import Work, busy_by, decide_shares, union_s
from localllm.metrics.live import Api, Live
from tests.unit.metrics.a_live import NOON, World

CARD = DeviceId("cuda:0")
DAY = "2027-01-15"
IDE = caller_of("an-ide/1.0", None, None)
ON_CARD = Placed(frozenset({CARD}), ready=True)


@dataclass(slots=True)
class Bench:
    """A meter that looks when it is told to, at a card that counts as it is told."""

    world: World = field(default_factory=World)
    places: dict[InstanceId, Placed] = field(
        default_factory=lambda: {InstanceId("m:1"): ON_CARD, InstanceId("big:1"): ON_CARD}
    )
    rows: list[EnergyRow] = field(default_factory=list[EnergyRow])
    joules: float = 1_000.0
    told: bool = True
    meter: EnergyMeter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = EnergyMeter(
            self.world.requests.live,
            lambda: dict(self.places),
            lambda live: live.caller.program_name,
            self.rows.extend,
            clock=self.world.clock,
            wall_clock=lambda: NOON + self.world.clock.now,
        )
        self.world.requests.when_one_ends.append(self.meter.finished)
        self.look(0, 0)

    def look(self, seconds: float, joules: float) -> None:
        """Look again, after so long and so much."""
        self.world.clock.now += seconds
        self.joules += joules
        self.meter.saw(self.reading())

    def reading(self) -> Mapping[DeviceId, EnergyReading]:
        counter = {"card": Counter(self.joules)}
        return {CARD: EnergyReading(counter)} if self.told else {}

    def begin(self, model: str = "m", caller: Caller = IDE, api: Api = Api.CHAT) -> Live:
        live = self.world.begin(api, caller=caller)
        live.admitted(f"{model}:1", model, "xllamacpp")
        return live

    def written(self) -> tuple[list[DeviceUse], dict[tuple[str, str], ModelUse]]:
        self.meter.flush()
        sums = Sums()
        for row in self.rows:
            sums.add(row)
        added = sums.take()
        devices = [row for row in added if isinstance(row, DeviceUse)]
        models = {(r.model, r.client): r for r in added if isinstance(r, ModelUse)}
        return devices, models


def finish(live: Live, prompt: int = 50, cached: int = 20, generated: int = 10) -> None:
    live.used(prompt=prompt, cached=cached, generated=generated)
    live.ended(200)


def test_what_a_card_uses_while_nobody_asks_is_nobodys() -> None:
    bench = Bench()

    bench.look(5, 100)
    bench.look(5, 100)

    [device], models = bench.written()
    assert device == DeviceUse(DAY, CARD, 10.0, 10.0, 0.0, 200.0, 200.0)
    assert models == {}


def test_what_it_uses_above_that_while_a_request_is_at_an_engine_is_the_requests() -> None:
    bench = Bench()
    bench.look(5, 100)
    live = bench.begin()

    bench.look(5, 1_100)
    finish(live)
    bench.look(5, 100)

    [device], models = bench.written()
    assert device.joules == 1_300.0
    assert device.idle_joules == 300.0
    assert models == {("m", "an-ide"): ModelUse(DAY, "m", "an-ide", 1_000.0, 5.0, 50, 20, 10)}


def test_idle_time_within_a_look_is_not_the_requests() -> None:
    bench = Bench()
    bench.look(10, 200)
    bench.world.clock.now += 4
    live = bench.begin()
    bench.world.clock.now += 2
    finish(live)

    bench.look(4, 600)

    [device], models = bench.written()
    assert device.idle_joules == 400.0
    assert (models["m", "an-ide"].joules, models["m", "an-ide"].busy_s) == (400.0, 2.0)


def test_two_models_at_once_share_it_by_their_time_and_clients_of_one_by_theirs() -> None:
    bench = Bench()
    bench.look(10, 0)
    one, two, other = bench.begin("big"), bench.begin("m"), bench.begin("m", bench.begin().caller)
    finish(other)
    bench.world.requests.live()[-1].ended(200)
    bench.world.clock.now += 5
    finish(two)
    bench.world.clock.now += 5
    finish(one)

    bench.look(0, 900)

    _, models = bench.written()
    assert models["big", "an-ide"].joules == pytest.approx(600.0)
    assert models["m", "an-ide"].joules == pytest.approx(300.0)


def test_without_any_idle_time_seen_all_of_the_busy_time_is_the_requests() -> None:
    bench = Bench()
    live = bench.begin()

    bench.look(10, 500)
    finish(live)
    bench.look(10, 0)

    [device], models = bench.written()
    assert (device.idle_joules, models["m", "an-ide"].joules) == (0.0, 500.0)


def test_what_an_earlier_daemon_has_seen_idle_counts_until_this_one_has() -> None:
    bench = Bench()
    bench.meter.idle_w[CARD] = 30.0
    live = bench.begin()

    bench.look(10, 500)
    finish(live)
    bench.look(0.5, 0)

    assert bench.written()[1]["m", "an-ide"].joules == 200.0


def test_a_loading_model_does_not_tell_what_idle_is() -> None:
    bench = Bench()
    bench.places[InstanceId("m:1")] = Placed(frozenset({CARD}), ready=False)
    bench.look(10, 3_000)
    bench.places[InstanceId("m:1")] = ON_CARD
    bench.look(10, 3_000)  # it got ready in between
    bench.look(10, 200)
    live = bench.begin()

    bench.look(10, 1_200)
    finish(live)
    bench.look(10, 0)

    assert bench.written()[1]["m", "an-ide"].joules == 1_000.0


def test_a_card_that_tells_nothing_has_time_and_no_joules_and_tokens_have_no_energy() -> None:
    bench = Bench()
    bench.told = False
    live = bench.begin()

    bench.look(5, 0)
    finish(live)
    bench.look(5, 0)

    devices, models = bench.written()
    assert [use for use in devices if use.told_s] == []
    assert sum(use.loaded_s for use in devices) == 10.0
    assert models == {}


def test_a_request_counts_only_if_its_energy_was_told_all_along() -> None:
    bench = Bench()
    live = bench.begin()
    bench.look(5, 500)
    bench.joules = 0.0  # the driver is loaded again
    bench.look(5, 20)
    finish(live)
    later = bench.begin()
    bench.look(5, 500)
    finish(later, prompt=7, cached=0, generated=1)
    bench.look(5, 0)

    [device], models = bench.written()
    assert (device.loaded_s, device.told_s) == (20.0, 15.0)
    assert models == {("m", "an-ide"): ModelUse(DAY, "m", "an-ide", 500.0, 5.0, 7, 0, 1)}


def test_joules_of_a_model_whose_tokens_are_not_known_raise_no_other_ones_price() -> None:
    bench = Bench()
    half_told = frozenset({CARD, DeviceId("cpu")})
    bench.places[InstanceId("big:1")] = Placed(half_told, ready=True)
    live = bench.begin("big")
    bench.look(5, 9_000)
    finish(live)
    bench.look(5, 0)
    live = bench.begin("m")
    bench.look(5, 100)
    finish(live)
    bench.look(5, 0)

    _, models = bench.written()

    assert [*models] == [("m", "an-ide")]


def test_a_request_counts_whole_on_the_day_on_which_it_began() -> None:
    bench = Bench()
    wall = {"now": 1_800_057_599.0}  # a second before midnight
    bench.meter.wall_clock = lambda: wall["now"]
    bench.look(0.1, 0)
    bench.world.began_at = wall["now"]
    live = bench.begin()
    for _ in range(2):
        wall["now"] += 5
        bench.look(5, 200)
    finish(live)
    wall["now"] += 5
    bench.look(5, 0)

    _, models = bench.written()

    assert models == {("m", "an-ide"): ModelUse(DAY, "m", "an-ide", 400.0, 10.0, 50, 20, 10)}


def test_a_model_on_no_device_that_is_known_has_no_energy() -> None:
    bench = Bench()
    bench.places[InstanceId("m:1")] = Placed(frozenset(), ready=True)
    finish(bench.begin())

    bench.look(5, 100)

    assert bench.written()[1] == {}


def test_nothing_is_remembered_of_requests_that_are_over() -> None:
    bench = Bench()
    for _ in range(3):
        live = bench.begin()
        bench.look(5, 100)
        finish(live)
        bench.look(5, 100)

    assert bench.meter._took == {}


@pytest.mark.parametrize("how", ["remote", "counting"])
def test_what_no_engine_here_has_done_has_no_energy(how: str) -> None:
    bench = Bench()
    api = Api.COUNT_TOKENS if how == "counting" else Api.CHAT
    live = bench.world.begin(api, caller=IDE)
    live.admitted("m:1", "m", "remote" if how == "remote" else "xllamacpp")

    bench.look(5, 500)
    finish(live)
    bench.look(5, 500)

    [device], models = bench.written()
    assert (device.idle_joules, models) == (1_000.0, {})


def test_a_card_without_a_model_is_in_the_total_and_not_in_the_ledger() -> None:
    bench = Bench(places={})
    bench.look(5, 100)
    bench.look(5, 100)

    assert bench.written() == ([], {})
    total = bench.meter.totals()[CARD]
    assert (total.joules, total.at) == (200.0, NOON + 110.0)


def test_energy_of_the_time_in_which_nobody_looked_is_not_the_models() -> None:
    bench = Bench(places={})
    bench.told = False
    bench.look(3600, 0)
    bench.told, bench.places = True, {InstanceId("m:1"): ON_CARD}

    bench.look(5, 90_000)
    bench.look(5, 100)

    [device], _ = bench.written()
    assert (device.loaded_s, device.joules) == (10.0, 100.0)
    assert bench.meter.totals()[CARD].joules == 90_100.0, "a counter counts on"


def test_a_computer_that_slept_begins_anew() -> None:
    bench = Bench()
    wall = {"ahead": 0.0}
    bench.meter.wall_clock = lambda: NOON + bench.world.clock.now + wall["ahead"]
    bench.look(5, 100)
    wall["ahead"] = 3600.0

    bench.look(5, 7_000)
    bench.look(5, 100)

    [device], _ = bench.written()
    assert device.joules == 200.0


def test_it_is_written_once_a_minute_and_at_once_when_a_request_was_measured() -> None:
    bench = Bench()
    bench.look(61, 10)
    first = len(bench.rows)
    bench.look(5, 10)
    idle = len(bench.rows)
    finish(bench.begin())
    bench.look(5, 10)

    assert (first, idle, len(bench.rows)) == (1, 1, 3)


works = st.lists(
    st.builds(
        lambda instance, request, began, took: Work(
            instance, f"{instance}{request}", began, began + took
        ),
        st.sampled_from("ab"),
        st.uuids(),
        st.floats(0, 8),
        st.floats(0.01, 2),
    ),
    max_size=8,
)


@given(joules=st.floats(0, 1e6), works=works, idle_w=st.one_of(st.none(), st.floats(0, 1e3)))
def test_no_joule_is_lost_or_made(joules: float, works: list[Work], idle_w: float | None) -> None:
    shares = decide_shares(joules, works, 10.0, idle_w)

    assert shares.idle + sum(shares.by.values()) == pytest.approx(joules, abs=1e-6)
    assert shares.idle >= 0
    assert all(share >= 0 for share in shares.by.values())


@given(works=works)
def test_the_time_of_all_requests_of_one_instance_is_the_time_that_it_was_at_work(
    works: list[Work],
) -> None:
    mine = [work for work in works if work.instance == "a"]

    assert sum(busy_by(mine).values()) == pytest.approx(union_s(mine))
    assert union_s(mine) <= 10.0 + 1e-9
