"""From a hub to a served model: the real commands, the real daemon, a real model, a hub on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.hub_process import HubProcess, hub_process
from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
REPO = "me/SmolLM2-135M-Instruct-GGUF"
MODEL = f"hf:{REPO}:Q4_1"
SIZE = smollm2().stat().st_size
SLOW = 12_000_000
"""Bytes per second, so that a pull of 98 MB can be looked at and killed."""


@dataclass(frozen=True)
class Home:
    """An installation whose hub is the tests' own."""

    here: Installation
    hub: HubProcess
    cache: Path

    def part(self) -> Path | None:
        return next(self.cache.glob("models--*/blobs/*.part"), None)

    def part_bytes(self) -> int:
        """What has come; a part is as long as its last byte, and has holes."""
        journal = next(self.cache.glob("models--*/blobs/*.part.journal"), None)
        part = self.part()
        return 0 if journal is None or part is None else part.stat().st_size

    def answer(self, model: str) -> str:
        return self.here.ok("run", model, "Say hello.")

    def pulls(self) -> list[dict[str, Any]]:
        return list(json.loads(self.api("GET", "/api/v1/pulls")))

    def api(self, method: str, path: str) -> str:
        token = self.here.daemon_file()["token"]
        words = ["curl", "-sS", "-m", "10", "-X", method, "-H", f"Authorization: Bearer {token}"]
        return subprocess.check_output([*words, f"{self.here.url}{path}"], text=True)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    root = tmp_path_factory.mktemp("hub")
    folder = root / REPO.replace("/", "--")
    folder.mkdir()
    shutil.copy(smollm2(), folder / smollm2().name)
    (folder / "README.md").write_text("a model")
    with hub_process(root) as served:
        yield served


@pytest.fixture
def home(hub: HubProcess, install: Callable[..., Installation], tmp_path: Path) -> Iterator[Home]:
    here = install(
        HF_ENDPOINT=hub.url,
        HF_HOME=str(tmp_path / "hf"),
        HF_HUB_CACHE=str(tmp_path / "hf" / "hub"),
        HF_TOKEN="",
    )
    hub.tell(heal=True, forget=True, set={"bytes_per_s": None})
    yield Home(here, hub, tmp_path / "hf" / "hub")
    hub.tell(heal=True, set={"bytes_per_s": None})


def test_what_was_pulled_is_listed_served_and_found_by_the_hubs_own_library(home: Home) -> None:
    pulled = home.here.json("pull", MODEL, within_s=120)

    assert pulled["size"] == SIZE
    assert [one["quant"] for one in home.here.json("ls")["models"] if one["repo"] == REPO] == [
        "Q4_1"
    ]
    found = subprocess.check_output(
        [
            sys.executable,
            "-c",
            "import sys; from huggingface_hub import hf_hub_download as get; "
            "print(get(*sys.argv[1:], local_files_only=True))",
            REPO,
            smollm2().name,
        ],
        env=home.here.environment,
        text=True,
    )
    assert Path(found.strip()).read_bytes() == smollm2().read_bytes()
    assert not list(home.cache.rglob("README.md")), "what serves nothing is not fetched"
    home.here.ok("up", MODEL, "--context", "512", within_s=120)
    assert home.answer("localllm")


def test_up_fetches_what_is_lacking_and_serves_it_as_soon_as_it_is_here(home: Home) -> None:
    status = home.here.json("up", MODEL, "--context", "512", "--yes", within_s=120)

    assert [model["state"] for model in status["models"]] == ["ready"]
    assert home.hub.tell()["sent_of"][f"{REPO}/{smollm2().name}"] <= SIZE * 1.02


def test_without_somebody_to_ask_up_names_the_download_and_fetches_nothing(home: Home) -> None:
    ran = home.here.run("up", MODEL)

    assert ran.code == 5
    assert "94 MiB" in ran.err
    assert "--yes" in ran.err
    assert home.part() is None


