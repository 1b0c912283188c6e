"""The script that compares the bench with another tool, once through: both see the same requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "scripts" / "bench_agreement"), "--quick", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_official_client_and_the_bench_agree_on_the_same_requests(
    measured: dict[str, Any],
) -> None:
    figures = {one["name"]: one for one in measured["figures"]}

    assert measured["tool"] == "openai"
    for at_once in (1, 2):
        for name in ("output tokens", "prompt tokens"):
            assert figures[f"{name}, {at_once} at once"]["off"] == 0.0
        for name in (
            "time to first token",
            "inter-token latency",
            "request latency",
            "output tokens per second",
        ):
            one = figures[f"{name}, {at_once} at once"]
            assert one["ours"] > 0
            assert one["met"], one


def test_what_the_bench_itself_takes_is_measured(measured: dict[str, Any]) -> None:
    figures = {one["name"]: one for one in measured["figures"]}

    assert figures["tokens per second, bench and bare socket"]["theirs"] > 0
    assert 0 < figures["the bench's processor time, s of wall"]["off"] < 0.5
