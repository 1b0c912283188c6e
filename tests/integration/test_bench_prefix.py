"""The benchmark of prefixes runs from a checkout and yields every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench_prefix"
ROWS = [
    "second turn",
    "after a title, a summary, a count, another client",
    "after a switch to another model and back",
    "after unload",
    "after down and up",
    "after SIGKILL to the engine",
    "after SIGKILL to the daemon, and up",
    "two agents taking turns on two slots",
    "four agents taking turns on two slots",
    "the same in a session with a billing line",
    "saved files",
    "saved files truncated",
    "saved files overwritten with garbage",
    "saved files replaced by another model's",
    "saving with the disk full",
]


@pytest.mark.xdist_group("engine")
@pytest.mark.timeout(600)
def test_a_quick_run_yields_every_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": "/tmp", "LOCALLLM_HOME": str(tmp_path / "not-mine")}
    before = set(Path("/tmp").glob("llp*"))

    done = subprocess.run(
        [sys.executable, str(BENCH), "--quick", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    told = json.loads(done.stdout)["rows"]
    rows = {row["name"]: row for row in told if row["target"]}
    assert list(rows) == ROWS
    assert sum(row["name"].startswith("first turn") for row in told) == 4
    read_again = {row["name"]: row["beyond_tokens"] for row in told if "again" in row["target"]}
    # tokens alone: times are the machine's mood
    assert [name for name, tokens in read_again.items() if tokens > 64] == []
    assert [name for name, row in rows.items() if name not in read_again and not row["met"]] == []
    assert not [row["note"] for row in told if "answered" in row["note"]]
    assert set(Path("/tmp").glob("llp*")) <= before
    assert not (tmp_path / "not-mine").exists()
