"""What a person sees of a document, line by line."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from localllm.api.status_views import (
    DaemonView,
    ErrorView,
    InstanceView,
    LayersView,
    RequestsView,
    SavedView,
    SpeedView,
    StatusView,
    UsedMemoryView,
)
from localllm.api.views import DeviceView, HolderView, HostView, ProbeView, PromptsView
from localllm.cli.render import render_probe, render_status

MIB, GIB = 1 << 20, 1 << 30


def a_host(**more: Any) -> HostView:
    plain: dict[str, Any] = {
        "os": "linux",
        "os_version": "6.1",
        "arch": "x86_64",
        "cpu": "AMD EPYC",
        "cores": 8,
        "memory_total": 64 * GIB,
        "memory_available": 60 * GIB,
        "wsl": False,
        "sources": {},
    }
    return HostView(**{**plain, **more})


def a_device(**more: Any) -> DeviceView:
    unknown = dict.fromkeys(DeviceView.__struct_fields__)
    plain: dict[str, Any] = {
        "id": "cpu",
        "kind": "cpu",
        "name": "AMD EPYC",
        "memory_total": 64 * GIB,
        "memory_free": 60 * GIB,
        "memory_usable": 57 * GIB,
        "unified": False,
        "source": "psutil",
        "sources": {},
    }
    return DeviceView(**{**unknown, **plain, **more})


CPU = a_device()
CARD = a_device(
    id="cuda:0",
    kind="cuda",
    name="NVIDIA GeForce RTX 4090",
    memory_total=24 * GIB,
    memory_free=20 * GIB,
    memory_usable=19 * GIB,
    bandwidth=1_008_000_000_000,
    driver="580.1",
    cuda_version="13.0",
    compute_capability="8.9",
    uuid="GPU-1",
    pci_bus="01:00.0",
    power_limit_w=450.0,
    held_by_others=[HolderView(pid=7, name="Xorg", bytes=GIB)],
    source="NVML",
)
MACHINE = ProbeView(host=a_host(), devices=[CARD, CPU], warnings=["The fan is loud."])


def a_model(**more: Any) -> InstanceView:
    plain: dict[str, Any] = {
        "id": "smollm2",
        "instance": "smollm2:q4_1:8192",
        "state": "ready",
        "wanted": True,
        "why": "warm",
        "engine": "xllamacpp",
        "device": "NVIDIA GeForce RTX 4090",
        "quant": "Q4_1",
        "context": 8192,
        "parallel": 4,
        "pid": 12,
        "layers": LayersView(on_device=31, total=31),
        "memory": UsedMemoryView(predicted=2 * GIB, measured=int(1.5 * GIB), resident=None),
        "speed": SpeedView(predicted_tps=80, measured_tps=75.6, prefill_tps=None),
        "requests": RequestsView(active=1, waiting=2, total=30),
        "kv_used": None,
        "error": None,
    }
    return InstanceView(**{**plain, **more})


def a_status(*models: InstanceView, uptime: float = 5) -> StatusView:
    daemon = DaemonView(version="1.0", pid=3, uptime=uptime, endpoint="http://h:1", log="/log")
    return StatusView(daemon=daemon, hardware=MACHINE, models=list(models))


A_MACHINE = """\
AMD EPYC, 8 cores, linux 6.1 x86_64

device  name                     total     free      usable    bandwidth  source
cuda:0  NVIDIA GeForce RTX 4090  24.0 GiB  20.0 GiB  19.0 GiB  1008 GB/s  NVML
cpu     AMD EPYC                 64.0 GiB  60.0 GiB  57.0 GiB  -          psutil
  cuda:0: driver 580.1, CUDA 13.0, compute 8.9, GPU-1, PCI 01:00.0, 450 W, 1.0 GiB held by 1 other process
