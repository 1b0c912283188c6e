"""The benchmark of downloads runs from a checkout, tells right from wrong, and leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench_download"
SIZE = 20_000_000


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "m.gguf"
    file.write_bytes(os.urandom(SIZE))
    return file


def bench(model: Path, *words: str) -> dict[str, Any]:
    caches = model.parent / "caches"
    caches.mkdir()
    done = subprocess.run(
        [
            *(sys.executable, str(BENCH), "--worker", "--json"),
            *("--model", str(model), "--in", str(caches), *words),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stderr == ""
    assert list(caches.iterdir()) == []
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.timeout(120)
def test_a_pair_has_the_speeds_of_both_and_each_file_was_sent_once(model: Path) -> None:
    told = bench(model, "--pairs", "1")

    (pair,) = told["pairs"]
    assert told["bytes"] == SIZE
    for run in (pair["theirs"], pair["ours"]):
        assert run["moved_bytes"] == SIZE
        assert run["transfer_mb_s"] > run["whole_mb_s"] > 0
    (ratio,) = told["ratios"]["whole"]
    assert ratio == pair["ours"]["whole_mb_s"] / pair["theirs"]["whole_mb_s"]


@pytest.mark.timeout(120)
def test_a_round_of_cuts_counts_what_was_sent_twice(model: Path) -> None:
    told = bench(model, "--rounds-of-cuts", "--pace-mb", "10")

    (one,) = told["rounds"]
    assert (one["cuts"], one["kills"], one["is_right"]) == (20, 5, True)
    assert one["gave_up"] == 0
    assert one["moved_bytes"] >= SIZE
    assert one["moved_ratio"] == one["moved_bytes"] / SIZE
