"""A model that is not on disk is fetched by `up`: beside an engine, after Ctrl-C, in the foreground."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from localllm.api.pull_views import PullRequest, ThenView
from localllm.api.sync_client import require_daemon
from tests.fakes import nvml_stand_in
from tests.fakes.engine_pins import serve_build
from tests.fakes.hub import FakeHub, serving
from tests.fakes.installation import Installation, wait_until
from tests.fakes.release_server import Outside, an_outside
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(180)]
REPO = "me/SmolLM2-GGUF"
MODEL = f"hf:{REPO}:Q4_1"
FILE = f"{REPO}/{smollm2().name}"
MIB = 1 << 20


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "hub") as served:
        (served.add(REPO).folder / smollm2().name).symlink_to(smollm2())
        yield served


@pytest.fixture
def outside() -> Iterator[Outside]:
    with an_outside() as served:
        yield served


@pytest.fixture
def here(install: Callable[..., Installation], hub: FakeHub, tmp_path: Path) -> Installation:
    return install(HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "hf"))


def test_up_fetches_and_serves_and_the_next_up_fetches_nothing(
    here: Installation, hub: FakeHub
) -> None:
    first = here.run("up", MODEL, "--yes", "--context", "512")
    assert first.code == 0, first
    sent = hub.sent_bytes
    here.ok("down")

    again = here.run("up", MODEL, "--context", "512")

    assert again.code == 0, again
    assert here.model()["quant"] == "Q4_1"
    assert hub.sent_bytes == sent
    assert "fetch" not in again.err


def test_ctrl_c_in_up_keeps_what_has_come_and_the_same_command_goes_on(
    here: Installation, hub: FakeHub
) -> None:
    size = smollm2().stat().st_size
    hub.bytes_per_s = 10.0 * MIB
    with here.start("up", MODEL, "--yes", "--context", "512") as process:
        wait_until(lambda: hub.sent_of[FILE] > size / 4, "a part has come")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert here.processes() == []
    hub.bytes_per_s = None

    again = here.run("up", MODEL, "--yes", "--context", "512")

    assert again.code == 0, again
    assert hub.sent_of[FILE] < 1.4 * size


def test_an_engine_and_a_model_are_fetched_at_once_after_one_question(
    here: Installation, hub: FakeHub, outside: Outside, tmp_path: Path
) -> None:
    here.environment |= {
        "LOCALLLM_ENGINE_MIRROR": outside.mirror,
        "PIP_INDEX_URL": outside.index,
        "UV_INDEX_URL": "",
        **nvml_stand_in.environment(nvml_stand_in.build(tmp_path / "nvml"), "rtx5090"),
    }
    build = serve_build(outside, here)
    hub.bytes_per_s = 10.0 * MIB
    refused = here.run("up", MODEL)
    assert (refused.code, outside.asked) == (5, []), refused
    headers = hub.sent_of[FILE]

    with here.start("up", MODEL, "--yes") as process:
        assert process.stderr is not None
        said = ""
        while "is in use, and has run a model on" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        sent, size = hub.sent_of[FILE], smollm2().stat().st_size
        hub.bytes_per_s = None
        _, err = process.communicate(timeout=120)

    assert process.returncode == 0, said + err
    assert f"and an engine: a test build {build.id}" in said
    assert headers + MIB < sent < size, "the model was on its way when the engine was ready"
    assert here.model()["device"] == "NVIDIA GeForce RTX 5090"


def test_a_model_is_served_once_it_is_here_though_who_asked_for_it_is_gone(
    here: Installation, hub: FakeHub
) -> None:
    hub.bytes_per_s = 10.0 * MIB
    with here.start("up", MODEL, "--yes", "--context", "512") as process:
        wait_until(lambda: hub.sent_of[FILE] > smollm2().stat().st_size / 4, "a part has come")
        process.kill()
    [pull] = require_daemon(here.state / "daemon.json").pulls()
    assert (pull.state, pull.then is None) == ("fetching", False)
    hub.bytes_per_s = None

    wait_until(
        lambda: [m["state"] for m in here.json("status")["models"]] == ["ready"], "it serves"
    )

    assert here.model()["context"] == 512


def test_the_daemon_fetches_the_engine_that_a_switch_lacks_once_that_is_agreed_to(
    here: Installation, outside: Outside, tmp_path: Path
) -> None:
    here.environment |= {
        "LOCALLLM_ENGINE_MIRROR": outside.mirror,
        "PIP_INDEX_URL": outside.index,
        "UV_INDEX_URL": "",
        **nvml_stand_in.environment(nvml_stand_in.build(tmp_path / "nvml"), "rtx5090"),
    }
    build = serve_build(outside, here)
    here.ok("up", "--allow-cpu")
    client = require_daemon(here.state / "daemon.json")
    wanted = PullRequest(model=MODEL, context=512, then="switch")

    def then() -> ThenView:
        told = client.pulls()[-1].then
        assert told is not None
        return told

    client.pull(wanted)
    wait_until(lambda: then().error is not None, "it is refused")
    error = then().error
    assert error is not None
    assert error.code == "engine_needed", error
    assert next(one.id for one in client.builds() if one.why_not is None) == build.id
    assert outside.asked == []

    client.pull(structs.replace(wanted, get_engine=True))
    wait_until(lambda: then().reply is not None, "it is begun")
    wait_until(
        lambda: "ready" in [m.state for m in client.models() if m.context == 512], "it serves"
    )

    assert [m.device for m in client.models() if m.context == 512] == ["NVIDIA GeForce RTX 5090"]


def test_in_the_foreground_the_model_is_fetched_before_it_becomes_the_daemon(
    here: Installation,
) -> None:
    with here.start("up", MODEL, "--yes", "--foreground", "--context", "512") as process:
        try:
            wait_until(
                lambda: (
                    (here.state / "daemon.json").exists()
                    and [m for m in here.json("status")["models"] if m["state"] == "ready"]
                ),
                "it serves",
            )
            assert here.daemon_file()["pid"] == process.pid
        finally:
            process.terminate()
            process.communicate(timeout=60)
