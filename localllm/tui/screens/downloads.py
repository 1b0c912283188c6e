"""What is being fetched, how far it is, and the keys to pause, resume and cancel it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from localllm.api.pull_views import PullView
from localllm.tui.asking import app_of, tell
from localllm.tui.pull_words import UNFINISHED, details_of, waits_to_be_served
from localllm.tui.screens.confirm import Confirm
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.pull_table import PullTable
from localllm.tui.world import World
from localllm.wording.figures import size_of

_NOTHING = """Nothing is being downloaded.

Press s, choose a model, and then
  d      brings it to this disk, and serves it later
  enter  brings it, and serves it at once

In a shell: localllm pull MODEL. A download goes on while this screen is closed."""


class Downloads(Screen[None]):
    """Shows what the daemon fetches."""

    DEFAULT_CSS = """
    Downloads #no-pulls { padding: 1 2; color: $foreground-muted; }
    Downloads #pull-box { height: 1fr; border-top: solid $panel; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "space,p",
            "pause_or_resume",
            "Pause/resume",
            id="pull-pause",
            tooltip="Stop it where it is, or have it go on from there",
        ),
        Binding(
            "x,delete",
            "cancel",
            "Cancel",
            id="pull-cancel",
            tooltip="End it, and remove its half files",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._has_pulls = False

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield Static(_NOTHING, id="no-pulls", markup=False)
        yield PullTable()
        with VerticalScroll(id="pull-box"):
            yield Static(id="pull-details", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._details = Content()
        self._table = self.query_one(PullTable)
        self._lay_out(has_pulls=False)
        self.watch(self.app, "world", self.show)

    def on_screen_resume(self) -> None:
        self.show(app_of(self).world)
        self._table.focus()

    def on_resize(self) -> None:
        self.show(app_of(self).world)

    def show(self, world: World) -> None:
        """Draw what has changed."""
        if not self.is_current:
            return
        pulls = [] if world.now is None else world.now.pulls
        if self._has_pulls != bool(pulls):
            self._lay_out(has_pulls=bool(pulls))
        self._table.show(pulls)
        self._show_details()

    def _lay_out(self, *, has_pulls: bool) -> None:
        self._has_pulls = has_pulls
        self.query_one("#no-pulls").display = not has_pulls
        self._table.display = self.query_one("#pull-box").display = has_pulls
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer what can be done while there is something to do it to."""
        return action not in {"pause_or_resume", "cancel"} or self._has_pulls

    def on_data_table_row_highlighted(self, _event: DataTable.RowHighlighted) -> None:
        self._show_details()

    def action_pause_or_resume(self) -> None:
        """Whichever it needs; one that failed or was cancelled begins again."""
        pull = self._table.selected
        if pull is None:
            return
        if pull.state in {"paused", "failed", "cancelled"}:
            tell(self, lambda daemon: daemon.resume_pull(pull.id))
        elif pull.state in UNFINISHED:
            tell(self, lambda daemon: daemon.pause_pull(pull.id))
        else:
            self._say_over(pull)

    def action_cancel(self) -> None:
        """Ask, and end it."""
        pull = self._table.selected
        if pull is None:
            return
        waits = pull.state == "done" and waits_to_be_served(pull)
        if not waits and pull.state not in UNFINISHED | {"failed"}:
            self._say_over(pull)
            return

        def cancel(yes: bool | None) -> None:  # noqa: FBT001  # as Textual hands it over
            if yes:
                tell(self, lambda daemon: daemon.cancel_pull(pull.id))

        if waits:
            question, price = f"Do not serve {pull.model}?", "It is here, and stays."
        else:
            question = f"Cancel the download of {pull.model}?"
            price = f"Its half files are removed: {size_of(pull.here)} would have to come again."
        self.app.push_screen(Confirm(question, price), cancel)

    def _say_over(self, pull: PullView) -> None:
        self.notify(f"it is {pull.state} already", markup=False)

    def _show_details(self) -> None:
        pull, box = self._table.selected, self.query_one("#pull-details", Static)
        width = (box.content_size.width or self.app.size.width) - 2
        content = Content() if pull is None else details_of(pull, width)
        if not content.is_same(self._details):
            self._details = content
            box.update(content)
