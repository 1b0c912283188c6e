"""The benchmark of switches runs from a checkout and yields all its figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench_switch"
DELAYS = [
    "worst extra delay in a window with a switch",
    "answers over 50 ms late in windows with a switch",
    "worst extra delay in a window without a switch",
    "answers over 50 ms late in windows without a switch",
    "worst with over worst without a switch",
    "requests that failed beside a switch",
]
GAPS = [
    "gap over own load and warm-up",
    "the same, after the last answer of the old",
    "gap",
    "of it: the old one's last answers",
    "of it: the old one's end",
    "of it: until the new one is started",
    "of it: load",
    "of it: warm-up",
    "own load",
    "own warm-up",
    "requests that failed in a gap",
]


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(400)
def test_a_quick_run_yields_every_figure_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": "/tmp", "LOCALLLM_HOME": str(tmp_path / "not-mine")}
    before = set(Path("/tmp").glob("llw*"))

    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert list(figures) == [*DELAYS, *GAPS]
    assert all(figure["values"] for figure in figures.values())
    assert figures["gap"]["median"] > figures["of it: warm-up"]["median"] > 0
    assert figures["requests that failed beside a switch"]["median"] == 0
    assert figures["requests that failed in a gap"]["median"] == 0
    assert set(Path("/tmp").glob("llw*")) <= before
    assert not (tmp_path / "not-mine").exists()
