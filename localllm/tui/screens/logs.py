"""What engines write, and what the daemon has decided: followed live, with a search."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Input, Static, Tabs

from localllm.tui.asking import app_of
from localllm.tui.inbox import Inbox
from localllm.tui.log_source import EVENTS, read_log
from localllm.tui.reading import Reading
from localllm.tui.telling import told
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.log_tabs import LogTabs
from localllm.tui.widgets.log_view import LogView
from localllm.tui.words import plain
from localllm.tui.world import World

_TAKE_EVERY_S = 0.1


class Logs(Screen[None]):
    """Reads one log at a time, in a thread; takes over what has come ten times a second."""

    DEFAULT_CSS = """
    Logs #log-empty { padding: 1 2; color: $text-muted; height: auto; }
    Logs #log-empty.-error { color: $error; }
    Logs #log-search { height: 1; border: none; padding: 0 1; display: none; }
    Logs #log-status { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="log-search", tooltip="Find and mark a text"),
        Binding("n", "hit(1)", "Next", id="log-next", tooltip="Go to the next place"),
        Binding("N", "hit(-1)", "Back", id="log-back", tooltip="Go to the place before"),
        Binding(
            "f", "follow", "Follow", id="log-follow", tooltip="Stay at the end, or stay where it is"
        ),
        Binding(
            "w", "wrap", "Wrap", id="log-wrap", tooltip="Long lines on several rows, or on one"
        ),
        Binding(
            "right_square_bracket", "tab(1)", "Next log", key_display="]", id="log-next-tab",
            tooltip="Show the log beside this one",
        ),
        Binding(
            "left_square_bracket", "tab(-1)", "Log before", key_display="[", id="log-tab-before",
            tooltip="Show the log on the other side", show=False,
        ),
        Binding(
            "escape", "end_search", "End search", id="log-end-search", tooltip="Remove the marks",
            show=False,
        ),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        """So often lines were taken over."""

        self._log: str | None = None
        self._inbox, self._reading = Inbox(), Reading()
        self._is_chosen = False

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield LogTabs()
        yield Static(id="log-empty", markup=False)
        yield LogView(id="log-view")
        yield Input(placeholder="text to find; enter ends, escape forgets", id="log-search")
        yield Static(id="log-status", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self._said: dict[str, Content] = {}
        self._key: tuple[object, ...] = ()
        self._view, self._tabs = self.query_one(LogView), self.query_one(LogTabs)
        self._field = self.query_one("#log-search", Input)
        self._timer = self.set_interval(_TAKE_EVERY_S, self._take)
        self.watch(self.app, "world", self.show)

    def on_screen_resume(self) -> None:
        self._timer.resume()
        self.show(app_of(self).world)
        self._view.focus()

    def on_screen_suspend(self) -> None:
        self._timer.pause()

    def on_unmount(self) -> None:
        self._reading.end()

    def show(self, world: World) -> None:
        """Keep the tabs as the models are."""
        if world.now is None or not self.is_current:
            return
        self._tabs.show_models(world.now.models)
        if not self._is_chosen and world.now.models:
            self._is_chosen = True
            self._tabs.choose_first()

    def on_tabs_tab_activated(self, _event: Tabs.TabActivated) -> None:
        log = self._tabs.log_name
        if log is None or log == self._log:
            return
        self._log = log
        self._reading.end()
        self._inbox, self._reading = Inbox(), Reading()
        self._view.clear()
        source = app_of(self).source
        work = partial(read_log, source, log, self._inbox, self._reading)
        self.run_worker(work, thread=True, group="log")
        self._take()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._view.look_for(event.value)
        self._say_how_it_is()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._field.display = bool(self._field.value)
        self._view.focus()
        self.action_hit(1)

    def action_search(self) -> None:
        """Ask for a text."""
        self._field.display = True
        self._field.focus()

    def action_end_search(self) -> None:
        """Forget it."""
        self._field.value = ""
        self._field.display = False
        self._view.focus()

    def action_hit(self, step: int) -> None:
        """Go to another place where it is."""
        self._view.go_to_hit(step)
        self._say_how_it_is()

    def action_follow(self) -> None:
        """Begin or end to follow what comes."""
        self._view.follow(on=not self._view.following)
        self._say_how_it_is()

    def action_wrap(self) -> None:
        """Wrap long lines, or do not."""
        self._view.wrap_lines(on=not self._view.wrap)
        self._say_how_it_is()

    def action_tab(self, step: int) -> None:
        """Show another log."""
        if step > 0:
            self._tabs.action_next_tab()
        else:
            self._tabs.action_previous_tab()

    def _take(self) -> None:
        lines = self._inbox.take()
        if lines:
            self.batches += 1
            self._view.add(lines)
        self._say_how_it_is()

    def _say_how_it_is(self) -> None:
        view, search = self._view, self._view.search
        how = (view.following, view.wrap, view.kept.end, search.text, search.at, len(search.hits))
        key = (*how, self._log, self._reading.error)
        if key == self._key:
            return
        self._key = key
        error, is_empty = self._reading.error, not self._view.kept.lines
        empty = self.query_one("#log-empty", Static)
        if empty.display != (is_empty or error is not None):
            empty.display = not empty.display
        empty.set_class(error is not None, "-error")
        self._say("#log-empty", Content(self._why_empty() if error is None else told(error)))
        self._say("#log-status", self._status())

    def _why_empty(self) -> str:
        if self._log == EVENTS:
            return "Nothing has happened since the daemon was started."
        if self._log is None:
            return "Looking for the daemon."
        return "The engine of this model has written nothing yet."

    def _status(self) -> Content:
        view, search = self._view, self._view.search
        parts = [
            Content.styled("following", "bold $success")
            if view.following
            else Content.styled("stopped here (end or f goes on)", "$warning"),
            Content(f"{len(view.kept.lines):,} lines"),
            Content("long lines wrapped" if view.wrap else "long lines cut (w wraps)"),
        ]
        if view.kept.gone:
            parts.insert(2, Content(f"{view.kept.gone:,} earlier ones left out"))
        if search.text:
            place = "" if search.at is None else f"{search.at + 1} of "
            parts.insert(1, Content(f"“{plain(search.text)}”: {place}{len(search.hits):,}"))
        return Content("  ").join(parts)

    def _say(self, where: str, content: Content) -> None:
        before = self._said.get(where)
        if before is None or not content.is_same(before):
            self._said[where] = content
            self.query_one(where, Static).update(content)