warning: The fan is loud."""


def test_a_machine_is_a_line_a_device_then_what_else_is_known_then_the_warnings() -> None:
    shown = "\n".join(render_probe(MACHINE))

    assert shown == A_MACHINE


def test_what_is_not_known_of_a_machine_is_left_out_or_a_dash() -> None:
    bare = a_device(memory_total=None, memory_free=None, memory_usable=None)
    host = a_host(os_version=None, cpu=None, wsl=True)

    lines = render_probe(ProbeView(host=host, devices=[bare], warnings=[]))

    assert lines == [
        "processor, 8 cores, linux x86_64, WSL2",
        "",
        "device  name      total  free  usable  bandwidth  source",
        "cpu     AMD EPYC  -      -     -       -          psutil",
    ]


A_STATUS = """\
localllm 1.0, pid 3, up 5 s, http://h:1

model    state  engine     device                   layers  context  memory   speed     requests
smollm2  ready  xllamacpp  NVIDIA GeForce RTX 4090   31/31     8192  1.5 GiB  76 tok/s  1 active, 2 waiting, 30 done"""


def test_the_status_of_a_served_model_is_what_it_uses_and_does() -> None:
    shown = "\n".join(render_status(a_status(a_model())))

    assert shown == A_STATUS


def test_a_model_that_is_not_measured_yet_shows_its_plan_and_the_processor_its_name() -> None:
    starting = a_model(
        state="starting",
        layers=LayersView(on_device=0, total=31),
        memory=UsedMemoryView(predicted=2 * GIB, measured=None, resident=None),
        speed=SpeedView(predicted_tps=80, measured_tps=None, prefill_tps=None),
    )

    line = render_status(a_status(starting))[3]

    assert line == (
        "smollm2  starting  xllamacpp  processor    0/31     8192  2.0 GiB planned  -"
        "      1 active, 2 waiting, 30 done"
    )


def test_a_broken_model_ends_with_its_reason_and_the_engines_last_words() -> None:
    error = ErrorView(reason="it ran out of memory", log=["ggml: failed", "abort"])

    lines = render_status(a_status(a_model(state="failed", error=error)))

    assert lines[4:] == [
        "",
        "smollm2 failed: it ran out of memory",
        "  | ggml: failed",
        "  | abort",
    ]


@pytest.mark.parametrize(
    ("uptime", "text"),
    [(0.9, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")],
)
def test_a_daemon_that_serves_nothing_says_how_long_it_is_up_and_what_to_do(
    uptime: float, text: str
) -> None:
    assert render_status(a_status(uptime=uptime)) == [
        f"localllm 1.0, pid 3, up {text}, http://h:1",
        "",
        "no model is served; localllm up starts one",
    ]


@pytest.mark.parametrize(
    ("seconds", "tokens", "said"),
    [
        (724.6, 1_234_567, "saved 12 min 4 s today (UTC): 1.2 million tokens were not read again"),
        (0.4, 900, "saved less than a second today (UTC): 900 tokens were not read again"),
        (1.0, 1, "saved 1 s today (UTC): 1 token was not read again"),
    ],
)
def test_what_warm_prompts_have_saved_today_is_said_before_the_models(
    seconds: float, tokens: int, said: str
) -> None:
    saved = SavedView(seconds=seconds, tokens=tokens, day="2027-01-15")

    lines = render_status(replace(a_status(a_model()), saved=saved))

    assert lines[1:3] == [f"prompts kept warm {said}", ""]


def test_seconds_that_nobody_can_tell_are_not_told() -> None:
    saved = SavedView(seconds=None, tokens=12_345, day="2027-01-15")

    lines = render_status(replace(a_status(a_model()), saved=saved))

    assert lines[1] == "prompts kept warm: 12,345 tokens were not read again today (UTC)"


def test_where_nothing_was_saved_nothing_is_said_of_it() -> None:
    saved = SavedView(seconds=0.0, tokens=0, day="2027-01-15")

    assert "\n".join(render_status(replace(a_status(a_model()), saved=saved))) == A_STATUS


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (PromptsView(kept="saved", why=None), "kept on disk"),
        (
            PromptsView(kept="replayed", why="mlx saves nothing"),
            "read again in idle time, since mlx saves nothing",
        ),
        (PromptsView(kept="not", why="it is off"), "kept in memory alone, since it is off"),
    ],
)
def test_each_model_says_how_its_prompts_are_kept(prompts: PromptsView, said: str) -> None:
    lines = render_status(a_status(a_model(prompts=prompts)))

    assert lines[4:] == [f"smollm2: prompts are {said}"]
