"""Engines and builds as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.api.engine_views import (
    BenchedView,
    BenchView,
    BuildView,
    ComparisonView,
    EngineDeviceView,
    EnginesView,
    EngineView,
    LeftOutView,
)
from localllm.cli.render_engines import render_bench, render_engines, render_round
from localllm.engines.bench import Pace


def a_device(name: str) -> EngineDeviceView:
    return EngineDeviceView(
        name=name, kind="cuda", description="a card", memory_total=None, memory_free=None
    )


def an_engine(name: str, *devices: str, **more: Any) -> EngineView:
    plain: dict[str, Any] = {
        "version": "1.0",
        "available": True,
        "origin": f"/opt/{name}",
        "formats": ["gguf"],
        "abilities": ["chat"],
        "at_once": None,
        "bench": None,
        "hint": None,
        "reason": None,
    }
    seen = [a_device(device) for device in devices]
    return EngineView(name=name, devices=seen, **{**plain, **more})


def a_build(id_: str, **more: Any) -> BuildView:
    plain: dict[str, Any] = {
        "title": "a build",
        "engine": "llama-server",
        "version": "b1",
        "drives": "cuda",
        "installed": False,
        "in_use": False,
        "rollback": False,
        "why_not": None,
        "download": 700 << 20,
        "files": [],
        "hosts": ["github.com"],
        "licence": "MIT",
        "proved_on": None,
    }
    return BuildView(id=id_, **{**plain, **more})


def drawn(*engines: EngineView, builds: tuple[BuildView, ...] = ()) -> list[str]:
    return render_engines(EnginesView(engines=list(engines), builds=list(builds)))


def test_engines_and_builds_are_two_tables() -> None:
    bench = BenchView(model="small", device="CUDA0", prefill_tps=900.0, decode_tps=75.6)

    lines = drawn(
        an_engine("xllamacpp", origin=None),
        an_engine("llama-server", "CUDA0", "CUDA1", bench=bench, origin="a build"),
        an_engine("mlx", formats=["gguf", "mlx"], at_once=32, version=None, origin=None),
        builds=(a_build("cuda", in_use=True, installed=True, proved_on="a card"), a_build("cpu")),
    )

    assert lines == [
        "engine        version  serves     devices       at once  bench",
        "xllamacpp         1.0  gguf       processor     many     -",
        "llama-server      1.0  gguf       CUDA0, CUDA1  many     76 tok/s",
        "mlx           -        gguf, mlx  processor          32  -",
        "  llama-server: a build",
        "",
        "build  drives  download  state",
        "cuda   cuda     700 MiB  in use, proved on a card",
        "cpu    cuda     700 MiB  can be installed",
    ]


def test_an_engine_that_is_not_usable_has_its_reason_in_place_of_devices() -> None:
    missing = an_engine("vllm", available=False, version=None, reason="there is no vllm on PATH")

    lines = drawn(missing)

    assert lines[1].split() == ["vllm", "-", "gguf", "-", "-", "-"]
    assert lines[2] == "  vllm: not usable, there is no vllm on PATH"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"origin": None}, None),
        ({}, "/opt/one"),
        ({"at_once": 1}, "/opt/one; one request at a time, the others wait"),
        ({"at_once": 4}, "/opt/one"),
        ({"hint": "libcuda.so.1 is missing"}, "/opt/one; libcuda.so.1 is missing"),
        ({"origin": None, "hint": "no driver"}, "no driver"),
    ],
)
def test_what_is_to_be_known_of_an_engine_is_below_the_table(
    more: dict[str, Any], said: str | None
) -> None:
    lines = drawn(an_engine("one", **more))

    assert [line for line in lines if line.startswith("  ")] == (
        [] if said is None else [f"  one: {said}"]
    )


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "can be installed"),
        ({"why_not": "it needs a newer driver"}, "not for here: it needs a newer driver"),
        ({"installed": True}, "installed"),
        ({"installed": True, "rollback": True}, "installed, in use before"),
        ({"installed": True, "in_use": True}, "in use, proved on the processor"),
        ({"installed": True, "in_use": True, "proved_on": "a card"}, "in use, proved on a card"),
    ],
)
def test_a_build_is_in_one_state(more: dict[str, Any], state: str) -> None:
    assert drawn(builds=(a_build("one", **more),))[-1] == f"one    cuda     700 MiB  {state}"


def test_where_there_are_no_builds_it_is_said() -> None:
    assert drawn(an_engine("one"))[-2:] == ["", "no build is known for this system"]


def test_a_round_is_a_line() -> None:
    assert render_round("mlx", Pace(1234.5, 56.78)) == "mlx: reads 1234, writes 56.8 tok/s"
    assert render_round("mlx", "it ended") == "mlx: it ended"


def test_a_comparison_is_beside_the_quickest() -> None:
    one = BenchedView(
        engine="xllamacpp", version="1.0", device="CUDA0", prefill_tps=900.0, decode_tps=80.0
    )
    two = BenchedView(
        engine="mlx", version=None, device="processor", prefill_tps=90.4, decode_tps=20.04
    )
    left = LeftOutView(engine="vllm", why="it is not installed")

    assert render_bench(ComparisonView(model="small", benched=[one, two], left_out=[left])) == [
        "small",
        "",
        "engine     version  device     reads      writes      of the best",
        "xllamacpp      1.0  CUDA0      900 tok/s  80.0 tok/s  100%",
        "mlx        -        processor   90 tok/s  20.0 tok/s  25%",
        "left out: vllm, it is not installed",
    ]
