"""Which agents there are, and the settings that point each of them at what is served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import DataTable, Static

from localllm.errors import LocalLLMError
from localllm.tui.agent_words import copied, settings_of, write_command
from localllm.tui.asking import app_of
from localllm.tui.telling import told
from localllm.tui.widgets.agent_table import AgentTable
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.world import World
from localllm.wording.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.api.agent_views import AgentView, FoundAgentsView

_SOON_S = 0.08
"""Settings are asked for when the cursor has rested so long."""


class Agents(Screen[None]):
    """Asks the daemon, which looks at files; it writes into none of them."""

    DEFAULT_CSS = """
    Agents #agent-box { width: 1fr; height: 1fr; border-left: solid $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "c", "copy", "Copy settings", id="agent-copy", tooltip="To the terminal's clipboard"
        ),
        Binding(
            "w", "write", "Write them", id="agent-write",
            tooltip="Show and copy the command that writes them into the agent's files",
        ),
        Binding("r", "look", "Look again", id="agent-look", tooltip="Which agents are here now"),
    ]  # fmt: skip

    @dataclass
    class Found(Message):
        """The list has come, or an error in its place."""

        found: FoundAgentsView | LocalLLMError

    @dataclass
    class Filled(Message):
        """An agent's settings have come, or an error in their place."""

        agent: str
        found: AgentView | LocalLLMError

    def __init__(self) -> None:
        super().__init__()
        self._settings: AgentView | None = None
        self._served: tuple[tuple[str, int], ...] | None = None
        self._soon: Timer | None = None
        self._shown = Content()

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        with Horizontal():
            yield AgentTable()
            with VerticalScroll(id="agent-box"):
                yield Static("looking which agents are here", id="agent-text", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._table = self.query_one(AgentTable)
        self.watch(self.app, "world", self.show)

    def on_screen_resume(self) -> None:
        self._table.focus()
        self.action_look()

    def show(self, world: World) -> None:
        """Fill the settings in anew where another model is served, or the daemon is back."""
        if not world.is_connected or world.now is None:
            self._served = None
            return
        views = [one.view for one in world.now.models]
        served = tuple((view.id, view.context) for view in views if view.wanted)
        if served != self._served and self.is_current:
            self._served = served
            self.action_look()

    def action_look(self) -> None:
        """Ask which agents there are, and for the selected one's settings."""
        self.run_worker(self._ask_all, thread=True, group="agents")
        self._ask_soon()

    def action_copy(self) -> None:
        """Copy the settings."""
        if self._settings is None:
            self.notify("there are no settings to copy", severity="warning", markup=False)
            return
        self.app.copy_to_clipboard(copied(self._settings))
        self.notify(f"copied: {plain(self._settings.name)}", markup=False)

    def action_write(self) -> None:
        """Say what writes them, and copy that."""
        agent = self._table.selected
        if agent is None:
            return
        if not agent.writes:
            why = agent.why_not or "it has no file that could be written: c copies its settings"
            self.notify(plain(f"{agent.name}: {why}"), severity="warning", markup=False)
            return
        command = write_command(agent)
        self.app.copy_to_clipboard(command)
        self.notify(
            f"{plain(command)}\n(copied; it keeps a backup, and --undo takes it back)",
            title="run this in a shell",
            timeout=15,
            markup=False,
        )

    def on_data_table_row_highlighted(self, _event: DataTable.RowHighlighted) -> None:
        self._ask_soon()

    def on_agents_found(self, message: Found) -> None:
        if isinstance(message.found, LocalLLMError):
            self._say(Content.styled(told(message.found), "$error"))
            return
        self._table.show_agents(message.found.agents)
        if not message.found.agents:
            self._say(Content("No agent is known."))

    def on_agents_filled(self, message: Filled) -> None:
        agent = self._table.selected
        if agent is None or agent.id != message.agent:
            return  # somebody has gone on
        if isinstance(message.found, LocalLLMError):
            self._settings = None
            self._say(Content.styled(told(message.found), "$error"))
        else:
            self._settings = message.found
            self._say(settings_of(message.found))

    def _ask_soon(self) -> None:
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_SOON_S, self._ask_one)

    def _ask_all(self) -> None:
        found = app_of(self).source.answer(lambda daemon: daemon.agents())
        self.post_message(self.Found(found))

    def _ask_one(self) -> None:
        agent = self._table.selected
        if agent is None:
            return
        if self._settings is not None and self._settings.agent != agent.id:
            self._settings = None
        source, name = app_of(self).source, agent.id

        def work() -> None:
            found = source.answer(lambda daemon: daemon.agent(name))
            self.post_message(self.Filled(name, found))

        self.run_worker(work, thread=True, group="agents")

    def _say(self, content: Content) -> None:
        if not content.is_same(self._shown):
            self._shown = content
            self.query_one("#agent-text", Static).update(content)
