"""What localllm costs when it does little. The figures themselves are scripts/bench_footprint's."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes.installation import ROOT

HEAVY = {
    *("aiohttp", "starlette", "textual", "huggingface_hub", "httpx", "pydantic", "xllamacpp"),
    *("pynvml", "psutil", "anyio", "asyncio"),
}


@pytest.mark.parametrize("words", [["--help"], ["up", "--help"], ["status"], ["down"]])
def test_a_command_imports_nothing_heavy(words: list[str], tmp_path: object) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "localllm", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "LOCALLLM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in ran.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "click" in imported
    assert not imported & HEAVY


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(180)
def test_the_idle_daemon_is_small_and_does_nothing() -> None:
    ran = subprocess.run(
        [sys.executable, "scripts/bench_footprint", "--json", "--pairs", "1", "--idle-s", "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    figures = json.loads(ran.stdout)
    assert figures["idle_resident_mb"] <= 90
    assert figures["idle_cpu_percent"] < 1
    assert figures["probe_s"] > 0
    assert 1 < figures["help_ratio"] < 30
    assert 1 < figures["status_ratio"] < 30
