"""The first request of every agent, through the gateway to an engine that answers anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from anyio import to_thread

from localllm.agents.asking import Outcome, fetch_listing, send_first_request
from localllm.agents.connection import Connection
from localllm.agents.first_request import body_of, headers_of, read_first_request
from localllm.agents.profile import AgentProfile, read_agents
from localllm.paths import bundled_profiles
from tests.fakes.house import House, a_house

pytestmark = pytest.mark.anyio

AGENTS = {a.request or a.api: a for a in read_agents(bundled_profiles()) if a.why_not is None}
"""One agent for each recording."""


def served_at(house: House) -> Connection:
    return Connection(f"http://127.0.0.1:{house.port}", "small", 4096, 2)


def check(agent: AgentProfile, served: Connection) -> Outcome:
    request = read_first_request(bundled_profiles(), agent)
    headers = dict(headers_of(request, "local"))
    return send_first_request(served.base, request, body_of(request, served), headers)


async def test_the_gateway_answers_each_of_them_whole(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        served = served_at(house)
        outcomes = {
            name: await to_thread.run_sync(check, agent, served) for name, agent in AGENTS.items()
        }

    assert {name: (o.status, o.complete, o.error) for name, o in outcomes.items()} == dict.fromkeys(
        AGENTS, (200, True, None)
    )


async def test_a_model_that_is_not_served_is_refused_in_the_words_of_its_api(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        other = replace(served_at(house), model="no-such-model")
        outcome = await to_thread.run_sync(check, AGENTS["claude-code"], other)

    assert (outcome.status, outcome.complete) == (404, False)
    assert "no-such-model" in (outcome.error or "")


async def test_the_list_of_models_is_there_without_a_key(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        listing = await to_thread.run_sync(fetch_listing, served_at(house).base, None)

    assert listing is not None
    assert listing[0]["id"] == "small"
    assert isinstance(listing[0]["abilities"], list)
