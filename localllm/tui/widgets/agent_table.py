"""Agents in a table, those first that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import DataTable

from localllm.tui.agent_words import row_of

if TYPE_CHECKING:  # heavy
    from localllm.api.agent_views import FoundAgentView

_COLUMNS = (("agent", "Agent", 14), ("here", "Here", 6), ("connected", "Connected", 12))


class AgentTable(DataTable[Content]):
    """One row an agent, by its id; once drawn, none comes or goes."""

    DEFAULT_CSS = """
    AgentTable { width: 36; height: 1fr; background: $background; scrollbar-size: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(id="agents", cursor_type="row", cell_padding=0)
        self._agents: dict[str, FoundAgentView] = {}

    @property
    def selected(self) -> FoundAgentView | None:
        """The one that keys are about."""
        if not self.row_count:
            return None
        key = self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value
        return self._agents.get(str(key))

    def on_mount(self) -> None:
        for key, label, cells in _COLUMNS:
            self.add_column(label, width=cells + 1, key=key)

    def show_agents(self, agents: list[FoundAgentView]) -> None:
        """Draw what has changed."""
        for agent in sorted(agents, key=lambda one: (not one.installed, one.name.lower())):
            cells = {
                name: row_of(agent)[name].truncate(width, ellipsis=True) + " "
                for name, _, width in _COLUMNS
            }
            if agent.id not in self._agents:
                self.add_row(*cells.values(), key=agent.id)
            elif agent != self._agents[agent.id]:
                for name, content in cells.items():
                    self.update_cell(agent.id, name, content)
            self._agents[agent.id] = agent
