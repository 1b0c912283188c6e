"""How an agent is pointed at what is served here, for whoever asks the control API."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from aiohttp import web

from localllm.agents.finding import find_agents
from localllm.agents.places import Whereabouts
from localllm.agents.profile import find_agent, read_agents
from localllm.agents.settings import render_settings
from localllm.api.agent_views import AgentView, FoundAgentsView, show_found, show_settings
from localllm.api.connections import connection_of
from localllm.api.status_views import InstanceView
from localllm.gateway.models import Models
from localllm.supervisor.operations import Operations


class AgentSettings:
    """`GET /api/v1/agents`, and `…/{agent}`.

    Args:
        needs_key: Whether programs of this machine need an API key now.
    """

    def __init__(
        self, operations: Operations, models: Models, needs_key: Callable[[], bool]
    ) -> None:
        self._operations = operations
        self._models = models
        self._needs_key = needs_key

    async def list(self, _request: web.Request) -> FoundAgentsView:
        """Look which agents there are, which are installed, and which were connected."""
        return await anyio.to_thread.run_sync(self._found)  # it looks at files

    async def show(self, request: web.Request) -> AgentView:
        """Fill an agent's profile in with what is served now.

        Raises:
            NoSuchAgent: There is none of that name.
            NotConnectable: It cannot be pointed here.
            ModelNotFound: Nothing is served.
        """
        entries = await self._models.entries()
        name, models = request.match_info["agent"], self._operations.models()
        # in a thread, since it looks at files
        return await anyio.to_thread.run_sync(self._settings, name, entries, models)

    def _found(self) -> FoundAgentsView:
        desk = self._operations.desk
        found = find_agents(read_agents(desk.profiles), _whereabouts(), desk.paths.agents)
        return show_found(found)

    def _settings(
        self, name: str, entries: Sequence[Mapping[str, Any]], models: Sequence[InstanceView]
    ) -> AgentView:
        operations = self._operations
        agent = find_agent(read_agents(operations.desk.profiles), name)
        connection = connection_of(
            operations.endpoint.removesuffix("/v1"),
            models,
            entries,
            None,
            needs_key=self._needs_key(),
        )
        return show_settings(render_settings(agent, connection, _whereabouts()))


def _whereabouts() -> Whereabouts:
    return Whereabouts(Path.home(), os.environ, macos=sys.platform == "darwin")
