"""Agents in a table, those first that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import DataTable

from localllm.tui.agent_words import row_of

if TYPE_CHECKING:  # heavy
    from localllm.api.agent_views import FoundAgentView

_NARROW, _NORMAL = 14, 22
"""Columns for the name of an agent."""

_NORMAL_FROM = 100
_COLUMNS = (("here", "Here", 6), ("connected", "Connected", 12))


class AgentTable(DataTable[Content]):
    """One row an agent, by its id; once drawn, none comes or goes."""

    DEFAULT_CSS = """
    AgentTable { width: 45; height: 1fr; padding-left: 1; background: $background; scrollbar-size: 0 1; }
    .-narrow AgentTable { width: 37; }
    """

    def __init__(self) -> None:
        super().__init__(
            id="agents", cursor_type="row", cursor_foreground_priority="renderable", cell_padding=0
        )
        self._agents: dict[str, FoundAgentView] = {}
        self._name_columns = 0

    @property
    def selected(self) -> FoundAgentView | None:
        """The one that keys are about."""
        if not self.row_count:
            return None
        key = self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value
        return self._agents.get(str(key))

    def on_resize(self) -> None:
        self.show_agents(list(self._agents.values()))

    def show_agents(self, agents: list[FoundAgentView]) -> None:
        """Draw what has changed."""
        self._make_columns()
        for agent in sorted(agents, key=lambda one: (not one.installed, one.name.lower())):
            cells = {
                name: row_of(agent)[name].truncate(width, ellipsis=True) + " "
                for name, width in self._widths().items()
            }
            if agent.id not in self._agents:
                self.add_row(*cells.values(), key=agent.id)
            elif agent != self._agents[agent.id]:
                for name, content in cells.items():
                    self.update_cell(agent.id, name, content)
            self._agents[agent.id] = agent

    def _widths(self) -> dict[str, int]:
        return {"agent": self._name_columns} | {name: cells for name, _, cells in _COLUMNS}

    def _make_columns(self) -> None:
        """Anew only where the screen has become much wider or narrower."""
        room = _NORMAL if self.app.size.width >= _NORMAL_FROM else _NARROW
        if room == self._name_columns:
            return
        row, self._name_columns, self._agents = self.cursor_row, room, {}
        self.clear(columns=True)
        self.add_column("Agent", width=room + 1, key="agent")
        for key, label, cells in _COLUMNS:
            self.add_column(label, width=cells + 1, key=key)
        self.call_after_refresh(self.move_cursor, row=row)
