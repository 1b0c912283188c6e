"""The real coding agents on a scripted engine: each reads a file and writes another, over its own API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.installation import ROOT

pytestmark = [pytest.mark.xdist_group("engine"), pytest.mark.timeout(600)]
AGENTS = {
    "claude-code": "/v1/messages",
    "codex": "/v1/responses",
    "opencode": "/v1/chat/completions",
    "qwen-code": "/v1/chat/completions",
    "copilot": "/v1/chat/completions",
    "pi": "/v1/chat/completions",
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """By agent; npm's packages stay outside the checkout for the next time."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    scratch = cache / "localllm-tests" / "agents"
    command = [sys.executable, str(ROOT / "scripts" / "try_agents"), "--scripted", "--json"]
    ran = subprocess.run(
        [*command, "--limit", "90", "--scratch", str(scratch)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.stdout, ran.stderr
    return {one["agent"]: one for one in json.loads(ran.stdout)}


@pytest.mark.parametrize(("agent", "path"), AGENTS.items())
def test_an_agent_reads_a_file_and_writes_another(
    outcomes: dict[str, Any], agent: str, path: str
) -> None:
    found = outcomes[agent]

    assert found["problems"] == []
    assert (found["exit_code"], found["has_read"], found["has_written"]) == (0, True, True)
    assert found["answers"][f"POST {path}"]["200"] >= 3
