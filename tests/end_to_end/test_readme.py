"""The README shows what the program prints. LOCALLLM_WRITE_README=1 writes it anew."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from localllm.api.status_views import (
    DaemonView,
    InstanceView,
    LayersView,
    RequestsView,
    SavedView,
    SpeedView,
    StatusView,
    UsedMemoryView,
)
from localllm.api.views import PlanRequest, PromptsView
from localllm.catalog.profile import read_profiles
from localllm.cli.bars import Look
from localllm.cli.main import cli
from localllm.cli.render import render_status
from localllm.cli.render_plan import render_plan
from localllm.config.current import read_current
from localllm.engines.base import EngineDevice, Installed
from localllm.events import DeviceId
from localllm.fit.plan import Wish
from localllm.hardware.machine import CPU, Device, DeviceKind, Host, Machine
from localllm.paths import bundled_profiles, paths_for
from localllm.planning.choice import Wanted, choose_engine
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned, budgets_of, plan_model
from localllm.planning.showing import show_plan
from localllm.planning.survey import join
from localllm.planning.views import render_machine
from localllm.store.headers import read_header
from localllm.store.local import find_model
from tests.fakes.installation import ROOT

GIB = 1 << 30
CARD = "NVIDIA GeForce RTX 4090"
HOST = Host(
    "linux", "Debian GNU/Linux 13", "x86_64", "AMD Ryzen 9 9950X", 16, 64 * GIB, 56 * GIB
)  # fmt: skip
MACHINE = Machine(
    HOST,
    (
        Device(
            DeviceId("cuda:0"),
            DeviceKind.CUDA,
            CARD,
            "NVML",
            memory_total=24 * GIB,
            memory_free=23 * GIB,
            memory_usable=23 * GIB,
            bandwidth=1_008_000_000_000,
            uuid="GPU-4090",
        ),
        Device(CPU, DeviceKind.CPU, "AMD Ryzen 9 9950X", "psutil", memory_usable=53 * GIB),
    ),
)
ENGINE = Installed(
    "xllamacpp",
    "2026.10",
    ("xllamacpp",),
    (EngineDevice("CUDA0", DeviceKind.CUDA, CARD),),
)


@pytest.fixture(scope="module")
def planned() -> Planned:
    """The real plan of the real file, for a made-up machine."""
    stored = find_model("smollm2", read_profiles(bundled_profiles()), ROOT, os.environ)
    survey = join(MACHINE, [ENGINE])
    choice = choose_engine(survey, Wanted())
    budgets = budgets_of(choice, MACHINE)
    return plan_model(stored, read_header(stored.file), choice, survey, budgets, Wish())


def plan_lines(home: Path) -> Sequence[str]:
    """The real answer of the catalog alone, for a machine that is not here."""
    environment = {"LOCALLLM_HOME": str(home), "HOME": str(home), "PATH": "/nowhere"}
    paths = paths_for(environment)
    desk = Desk(
        read_current(paths.config_file, environment), paths, environment, bundled_profiles()
    )
    view = show_plan(desk, PlanRequest(model="qwen3.6-27b", hardware="rtx4090", offline=True))
    return render_plan(view, width=110, look=Look(color=False))


def status_lines(planned: Planned) -> Sequence[str]:
    plan = planned.plan
    daemon = DaemonView(
        version="0.1.0", pid=4711, uptime=7384.0, endpoint="http://127.0.0.1:11711/v1", log=""
    )
    model = InstanceView(
        id=planned.stored.id,
        instance=planned.instance,
        state="ready",
        wanted=True,
        why="warmed",
        engine="xllamacpp",
        device=CARD,
        quant="Q4_1",
        context=plan.context,
        parallel=plan.parallel,
        pid=4712,
        layers=LayersView(on_device=plan.layers, total=plan.layers),
        memory=UsedMemoryView(
            predicted=plan.memory.total,
            measured=plan.memory.total - plan.memory.overhead,
            resident=None,
        ),
        speed=SpeedView(predicted_tps=plan.decode_tps, measured_tps=540.0, prefill_tps=21_000.0),
        requests=RequestsView(active=2, waiting=0, total=131),
        prompts=PromptsView(kept="saved", why=None),
        kv_used=None,
        error=None,
    )
    return render_status(
        StatusView(
            daemon=daemon,
            hardware=render_machine(MACHINE),
            saved=SavedView(seconds=724.0, tokens=1_204_000, day="2026-11-29"),
            models=[model],
        )
    )


def expect_picture(name: str, command: str, lines: Sequence[str]) -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    picture = "\n".join([f"$ {command}", *lines])
    block = re.compile(rf"(<!-- {name}: .*? -->\n```\n).*?(```\n<!-- end -->)", re.DOTALL)
    expected = block.sub(lambda m: f"{m[1]}{picture}\n{m[2]}", text)
    if os.environ.get("LOCALLLM_WRITE_README"):
        readme.write_text(expected)

    assert block.search(text), "the README has a place for it"
    assert readme.read_text() == expected


def test_the_picture_of_a_plan_is_what_the_program_prints(tmp_path: Path) -> None:
    command = "localllm plan qwen3.6-27b --for rtx4090 --offline"

    expect_picture("plan", command, plan_lines(tmp_path))


def test_the_picture_of_the_status_is_what_the_program_prints(planned: Planned) -> None:
    expect_picture("status", "localllm status", status_lines(planned))


def test_every_verb_is_explained() -> None:
    readme = (ROOT / "README.md").read_text()

    for verb in cli.list_commands(None):  # type: ignore[arg-type]
        assert re.search(rf"`{verb}\b", readme), verb
