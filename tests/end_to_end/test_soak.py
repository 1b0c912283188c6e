"""Switches, kills and clients that leave, for minutes: nothing is wrong, lost or left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fakes.installation import ROOT


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(600)
def test_three_minutes_of_switches_and_kills_lose_nothing_and_leave_nothing(
    tmp_path: Path,
) -> None:
    environment = {**os.environ, "TMPDIR": "/tmp", "LOCALLLM_HOME": str(tmp_path / "not-mine")}
    before = set(Path("/tmp").glob("lls*"))

    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "soak"), "--minutes", "3", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    figures = json.loads(done.stdout)
    assert (done.returncode, figures["errors"]) == (0, []), done.stderr
    assert figures["switches"] >= 3
    assert figures["engine_kills"] >= 2
    assert figures["daemon_kills"] == 1
    assert figures["right"] > 50
    assert figures["left"] > 0, "some clients go before the end"
    assert (figures["wrong"], figures["hung"], figures["failed"]) == (0, 0, 0)
    assert len(figures["quiet_points"]) == 4
    assert all(quiet["leaks"] == [] for quiet in figures["quiet_points"])
    assert 0.5 < figures["memory_growth"] <= 1.1
    assert set(Path("/tmp").glob("lls*")) <= before
    assert not (tmp_path / "not-mine").exists()
    assert not any("/lls" in " ".join(line) for line in command_lines()), "a process is left"


def command_lines() -> list[list[str]]:
    return [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
