"""The benchmark of prefixes runs from a checkout and yields every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    "saved by another build of the engine",
    "saved in an older format",
    "saved in a newer format",
    "saving with the disk full",
    "4 agents, 4 slots, no disk",
    "2 agents, 2 slots, context for one and a half",
    "a stream, while prompts are saved; or not",
    "the same, beside [prefix] turned off",
    "of it, the engine was saving",
]
MOODY = ROWS[-3:]
"""These are times alone."""

BARE = {
    "second turn": True,
    "after a title, a summary, a count, another client": True,
    "after the engine's restart, whatever the reason": False,
    "no host cache: after a title, ..., another client": False,
}
"""Rows of the engine alone, and whether they stay warm."""


pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Run it with more words, quickly, and return its rows; it leaves nothing behind."""
    before = set(Path("/tmp").glob("llp*"))

    def run(*words: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, str(BENCH), "--quick", "--json", *words],
            env={**os.environ, "TMPDIR": "/tmp", "LOCALLLM_HOME": str(tmp_path / "not-mine")},
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return list(json.loads(done.stdout)["rows"])

    yield run
    assert set(Path("/tmp").glob("llp*")) <= before
    assert not (tmp_path / "not-mine").exists()


def test_a_quick_run_yields_every_row_and_leaves_nothing_behind(quick: Any) -> None:
    told = quick()

    rows = {row["name"]: row for row in told if row["target"]}
    assert list(rows) == ROWS
    assert sum(row["name"].startswith("first turn") for row in told) == 4
    read_again = {row["name"]: row["beyond_tokens"] for row in told if "again" in row["target"]}
    # tokens alone: times are the machine's mood
    assert [name for name, tokens in read_again.items() if tokens > 64] == []
    others = [name for name, row in rows.items() if name not in read_again and not row["met"]]
    assert [name for name in others if name not in MOODY] == []
    assert not [row["note"] for row in told if "answered" in row["note"]]
    assert [row["beyond_tokens"] > 64 for row in told if row["name"].endswith("disk for 0")] == [
        True
    ]


def test_the_engine_alone_is_measured_by_the_same_rows(quick: Any) -> None:
    rows = {row["name"]: row for row in quick("--only", "bare")}

    assert {name: rows[name]["beyond_tokens"] <= 64 for name in BARE} == BARE
