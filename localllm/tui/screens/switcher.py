"""Chooses a model and has it served, fetched, pinned or unloaded; then shows the switch step by step."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from localllm.errors import LocalLLMError
from localllm.tui import choosing as c
from localllm.tui.choices import Choice, pull_request, serve_request
from localllm.tui.errands import Done, Errands, Moved
from localllm.tui.switching import Order, Progress, Step
from localllm.tui.telling import told
from localllm.tui.widgets.chooser import Chooser
from localllm.tui.widgets.steps import Steps
from localllm.tui.words import size_of

_OTHERWISE = "in the list: ← → another quantization, - a smaller context"
_SURE = "enter: fetch it and switch    d, in the list: fetch it only"


class Switcher(ModalScreen[None]):
    """Opened over any screen.

    Args:
        begin: What to begin with at once, where it was chosen elsewhere with its costs in sight.
        text: What the list is filtered by at first.
    """

    DEFAULT_CSS = """
    Switcher { align: center middle; }
    Switcher > #switcher {
        width: 96%; max-width: 180; height: 92%; background: $surface; border: round $primary;
    }
    Switcher.-narrow > #switcher { width: 100%; height: 1fr; border: none; }
    Switcher #said { height: auto; max-height: 6; padding: 0 1; display: none; }
    Switcher #said.-error { color: $error; display: block; }
    Switcher #said.-question { color: $warning; text-style: bold; display: block; }
    Switcher #said.-talk { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "Switch", id="take", tooltip="Serve the selected model"),
        Binding("d", "download", "Download", id="download", tooltip="Fetch it, and serve nothing"),
        Binding("p", "pin", "Pin", id="pin", tooltip="Keep it in memory, or no longer"),
        Binding("u", "unload", "Unload", id="unload", tooltip="Take it out of memory"),
        Binding("question_mark", "app.toggle_help", "Help", tooltip="Every key"),
        Binding("escape", "close", "Close", id="close", tooltip="Close; what was begun goes on"),
    ]

    def __init__(self, begin: Choice | None = None, *, text: str = "") -> None:
        super().__init__()
        self._text = text
        self._begin = begin
        self._sure: str | None = None
        """Of what it was asked whether to fetch it."""

        self._switching: Choice | None = None
        self._progress: Progress | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="switcher"):
            yield Chooser(self._text)
            yield Steps(id="steps")
            yield Static("", id="said", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        self.query_one(Steps).display = False
        self.query_one("#switcher").border_title = "switch the model"
        self._errands = Errands(self.app, self)
        if self._begin is not None:
            self._start(c.Row(self._begin, self._begin, c.NO_WISH, None))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer what can be done where the keyboard is."""
        if action in {"download", "pin", "unload"}:
            return self._switching is None and self.query_one(Chooser).is_in_list
        return action != "take" or self._switching is None or _is_over(self._progress)

    @on(Done)
    def _done(self, message: Done) -> None:
        if message.failure is None:
            self._say(message.said)
        else:
            self._complain(message.failure)

    @on(Moved)
    def _moved(self, message: Moved) -> None:
        if self._switching is None:
            return
        self._progress = message.progress
        name, is_here = c.title(self._switching), self._switching.is_here
        self.query_one(Steps).show(name, message.progress, is_here=is_here)
        self._say(_hint(message.progress))
        self.refresh_bindings()

    @on(Chooser.Failed)
    def _failed(self, message: Chooser.Failed) -> None:
        self._complain(message.error)

    @on(Chooser.Looked)
    def _looked(self) -> None:
        """What was said was said of another choice."""
        if self._switching is None:
            self._sure = None
            self._say("")

    @on(Chooser.Taken)
    def action_take(self) -> None:
        """Serve the selected one; ask before anything is fetched, and refuse what cannot be."""
        if self._switching is not None:
            self.action_close()
            return
        row = self.query_one(Chooser).row
        if row is None:
            return
        if self._is_refused(row):
            return
        if row.shown.is_here or self._sure == row.shown.key:
            self._start(row)
        else:
            self._sure = row.shown.key
            question = c.fetching_question(row, self.query_one(Chooser).store)
            self._say(f"{question}\n{_SURE}", "-question")

    def action_download(self) -> None:
        """Fetch it only."""
        row = self.query_one(Chooser).row
        if row is None:
            return
        name = c.title(row.shown)
        if row.shown.on_disk:
            self._say(f"{name} is on this disk already.")
        elif not self._is_refused(row):
            wanted = pull_request(row.shown, row.wish)
            size = size_of(row.shown.fetch_bytes)
            said = f"{name} is being fetched, {size}; escape, then 3 shows it"
            self._errands.do(said, lambda daemon: daemon.pull(wanted))

    def action_pin(self) -> None:
        """Pin it, or no longer."""
        row = self.query_one(Chooser).row
        served = None if row is None else row.base.served
        if served is None:
            self._say("Only what is served can be pinned; enter serves it.")
            return
        pinned, name = not served.pinned, served.id
        said = "is pinned: it stays in memory" if pinned else "is not pinned any more"
        self._errands.do(f"{name} {said}", lambda daemon: daemon.pin(name, pinned=pinned))

    def action_unload(self) -> None:
        """Take it out of memory."""
        row = self.query_one(Chooser).row
        served = None if row is None else row.base.served
        if served is None:
            self._say("It is not in memory.")
            return
        name = served.id
        self._errands.do(f"{name} is unloaded", lambda daemon: daemon.stop(name))

    def action_close(self) -> None:
        """Go back one step; a switch that is under way goes on without being watched."""
        if self.query_one(Chooser).close_context():
            return
        if self._progress is not None and self._progress.failed is not None:
            self._back_to_list()
            return
        if self._switching is not None and not _is_over(self._progress):
            self.app.notify(f"{c.title(self._switching)}: goes on in the background", markup=False)
        self.dismiss()

    def _is_refused(self, row: c.Row) -> bool:
        """Whether it cannot be begun, now or at all; then it is said why."""
        if row.is_unknown:
            self.query_one(Chooser).ask_now()
            self._say("What that costs is being asked; enter again once it is there.")
            return True
        why_not = c.refusal(row)
        if why_not is not None:
            self._say(f"{why_not}\n{_OTHERWISE}", "-error")
        return why_not is not None

    def _start(self, row: c.Row) -> None:
        pull = None if row.shown.is_here else pull_request(row.shown, row.wish)
        self._switching = row.shown
        self._show_chooser(is_shown=False)
        self._moved(Moved(Progress(Step.ENGINE)))
        self._errands.switch(c.title(row.shown), Order(serve_request(row.shown, row.wish), pull))

    def _back_to_list(self) -> None:
        self._switching = self._progress = self._sure = None
        self._show_chooser(is_shown=True)
        self.query_one(Chooser).enter_list()
        self._say("")

    def _show_chooser(self, *, is_shown: bool) -> None:
        self.query_one(Chooser).display = is_shown
        self.query_one(Steps).display = not is_shown
        if not is_shown:
            self.set_focus(None)

    def _complain(self, error: LocalLLMError) -> None:
        self._say(told(error), "-error")

    def _say(self, text: str, kind: str = "-talk") -> None:
        box = self.query_one("#said", Static)
        box.set_classes(kind if text else "")
        box.update(c.plain_lines(text))


def _is_over(progress: Progress | None) -> bool:
    return progress is not None and (progress.failed is not None or progress.at is Step.READY)


def _hint(progress: Progress) -> str:
    if progress.failed is not None:
        return "enter or escape: back to the list"
    if progress.at is Step.READY:
        return "enter or escape: back to the screen"
    return "escape: leave it going on in the background"
