"""The screen as a whole: looks at the daemon twice a second, and shows one of its screens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen

from localllm.api.now_views import NowView
from localllm.errors import LocalLLMError
from localllm.tui.screens.agents import Agents
from localllm.tui.screens.chat import Chat
from localllm.tui.screens.dashboard import Dashboard, RequestChosen
from localllm.tui.screens.downloads import Downloads
from localllm.tui.screens.logs import Logs
from localllm.tui.screens.plan import Plan
from localllm.tui.screens.request import RequestScreen
from localllm.tui.screens.switcher import Switcher
from localllm.tui.source import Source
from localllm.tui.themes import THEMES, theme_for
from localllm.tui.widgets.header import TABS
from localllm.tui.words import plain
from localllm.tui.world import World, lost, seen

_LOOK_EVERY_S = 0.5
_PATIENCE_S = 3.0
"""What it shows at once takes no time; after so much it is as good as lost."""


class Localllm(App[None]):
    """Shows one daemon; several may show the same.

    Args:
        no_color: Whether the user wants none.
        clock: Unix seconds.
    """

    TITLE = "localllm"
    CSS_PATH = "localllm.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (160, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012  # as Textual declares it
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "dashboard": Dashboard,
        "plan": Plan,
        "downloads": Downloads,
        "logs": Logs,
        "chat": Chat,
        "agents": Agents,
    }
    DEFAULT_MODE = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"go('{mode}')", name, id=f"go-{mode}", show=False, tooltip=f"Show {name}")
            for key, mode, name in TABS
        ),
        Binding(
            "s,slash",
            "choose",
            "Switch",
            id="choose",
            key_display="s",
            tooltip="Choose the model that is served",
        ),
        Binding("S", "start_daemon", "Start daemon", id="start-daemon", tooltip="Start the daemon"),
        Binding(
            "t", "next_theme", "Theme", id="theme", show=False, tooltip="Dark, light, high contrast"
        ),
        Binding(
            "question_mark", "toggle_help", "Help", id="help", tooltip="Every key of this screen"
        ),
        Binding("q", "quit", "Quit", id="quit", tooltip="Close the screen; the daemon goes on"),
    ]

    world: reactive[World] = reactive(World())
    """Watched by whoever shows it: `self.watch(self.app, "world", self.show)`."""

    @dataclass
    class Looked(Message):
        """A look has come back."""

        found: NowView | LocalLLMError

    @dataclass
    class Started(Message):
        """An attempt to start the daemon has ended; None: it runs."""

        failure: LocalLLMError | None

    def __init__(
        self, source: Source, *, no_color: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.source = source
        self._clock = clock
        self._looking = False
        self._asked_at = 0.0
        self._starting = False
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = theme_for(no_color=no_color)

    def on_mount(self) -> None:
        self._look()
        self.set_interval(_LOOK_EVERY_S, self._look)

    def on_unmount(self) -> None:
        self.source.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to start a daemon only where there is none."""
        return action != "start_daemon" or self.world.lost_since is not None

    def action_go(self, mode: str) -> None:
        """Show another screen."""
        self.switch_mode(mode)

    def action_choose(self) -> None:
        """Choose a model to be served."""
        if not isinstance(self.screen, Switcher):
            self.push_screen(Switcher())

    def action_next_theme(self) -> None:
        """Show it in other colours."""
        names = [theme.name for theme in THEMES]
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]

    def action_toggle_help(self) -> None:
        """Show every key, or no longer."""
        if self.screen.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()

    def action_start_daemon(self) -> None:
        """Start a daemon where there is none."""
        if not self._starting:
            self._starting = True
            self.notify("starting the daemon", markup=False)
            self.run_worker(self._start, thread=True, group="start")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Name every action in the command palette."""
        yield from super().get_system_commands(screen)
        for _, mode, name in TABS:
            yield SystemCommand(name, f"Show the screen {name}", _going(self, mode))
        yield SystemCommand("Switch model", "Choose the model that is served", self.action_choose)
        yield SystemCommand("Next theme", "Dark, light, high contrast", self.action_next_theme)
        if self.world.lost_since is not None:
            yield SystemCommand("Start daemon", "Start the daemon", self.action_start_daemon)
        yield from _of_screen(screen)

    def on_request_chosen(self, message: RequestChosen) -> None:
        """Show all of a request."""
        self.push_screen(RequestScreen(self.source, message.request))

    def on_localllm_looked(self, message: Looked) -> None:
        """Take a look in."""
        self._looking = False
        if isinstance(message.found, LocalLLMError):
            self._be(lost(self.world, message.found.why, self._clock()))
        else:
            self._be(seen(self.world, message.found))

    def on_localllm_started(self, message: Started) -> None:
        """Say what came of it; that it runs shows by itself."""
        self._starting = False
        if message.failure is not None:
            self.complain(message.failure)

    def complain(self, error: LocalLLMError) -> None:
        """Show what, why and fix of an error."""
        text = f"{error.why}\nfix: {error.fix}"
        lines = (plain(line) for line in text.split("\n"))
        self.notify(
            "\n".join(lines), title=plain(error.what), severity="error", timeout=15, markup=False
        )

    def _be(self, world: World) -> None:
        was_lost = self.world.lost_since is not None
        self.world = world
        if was_lost != (world.lost_since is not None):
            self.refresh_bindings()  # one can only be started where there is none

    def _look(self) -> None:
        """Ask once more, unless the last question has no answer yet."""
        if not self._looking:
            self._looking = True
            self._asked_at = self._clock()
            self.run_worker(self._ask, thread=True, group="look")
        elif self._clock() - self._asked_at > _PATIENCE_S and self.world.lost_since is None:
            self._be(lost(self.world, "it does not answer", self._clock()))

    def _ask(self) -> None:
        found: NowView | LocalLLMError
        try:
            found = self.source.ask(lambda daemon: daemon.now())
        except LocalLLMError as error:
            found = error
        self.post_message(self.Looked(found))

    def _start(self) -> None:
        try:
            self.source.start()
        except LocalLLMError as error:
            self.post_message(self.Started(error))
        else:
            self.post_message(self.Started(None))


def _going(app: Localllm, mode: str) -> Callable[[], None]:
    return lambda: app.action_go(mode)


def _of_screen(screen: Screen[Any]) -> Iterable[SystemCommand]:
    """What this screen's own keys do."""
    for one in screen.active_bindings.values():
        known = one.binding.description and one.node is not screen.app and one.enabled
        if known and one.binding.tooltip:
            yield SystemCommand(
                f"{one.binding.description} ({screen.app.get_key_display(one.binding)})",
                one.binding.tooltip,
                _doing(screen, one.binding.action, one.node),
            )


def _doing(screen: Screen[Any], action: str, node: Any) -> Callable[[], Any]:  # noqa: ANN401  # a DOM node
    return lambda: screen.app.run_action(action, node)
