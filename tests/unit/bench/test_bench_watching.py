"""Who else was there, and what makes figures differ from another day's."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.api.now_views import DeviceNowView, NowView
from localllm.api.request_views import RequestsListView, RequestView
from localllm.api.status_views import SavedView
from localllm.bench.watching import (
    Conditions,
    device_memory_bytes,
    energy_between,
    foreign,
    noise,
)
from tests.fakes.scene_parts import AT, a_daemon, a_device, a_probe, a_pull, a_request, over

OURS = {"req_ours"}
QUIET = Conditions(busy=0.01, on_battery=False)


def card(**more: Any) -> DeviceNowView:
    return a_device(a_probe("rtx5090"), "cuda:0", **more)


def requests(*live: RequestView, recent: tuple[RequestView, ...] = ()) -> RequestsListView:
    return RequestsListView(live=[*live], recent=[*recent], changes=1)


def look(*devices: DeviceNowView, **more: Any) -> NowView:
    given: dict[str, Any] = {
        "at": AT,
        "daemon": a_daemon(),
        "host": "a computer",
        "devices": [*devices],
        "models": [],
        "requests": requests(),
        "pulls": [],
        "warnings": [],
        "saved": SavedView(seconds=None, tokens=0, day="2026-11-29"),
        **more,
    }
    return NowView(**given)


@pytest.mark.parametrize(
    ("seen", "is_met"),
    [
        (requests(a_request(began_at=5.0)), True),
        (requests(a_request(began_at=25.0)), False),
        (requests(recent=(over(1, began_at=5.0, elapsed=10.0),)), True),
        (requests(recent=(over(1, began_at=5.0, elapsed=1.0),)), False),
        (requests(recent=(over(1, began_at=25.0, elapsed=1.0),)), False),
        (requests(a_request(began_at=5.0, id="req_ours", client="localllm-bench/1.0")), False),
        (requests(a_request(began_at=5.0, api="count_tokens")), False),
        (requests(a_request(began_at=5.0, client="localllm-bench/1.0")), True),
    ],
)
def test_others_are_met_while_their_requests_overlap_ours(
    seen: RequestsListView, *, is_met: bool
) -> None:
    assert bool(foreign(seen, OURS, 10.0, 20.0)) == is_met


def test_energy_is_that_of_all_devices_for_the_time_in_question() -> None:
    before = look(card(energy=100.0, energy_at=10.0))
    after = look(card(energy=500.0, energy_at=20.0))

    assert energy_between(before, after, 5.0) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (card(), card()),
        (card(energy=1.0, energy_at=10.0), card(energy=9.0, energy_at=11.0)),
    ],
)
def test_energy_that_nobody_tells_or_that_is_read_too_seldom_is_unknown(
    before: DeviceNowView, after: DeviceNowView
) -> None:
    assert energy_between(look(before), look(after), 5.0) is None


def test_memory_in_use_is_that_of_accelerators_alone() -> None:
    host = a_device(a_probe("rtx5090"), "cpu", memory_total=100, memory_free=1)

    two = look(host, card(memory_total=100, memory_free=30), card(memory_total=50, memory_free=50))

    assert device_memory_bytes(two) == 70
    assert device_memory_bytes(look(host, card(memory_free=None))) is None


def test_a_quiet_machine_has_no_notes() -> None:
    assert noise(QUIET, [look(card())] * 2) == []


def test_what_disturbs_is_said_once() -> None:
    hot = look(card(throttled="too hot"), pulls=[a_pull(state="fetching")])
    conditions = Conditions(busy=0.5, on_battery=True)

    notes = noise(conditions, [hot, hot])

    assert [note.split(":")[0] for note in notes] == [
        "the computer runs on its battery, which slows most of them down",
        "other programs used 50% of the processor before it began",
        "NVIDIA GeForce RTX 5090 was slowed down",
        "1 download went on meanwhile",
    ]


def test_what_nobody_tells_of_the_host_is_no_note() -> None:
    assert noise(Conditions(busy=None, on_battery=False), []) == []
