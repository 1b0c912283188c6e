"""Where there is an accelerator the model is on it, or `up` says why not; never on the CPU by stealth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from tests.fakes import nvml_stand_in, vulkan_engine
from tests.fakes.installation import Installation, wait_until

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def llama_server() -> Path:
    return vulkan_engine.program()


def with_vulkan(here: Installation, program: Path) -> Installation:
    here.configure(f'llama_server = "{program}"\n')
    return here


def test_llama_server_is_chosen_for_the_card_that_it_lists_and_serves_all_layers_on_it(
    install: Callable[..., Installation], llama_server: Path
) -> None:
    here = with_vulkan(install(**vulkan_engine.ONE_DEVICE), llama_server)
    card = here.json("probe")["devices"][0]
    assert (card["id"], card["kind"]) == ("vulkan:0", "vulkan")
    assert card["source"] == "llama-server's own device list"

    here.ok("up", "--context", "2048", "--parallel", "1", within_s=240)

    model = here.model()
    assert (model["engine"], model["state"]) == ("llama-server", "ready")
    assert model["layers"] == {"on_device": 31, "total": 31}
    assert "llvmpipe" in model["device"]
    assert model["memory"]["measured"] <= model["memory"]["predicted"]
    log = here.ok("logs", "-n", "2000")
    assert "offloaded 31/31 layers to GPU" in log
    assert "Vulkan0 model buffer size" in log


def test_an_engine_that_cannot_use_the_card_that_another_can_is_refused_by_name(
    install: Callable[..., Installation], llama_server: Path
) -> None:
    here = with_vulkan(install(**vulkan_engine.ONE_DEVICE), llama_server)

    ran = here.run("up", "--engine", "xllamacpp")

    assert ran.code == 7, ran
    assert "no engine that is installed can use it" in ran.err
    assert "localllm up --engine llama-server" in ran.err
    assert here.processes() == []


def test_a_card_that_no_engine_reaches_is_refused_with_the_cure(
    install: Callable[..., Installation], llama_server: Path, tmp_path: Path
) -> None:
    nvml = nvml_stand_in.environment(nvml_stand_in.build(tmp_path), "rtx4090")
    here = with_vulkan(install(**nvml), llama_server)  # and its software device hidden

    ran = here.run("up")

    assert ran.code == 7, ran
    assert "NVIDIA GeForce RTX 4090 is here, but no engine that is installed can use it" in ran.err
    assert "take llama_server out of" in ran.err
    assert here.processes() == []


def test_a_software_device_is_no_way_to_use_a_card(
    install: Callable[..., Installation], llama_server: Path, tmp_path: Path
) -> None:
    nvml = nvml_stand_in.environment(nvml_stand_in.build(tmp_path), "rtx4090")
    here = with_vulkan(install(**nvml, **vulkan_engine.ONE_DEVICE), llama_server)

    assert here.run("up").code == 7


def test_allow_cpu_serves_on_the_processor_and_status_shows_it(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    nvml = nvml_stand_in.environment(nvml_stand_in.build(tmp_path), "rtx4090")
    here = install(**nvml)

    here.ok("up", "--allow-cpu")

    model = here.model()
    assert (model["state"], model["device"]) == ("ready", "processor")
    assert model["layers"] == {"on_device": 0, "total": 31}
    assert "processor" in here.ok("status")


def test_plan_shows_the_card_and_that_nothing_reaches_it(
    install: Callable[..., Installation], tmp_path: Path
) -> None:
    nvml = nvml_stand_in.environment(nvml_stand_in.build(tmp_path), "rtx5090")
    plan = install(**nvml).json("plan", "smollm2")

    candidate = plan["candidates"][0]
    assert plan["choice"] is None
    assert candidate["engine"] is None
    assert candidate["placement"][0]["device"] == "cuda:0"
    assert "no engine that is installed can use it" in candidate["reason"]


NARROW = "[plan]\nreserve_mib = 1770\n"
"""Of each device's 1843 MiB: what is left holds half of SmolLM2, so that both are needed."""


def test_on_two_devices_it_is_split_proved_on_both_and_serves_cancels_and_switches(
    install: Callable[..., Installation], llama_server: Path
) -> None:
    here = install(**vulkan_engine.TWO_DEVICES)
    here.configure(f'llama_server = "{llama_server}"\n{NARROW}')

    here.ok("up", "--context", "512", "--parallel", "1", within_s=240)

    model = here.model()
    cards = [part for part in model["placement"] if part["device"].startswith("vulkan")]
    assert len(cards) == 2
    assert sum(part["layers"] for part in cards) == model["layers"]["on_device"] == 31
    for part in model["placement"]:
        assert 0 < part["measured"] <= 1.01 * part["predicted"], part
    assert model["warnings"] == []

    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="none", max_retries=0)
    asked = {"model": model["id"], "messages": [{"role": "user", "content": "Say hi."}]}
    stream = client.chat.completions.create(**asked, max_tokens=400, stream=True)
    next(iter(stream))
    stream.close()
    wait_until(lambda: here.model()["requests"]["active"] == 0, "it is cancelled", within_s=60)

    here.ok("up", "--context", "768", within_s=240)

    assert here.model()["context"] == 768
    answer = client.chat.completions.create(**asked, max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2
