"""What engines write, and what the daemon has decided: followed live, with a search."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static, Tabs

from localllm.errors import LocalLLMError, NotRunning
from localllm.tui.asking import app_of
from localllm.tui.inbox import Inbox
from localllm.tui.log_source import EVENTS, read_log
from localllm.tui.reading import Reading
from localllm.tui.telling import told
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.line import Line
from localllm.tui.widgets.log_tabs import LogTabs
from localllm.tui.widgets.log_view import LogView
from localllm.tui.words import as_many_as_fit
from localllm.tui.world import World
from localllm.wording.plain import plain

_TAKE_EVERY_S = 0.1


class Logs(Screen[None]):
    """Reads one log at a time, in a thread; takes over what has come ten times a second."""

    DEFAULT_CSS = """
    Logs #log-empty { padding: 1 2; color: $foreground-muted; height: auto; }
    Logs #log-empty.-error { color: $error; }
    Logs #log-search { height: 1; border: none; padding: 0 1; display: none; }
    Logs #log-status { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", id="log-search", tooltip="Find and mark a text"),
        Binding("n", "hit(1)", "Next", id="log-next", tooltip="Go to the next place"),
        Binding(
            "N", "hit(-1)", "Back", id="log-back", tooltip="Go to the place before", show=False
        ),
        Binding(
            "f", "follow", "Follow", id="log-follow", tooltip="Stay at the end, or stay where it is"
        ),
        Binding(
            "w", "wrap", "Wrap", id="log-wrap", tooltip="Long lines on several rows, or on one"
        ),
        Binding(
            "right_square_bracket", "tab(1)", "Log", key_display="]", id="log-next-tab",
            tooltip="Show the log beside this one",
        ),
        Binding(
            "left_square_bracket", "tab(-1)", "Log before", key_display="[", id="log-tab-before",
            tooltip="Show the log on the other side", show=False,
        ),
        Binding(
            "escape", "end_search", "Clear", id="log-end-search", tooltip="Remove the marks"
        ),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        """So often lines were taken over."""

        self._log: str | None = None
        self._inbox, self._reading = Inbox(), Reading()
        self._is_chosen = False
        self._is_searching = self._has_search = False

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield LogTabs()
        yield Static(id="log-empty", markup=False)
        yield LogView(id="log-view")
        yield Line(placeholder="text to find; enter ends, escape forgets", id="log-search")
        yield Static(id="log-status", markup=False)
        yield KeyLine()

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer the next place, and to end a search, only where something is searched for."""
        if action == "end_search":
            return self._is_searching
        return action != "hit" or self._has_search

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
        self._has_search = bool(event.value)
        self.refresh_bindings()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._show_field(is_shown=bool(self._field.value))
        self._view.focus()
        self.action_hit(1)

    def action_search(self) -> None:
        """Ask for a text."""
        self._show_field(is_shown=True)
        self._field.focus()

    def action_end_search(self) -> None:
        """Forget it."""
        self._field.value = ""
        self._show_field(is_shown=False)
        self._view.focus()

    def _show_field(self, *, is_shown: bool) -> None:
        self._is_searching = self._field.display = is_shown
        self.refresh_bindings()

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
        error, is_empty = self._trouble(), not self._view.kept.lines
        key = (*how, self._log, error)
        if key == self._key:
            return
        self._key = key
        empty = self.query_one("#log-empty", Static)
        if empty.display != (is_empty or error is not None):
            empty.display = not empty.display
        empty.set_class(error is not None, "-error")
        self._say("#log-empty", Content(self._why_empty() if error is None else told(error)))
        self._say("#log-status", self._status())

    def _trouble(self) -> LocalLLMError | None:
        """Why nothing comes; that no daemon ran is over as soon as one does, be its log empty."""
        error = self._reading.error
        is_over = isinstance(error, NotRunning) and app_of(self).world.is_connected
        return None if is_over else error

    def _why_empty(self) -> str:
        if self._log == EVENTS:
            return "Nothing has happened since the daemon was started."
        if self._log is None:
            return "Looking for the daemon."
        return "The engine of this model has written nothing yet."

    def _status(self) -> Content:
        """As much as has room: whether it follows, what is searched, how much there is."""
        view, search = self._view, self._view.search
        how, style = "following", "bold $success"
        if not view.following:
            how, style = "stopped here (f goes on)", "$warning"
        parts = [f"{len(view.kept.lines):,} lines"]
        if search.text:
            place = "" if search.at is None else f"{search.at + 1} of "
            parts.insert(0, f"“{plain(search.text)}”: {place}{len(search.hits):,}")
        if view.kept.gone:
            parts.append(f"{view.kept.gone:,} earlier ones left out")
        parts.append("long lines wrapped" if view.wrap else "long lines cut")
        room = self.app.size.width - 2 - len(how) - 2
        return Content.assemble((how, style), "  ", as_many_as_fit(parts, "  ", room))

    def _say(self, where: str, content: Content) -> None:
        before = self._said.get(where)
        if before is None or not content.is_same(before):
            self._said[where] = content
            self.query_one(where, Static).update(content)