def test_a_daemon_that_is_killed_in_the_middle_goes_on_where_it_was(home: Home) -> None:
    home.hub.tell(set={"bytes_per_s": SLOW, "send_buffer_bytes": 1 << 16})
    first = home.here.start("up", MODEL, "--context", "512", "--yes")
    wait_until(lambda: home.part_bytes() > SIZE // 4, "a quarter has come")
    daemon = home.here.daemon_file()["pid"]

    os.kill(daemon, signal.SIGKILL)

    first.communicate(timeout=60)
    wait_until(lambda: not _workers(home), "the pull's process is gone, too")
    home.hub.tell(set={"bytes_per_s": None})
    home.here.ok("up", MODEL, "--context", "512", "--yes", within_s=120)
    assert home.answer("localllm")
    assert home.hub.tell()["sent_of"][f"{REPO}/{smollm2().name}"] <= SIZE * 1.02


def test_ctrl_c_keeps_what_has_come_and_says_so(home: Home) -> None:
    home.hub.tell(set={"bytes_per_s": SLOW, "send_buffer_bytes": 1 << 16})
    pulling = home.here.start("pull", MODEL)
    wait_until(lambda: home.part_bytes() > SIZE // 10, "a tenth has come")

    pulling.send_signal(signal.SIGINT)

    _, err = pulling.communicate(timeout=30)
    assert pulling.returncode == 130
    assert "kept" in err
    home.hub.tell(set={"bytes_per_s": None})
    home.here.ok("pull", MODEL, within_s=60)
    assert home.hub.tell()["sent_of"][f"{REPO}/{smollm2().name}"] <= SIZE * 1.02


def test_a_pull_in_the_daemon_is_paused_shown_and_resumed_and_costs_it_no_memory(
    home: Home,
) -> None:
    home.here.ok("up", str(smollm2()), "--context", "512", within_s=120)
    daemon = psutil.Process(home.here.daemon_file()["pid"])
    before = daemon.memory_info().rss
    home.hub.tell(set={"bytes_per_s": SLOW, "send_buffer_bytes": 1 << 16})

    pulling = home.here.start("pull", MODEL)
    wait_until(lambda: home.part_bytes() > SIZE // 10, "a tenth has come")
    most = max(daemon.memory_info().rss for _ in range(50))
    (shown,) = [one for one in home.pulls() if one["state"] == "fetching"]
    home.api("POST", f"/api/v1/pulls/{shown['id']}/pause")

    _, err = pulling.communicate(timeout=30)
    assert pulling.returncode == 1
    assert "paused" in err
    assert not _workers(home)
    assert most - before < 50e6
    home.hub.tell(set={"bytes_per_s": None})
    home.here.ok("pull", MODEL, within_s=60)
    assert [one["state"] for one in home.pulls()] == ["done"]


def test_what_is_served_is_not_removed_and_what_is_not_frees_its_room(home: Home) -> None:
    home.here.ok("up", MODEL, "--context", "512", "--yes", within_s=120)

    refused = home.here.run("rm", MODEL, "--yes")
    home.here.ok("down")
    home.here.ok("rm", MODEL, "--yes")

    assert refused.code == 1
    assert "served" in refused.err
    assert not [
        file for file in home.cache.rglob("*") if file.is_file() and file.stat().st_size > 1e6
    ]


def test_offline_what_is_here_is_served_and_what_is_not_is_one_sentence(home: Home) -> None:
    home.here.ok("pull", MODEL, within_s=60)
    home.hub.tell(forget=True)

    home.here.ok("up", MODEL, "--context", "512", "--offline", within_s=120)
    ran = home.here.run("up", "hf:me/another:Q4_K_M", "--offline")

    assert ran.code == 6
    assert "another" in ran.err
    assert home.hub.tell()["requests"] == []


def _workers(home: Home) -> list[psutil.Process]:
    found = []
    for process in home.here.processes():
        try:
            if "localllm.store.pull_worker" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found
