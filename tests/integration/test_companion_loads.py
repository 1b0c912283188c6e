"""What goes with a model, planned and then loaded for real: the engine's log against the plan."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engines.base import Endpoint, Engine, Installed, Task
from localllm.engines.llama_server import LlamaServer
from localllm.engines.load_log import LoadReport, misplaced, parse_load_log
from localllm.engines.xllamacpp import Xllamacpp
from localllm.fit.plan import Memory, Wish
from localllm.planning.choice import Choice
from localllm.planning.companions import Companions, read_companions
from localllm.planning.ledger import in_the_log
from localllm.planning.planner import Planned, budgets_of, plan_model, serving_of
from localllm.planning.survey import Survey, join
from localllm.planning.tasks import for_texts
from localllm.store.headers import read_header
from localllm.store.stored import StoredModel
from localllm.user_profiles import Lora, UserProfile
from tests.fakes import vulkan_engine
from tests.fakes.a_delta_net import write_delta_net
from tests.fakes.an_adapter import write_adapter
from tests.smollm2 import smollm2
from tests.unit.planning.a_machine import a_machine

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(120)]

LOADED = "load_model: initializing"
"""Printed when the model and its draft are loaded; what follows takes a software device long."""

WISH = Wish(context=2048, parallel=2)
LOGITS_BYTES = 2 * 3 * 4 * 49_152
"""Of 3 guesses of 2 slots: taken at the first answer, so in no log of a load."""


def on_processor() -> tuple[Engine, Survey, Choice]:
    engine = Xllamacpp(os.environ)
    survey = join(a_machine(), [engine.find()])
    return engine, survey, Choice(survey.engines[0])


def on_devices(count: int) -> tuple[Engine, Survey, Choice]:
    environment = {**os.environ, "GGML_VK_VISIBLE_DEVICES": ",".join("0" * count)}
    engine = LlamaServer(str(vulkan_engine.program()), environment)
    survey = join(a_machine(), [engine.find()])
    reach = survey.reach[engine.name]
    devices = tuple(survey.machine.device(device) for device in reach)
    return engine, survey, Choice(survey.engines[0], devices, tuple(reach.values()))


def planned_with(
    companions: Companions,
    place: tuple[Engine, Survey, Choice],
    file: Path,
    wish: Wish = WISH,
    *,
    device_bytes: int | None = None,
) -> Planned:
    _, survey, choice = place
    header = read_header(file)
    companions.check(header)
    stored = StoredModel("m", file, file.stat().st_size, None)
    budgets = budgets_of(choice, survey.machine)
    if device_bytes is not None:
        budgets = [b if b.is_host else replace(b, usable_bytes=device_bytes) for b in budgets]
    planned = plan_model(stored, header, choice, survey, budgets, companions.over(wish))
    task = Task.EMBED if wish.embeds else Task.WRITE
    return replace(planned, threads=2, task=task, companions=companions)


def loaded(planned: Planned, engine: Engine, found: Installed, folder: Path) -> LoadReport:
    """Start the engine, and kill it as soon as everything is allocated."""
    serving = serving_of(planned, silence_s=60.0)
    spec = engine.launch(found, serving, Endpoint(socket=folder / "e.sock"))
    devices = {"GGML_VK_VISIBLE_DEVICES": ",".join("0" * len(serving.devices))}
    lines: list[str] = []
    with subprocess.Popen(
        spec.argv,
        env={**os.environ, **spec.env, **devices},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            lines.append(line)
            if LOADED in line:
                child.send_signal(signal.SIGKILL)
                break
    report = parse_load_log("".join(lines))
    assert misplaced(report, serving) is None, "".join(lines[-20:])
    return report


def profile_of(companion: str, folder: Path) -> UserProfile:
    match companion:
        case "draft":
            return UserProfile(draft="smol")
        case "adapters":
            first = write_adapter(folder / "a.gguf", rank=16)
            second = write_adapter(folder / "b.gguf", rank=8, parts=("ffn_down",))
            return UserProfile(lora=(Lora(str(first), 0.5), Lora(str(second))))
        case _:
            return UserProfile(pooling="mean")


def read(profile: UserProfile) -> Companions:
    stored = StoredModel("smol", smollm2(), smollm2().stat().st_size, None)
    return read_companions(profile, lambda _: stored)


@pytest.mark.parametrize("companion", ["draft", "adapters", "texts"])
def test_on_the_processor_the_log_is_the_plan_to_one_percent(
    companion: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = on_processor()
    companions = read(profile_of(companion, tmp_path))
    wish = for_texts(WISH, read_header(smollm2()), "mean") if companion == "texts" else WISH

    planned = planned_with(companions, place, smollm2(), wish)
    report = loaded(planned, place[0], place[2].installed, tmp_path_factory.mktemp("s"))

    predicted = in_the_log(planned.plan.memory)
    assert 0.999 * report.total_bytes <= predicted <= 1.0125 * report.total_bytes


@pytest.mark.parametrize("companion", ["draft", "adapters"])
def test_on_a_device_what_goes_with_the_model_is_where_the_plan_has_it(
    companion: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = on_devices(1)
    companions = read(profile_of(companion, tmp_path))

    planned = planned_with(companions, place, smollm2())
    report = loaded(planned, place[0], place[2].installed, tmp_path_factory.mktemp("s"))

    device, host = (in_the_log(p.memory) for p in planned.plan.placement)
    on_device = sum(b.size_bytes for b in report.buffers if not b.on_host)
    assert on_device <= device <= 1.03 * on_device  # of which 2.4 % are this old build's
    assert report.total_bytes - on_device <= host + 1024


def test_of_a_model_over_two_devices_the_draft_is_on_the_first(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    place = on_devices(2)
    wish = Wish(context=4096, parallel=2, kv_type="f16")

    planned = planned_with(
        read(UserProfile(draft="smol")), place, smollm2(), wish, device_bytes=360 << 20
    )
    report = loaded(planned, place[0], place[2].installed, tmp_path_factory.mktemp("s"))

    assert len(planned.used) == 2

    for placed, name in zip(planned.plan.placement, ("Vulkan0", "Vulkan1"), strict=False):
        real = sum(b.size_bytes for b in report.buffers if b.where == name and not b.on_host)
        assert real <= in_the_log(placed.memory) * 1.01


@pytest.mark.parametrize(("slots", "guesses"), [(1, 1), (4, 3)])
def test_heads_of_a_delta_net_never_take_more_than_planned(
    slots: int, guesses: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place, file = on_processor(), write_delta_net(tmp_path / "net.gguf")
    companions = read(UserProfile(draft="mtp", draft_tokens=guesses))

    planned = planned_with(companions, place, file, Wish(context=2048, parallel=slots))
    report = loaded(planned, place[0], place[2].installed, tmp_path_factory.mktemp("s"))

    predicted = in_the_log(planned.plan.memory)
    assert report.total_bytes <= predicted <= 1.05 * report.total_bytes
    states = sum(b.size_bytes for b in report.buffers if b.use == "RS")
    assert planned.plan.memory.recurrent_state == pytest.approx(states, abs=10_486)


def test_what_is_planned_for_guesses_beside_the_log_is_their_logits() -> None:
    place = on_processor()

    alone = planned_with(Companions(), place, smollm2()).plan.memory
    drafted = planned_with(read(UserProfile(draft="smol")), place, smollm2()).plan.memory

    assert drafted == Memory(
        **{f: getattr(alone, f) for f in alone.__slots__ if f != "draft"},
        draft=alone.total + LOGITS_BYTES,
    )
