"""The real coding agents on a scripted engine: each reads a file and writes another, over every API that it speaks.

npm brings them, into a folder outside the checkout that is there the next time.
"""

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
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
AGENTS = {
    "claude-code": MESSAGES,
    "codex": RESPONSES,
    "codex:gpt-5.5": RESPONSES,
    "opencode": CHAT,
    "opencode:messages": MESSAGES,
    "opencode:responses": RESPONSES,
    "qwen-code": CHAT,
    "qwen-code:messages": MESSAGES,
    "qwen-code:responses": RESPONSES,
    "copilot": CHAT,
    "copilot:messages": MESSAGES,
    "copilot:responses": RESPONSES,
    "pi": CHAT,
    "pi:messages": MESSAGES,
    "pi:responses": RESPONSES,
}
LEAST_REQUESTS = 3
"""One that reads, one that writes, one for the last words."""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """How each fared, by its name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    scratch = str(cache / "localllm-tests" / "agents")
    words = ("--scripted", "--every-api", "--json", "--limit", "60", "--scratch", scratch)
    command = [sys.executable, str(ROOT / "scripts" / "try_agents"), *words]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.stdout, ran.stderr
    return {one["agent"]: one for one in json.loads(ran.stdout)}


@pytest.mark.parametrize(("agent", "path"), AGENTS.items())
def test_an_agent_reads_a_file_and_writes_another(
    outcomes: dict[str, Any], agent: str, path: str
) -> None:
    found = outcomes[agent]

    assert found["problems"] == []
    assert (found["exit_code"], found["has_read"], found["has_written"]) == (0, True, True)
    assert found["answers"][f"POST {path}"]["200"] >= LEAST_REQUESTS


def test_every_agent_that_is_tried_is_looked_at(outcomes: dict[str, Any]) -> None:
    assert {*outcomes} == {*AGENTS}
