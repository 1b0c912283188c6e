"""Which agents there are, asked of the control API."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from localllm.api.daemon_file import DaemonFile
from localllm.api.sync_client import DaemonClient
from tests.fakes.house import TOKEN, a_house

pytestmark = pytest.mark.anyio


async def test_the_list_says_what_connect_says_and_each_can_be_asked_for(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        client = DaemonClient(
            DaemonFile(pid=1, started=0, port=house.port, token=TOKEN, version="1")
        )

        found = await anyio.to_thread.run_sync(client.agents)
        view = await anyio.to_thread.run_sync(lambda: client.agent("codex"))

    by_id = {agent.id: agent for agent in found.agents}
    assert by_id["codex"].name == "Codex CLI"
    assert by_id["codex"].writes
    assert by_id["codex"].connected is None
    assert by_id["cursor"].why_not
    assert (view.agent, view.model) == ("codex", "small")


async def test_the_list_needs_the_daemons_token(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        async with house.http.get("/api/v1/agents") as answer:
            assert answer.status == 401
