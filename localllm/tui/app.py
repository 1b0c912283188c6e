"""The screen as a whole: looks at the daemon twice a second, and shows one of its screens."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from rich.traceback import Traceback
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Input, TextArea

from localllm.api.now_views import NowView
from localllm.errors import LocalLLMError, NotRunning
from localllm.tui.screens.agents import Agents
from localllm.tui.screens.chat import Chat
from localllm.tui.screens.dashboard import Dashboard, RequestChosen
from localllm.tui.screens.downloads import Downloads
from localllm.tui.screens.help import Help, keys_of
from localllm.tui.screens.logs import Logs
from localllm.tui.screens.plan import Plan
from localllm.tui.screens.request import RequestScreen
from localllm.tui.screens.switcher import Switcher
from localllm.tui.source import Source
from localllm.tui.themes import THEMES, theme_for
from localllm.tui.widgets.header import TABS
from localllm.tui.world import World, lost, seen
from localllm.wording.plain import plain

_LOOK_EVERY_S = 0.5
_SILENT = "a daemon runs, and does not answer"
_PATIENCE_S = 3.0
"""What it shows at once takes no time; after so much it is as good as lost."""

_THREADS = 32
"""Streams and calls that wait at the same time; asyncio would have no more than a machine has cores, and four."""


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

    world: reactive[World] = reactive(World(), repaint=False)  # else each look draws all
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

    def on_load(self) -> None:
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="screen")
        asyncio.get_running_loop().set_default_executor(pool)

    def on_mount(self) -> None:
        self._look()
        self.set_interval(_LOOK_EVERY_S, self._look)

    def delay_update(self, delay: float = 0.0) -> None:
        """Draw another screen at once: Textual 8.2 holds each back for 50 ms, and a key is to be answered by then."""
        if delay:
            super().delay_update(delay)

    def on_unmount(self) -> None:
        self.source.close()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer to start a daemon only where there is none, and s where it is no text."""
        if action == "choose":  # of keys with another one beside them Textual does not see that
            asking = (one for one in reversed(self.screen_stack) if not one.is_modal)
            below = next(asking, None)  # what is over it has keys of its own
            return below is None or not isinstance(below.focused, Input | TextArea)
        return action != "start_daemon" or self.world.is_without

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
        if isinstance(self.screen, Help):
            self.screen.dismiss()
        else:
            self.push_screen(Help(keys_of(self.screen)))

    def action_start_daemon(self) -> None:
        """Start a daemon where there is none."""
        if not self._starting:
            self._starting = True
            self.notify("starting the daemon", markup=False)
            work = partial(copy_context().run, self._start)
            threading.Thread(target=work, daemon=True).start()  # the end does not wait for it

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Name every action in the command palette."""
        others = {"Keys", "Screenshot"} if self.is_web else {"Keys"}  # no file on another's disk
        yield from (one for one in super().get_system_commands(screen) if one.title not in others)
        yield SystemCommand("Help", "Every key of this screen", self.action_toggle_help)
        for _, mode, name in TABS:
            yield SystemCommand(name, f"Show the screen {name}", _going(self, mode))
        yield SystemCommand("Switch model", "Choose the model that is served", self.action_choose)
        yield SystemCommand("Next theme", "Dark, light, high contrast", self.action_next_theme)
        if self.world.is_without:
            yield SystemCommand("Start daemon", "Start the daemon", self.action_start_daemon)
        yield from _of_screen(screen)

    def on_request_chosen(self, message: RequestChosen) -> None:
        """Show all of a request."""
        self.push_screen(RequestScreen(self.source, message.request))

    def on_localllm_looked(self, message: Looked) -> None:
        """Take a look in."""
        self._looking = False
        found = message.found
        if isinstance(found, LocalLLMError):
            is_there = not isinstance(found, NotRunning)
            self._be(lost(self.world, found.why, self._clock(), is_there=is_there))
        else:
            self._be(seen(self.world, found))

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

    def _fatal_error(self) -> None:
        """Say where the screen broke: Textual 8.2 adds what was at hand there, prompts and the token."""
        self.panic(Traceback())

    def _be(self, world: World) -> None:
        was_without = self.world.is_without
        self.world = world
        if was_without != world.is_without:
            self.refresh_bindings()  # one can only be started where there is none

    def _look(self) -> None:
        """Ask once more, unless the last question has no answer yet."""
        if not self._looking:
            self._looking = True
            self._asked_at = self._clock()
            self.run_worker(self._ask, thread=True, group="look")
        elif self._clock() - self._asked_at > _PATIENCE_S and self.world.lost_since is None:
            self._be(lost(self.world, _SILENT, self._asked_at, is_there=True))

    def _ask(self) -> None:
        self.post_message(self.Looked(self.source.answer(lambda daemon: daemon.now())))

    def _start(self) -> None:
        failure = None
        try:
            self.source.start()
        except LocalLLMError as error:
            failure = error
        with suppress(RuntimeError):  # the screen was closed meanwhile, and its loop with it
            self.post_message(self.Started(failure))


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
