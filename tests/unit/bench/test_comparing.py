"""Two runs beside each other: what is news, and what is noise."""

from __future__ import annotations

import msgspec
import pytest

from localllm.api.bench_views import SpreadView
from localllm.bench.comparing import FLOOR, compare, noise_of
from tests.unit.bench.a_bench import MACHINE, MODEL, point, run, spread


def verdict_of(before: SpreadView, now: SpreadView) -> str:
    compared = compare(run("b", [point(decode=now)]), run("a", [point(decode=before)]))
    return next(one.verdict for one in compared.changes if one.figure == "decode")


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (spread(100.0), spread(88.0), "slower"),
        (spread(100.0), spread(112.0), "faster"),
        (spread(100.0), spread(98.0), "the same"),
        (spread(100.0, off=0.1), spread(88.0, off=0.1), "the same"),
        (spread(100.0, off=0.01), spread(88.0, off=0.01), "slower"),
        (spread(100.0, n=1), spread(50.0), "unknown"),
        (spread(100.0), spread(50.0, n=1), "unknown"),
    ],
)
def test_a_change_is_news_once_it_is_past_the_noise_of_both(
    before: SpreadView, now: SpreadView, verdict: str
) -> None:
    assert verdict_of(before, now) == verdict


def test_noise_never_gets_below_its_floor_and_adds_up() -> None:
    assert noise_of(spread(100.0), spread(100.0)) == FLOOR
    assert noise_of(spread(100.0, off=0.03), spread(50.0, off=0.04)) == pytest.approx(0.1)


def test_only_what_was_measured_alike_is_compared() -> None:
    before = run("a", [point(depth=4096, warm=True), point(prompt=256)])

    assert compare(run("b", [point(), point(depth=4096)]), before).changes == []


def test_a_crowd_is_compared_by_what_all_get_together() -> None:
    crowd = {"concurrency": 4, "prefill": None}
    then, now = point(throughput=spread(100.0), **crowd), point(throughput=spread(80.0), **crowd)

    (change,) = compare(run("b", [now]), run("a", [then])).changes

    assert (change.figure, change.verdict) == ("throughput", "slower")
    assert change.change == pytest.approx(-0.2)


def test_another_model_and_another_machine_are_said_first() -> None:
    model = msgspec.structs.replace(MODEL, id="large", quant="Q8_0")
    card = msgspec.structs.replace(MACHINE.devices[0], name="RTX 4090")
    machine = msgspec.structs.replace(MACHINE, cores=64, devices=[card])

    compared = compare(run("b", model=model, machine=machine), run("a"))

    assert compared.differences[:3] == [
        "another machine: AMD EPYC, 2 cores, linux x86_64, RTX 5090 (32.0 GiB); "
        "now AMD EPYC, 64 cores, linux x86_64, RTX 4090 (32.0 GiB)",
        "another model: small, now large",
        "another quantization: Q4_0, now Q8_0",
    ]


def test_what_else_is_not_as_it_was_is_named() -> None:
    model = msgspec.structs.replace(MODEL, engine_version="b2", context=4096, sha256="1" * 64)
    device = msgspec.structs.replace(MACHINE.devices[0], driver="591.0")
    machine = msgspec.structs.replace(MACHINE, devices=[device])

    compared = compare(run("b", model=model, machine=machine, version="1.1"), run("a"))

    assert compared.differences == [
        "engine version: b1, now b2",
        "context: 8192, now 4096",
        "the model's file is another one",
        "driver of RTX 5090: 590.1, now 591.0",
        "localllm: 1.0, now 1.1",
    ]
    assert compare(run("b"), run("a")).differences == []
