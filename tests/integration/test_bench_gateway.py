"""The benchmark of the gateway runs from a checkout and yields all its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench_gateway"
FIGURES = [
    "tokens/s, gateway over engine, 1 streams",
    "straight at the engine, 1 streams",
    "tokens/s, gateway over engine, 4 streams",
    "straight at the engine, 4 streams",
    "tokens/s, gateway over engine, 8 streams",
    "straight at the engine, 8 streams",
    "time to first token, added",
    "straight at the engine",
    "toy engine, gateway over bare aiohttp",
    "through the gateway",
    "gateway's CPU per chunk, flood",
    "gateway's CPU per chunk, 1600/s",
]


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(300)
def test_a_quick_run_yields_every_figure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": "/tmp", "LOCALLLM_HOME": str(tmp_path / "not-mine")}
    before = set(Path("/tmp").glob("llb*"))

    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)["figures"]
    assert [figure["name"] for figure in figures] == FIGURES
    for figure in figures:
        spread = figure["spread"]
        assert spread["least"] <= spread["q1"] <= spread["median"] <= spread["q3"] <= spread["most"]
        assert spread["pairs"] >= 1
        assert spread["median"] > 0 or figure["unit"] in {"ms", "us"}
    assert set(Path("/tmp").glob("llb*")) <= before
    assert not (tmp_path / "not-mine").exists()
