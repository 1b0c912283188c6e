"""Chooses a model and has it served, fetched, pinned or unloaded; shows the switch step by step.

One that is under way, whoever has begun it, is shown first.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from localllm.errors import LocalLLMError
from localllm.tui import choosing as c
from localllm.tui.asking import app_of
from localllm.tui.choices import Choice, pull_request, serve_request
from localllm.tui.errands import Done, Errands, Moved
from localllm.tui.switch_steps import Progress, Step
from localllm.tui.switcher_words import (
    first_of,
    hint_of,
    is_over,
    is_too_big,
    unloading_question,
)
from localllm.tui.switching import Order, with_engine
from localllm.tui.telling import told
from localllm.tui.under_way import switch_under_way
from localllm.tui.widgets.chooser import Chooser
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.steps import Steps
from localllm.wording.figures import size_of
from localllm.wording.plain import plain_text

_OTHERWISE = "in the list: ← → another quantization, - a smaller context"
_SURE = "enter: fetch it and switch    d, in the list: fetch it only"
_LARGE_BYTES = 10 << 30
"""What is fetched without a question if it was asked for by the key that does no more."""


class Switcher(ModalScreen[None]):
    """Opened over any screen.

    Args:
        begin: What to begin with at once, where it was chosen elsewhere with its costs in sight.
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
        Binding("enter", "take", "Switch", id="switcher-take", tooltip="Serve the selected model"),
        Binding(
            "d",
            "download",
            "Download",
            id="switcher-download",
            tooltip="Fetch it, and serve nothing",
        ),
        Binding("p", "pin", "Pin", id="switcher-pin", tooltip="Keep it in memory, or no longer"),
        Binding("u", "unload", "Unload", id="switcher-unload", tooltip="Take it out of memory"),
        Binding(
            "s,slash",
            "list",
            "Another",
            id="switcher-list",
            key_display="s",
            tooltip="Choose another",
        ),
        Binding(
            "question_mark", "app.toggle_help", "Help", id="switcher-help", tooltip="Every key"
        ),
        Binding(
            "escape", "close", "Close", id="switcher-close", tooltip="Close; what was begun goes on"
        ),
    ]

    def __init__(self, begin: Choice | None = None) -> None:
        super().__init__()
        self._begin = begin
        self._sure: str | None = None
        """What it was asked about: the same key again is the answer."""

        self._model = ""
        self._order: Order | None = None
        """The switch that is shown; None: the list is."""

        self._is_here = True
        """Nothing has to be fetched for it."""

        self._progress: Progress | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="switcher"):
            yield Chooser()
            yield Steps(id="steps")
            yield Static("", id="said", markup=False)
        yield KeyLine(compact=True)

    def on_mount(self) -> None:
        self.query_one(Steps).display = False
        self.query_one("#switcher").border_title = "switch the model"
        self._errands = Errands(self)
        if self._begin is not None:
            self._start(c.Row(self._begin, self._begin, c.NO_WISH, None))
        elif (found := switch_under_way(app_of(self).world.now)) is not None:
            self._watch(found.name, found.order, first_of(found), is_here=found.is_here)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer what can be done where the keyboard is."""
        if action in {"download", "pin", "unload"}:
            return self._order is None and self.query_one(Chooser).is_in_list
        if action == "list":
            return self._order is not None
        return action != "take" or self._order is None or is_over(self._progress)

    @on(Done)
    def _done(self, message: Done) -> None:
        if message.failure is None:
            self._say(message.said)
        else:
            self._complain(message.failure)

    @on(Moved)
    def _moved(self, message: Moved) -> None:
        if message.order is self._order:
            self._show_steps(message.progress)

    @on(Chooser.Failed)
    def _failed(self, message: Chooser.Failed) -> None:
        self._complain(message.error)

    @on(Chooser.Looked)
    def _looked(self) -> None:
        """What was said was said of another choice."""
        if self._order is None:
            self._sure = None
            self._say("")

    @on(Chooser.Taken)
    def action_take(self) -> None:
        """Serve the selected one; ask before anything is fetched, and refuse what cannot be."""
        if self._order is not None:
            self._take_steps(self._order)
            return
        row = self.query_one(Chooser).row
        if row is None or self._is_refused(row):
            return
        if row.shown.is_here or self._is_sure_to_fetch(row):
            self._start(row)

    def _take_steps(self, order: Order) -> None:
        """Fetch the engine that lacks; else go back one step."""
        if self._progress is None or self._progress.offer is None:
            self.action_close()
        else:
            first = Progress(Step.ENGINE, "is being looked for")
            self._watch(self._model, with_engine(order), first, is_here=self._is_here)

    def action_list(self) -> None:
        """Choose another one; what is under way goes on."""
        self._back_to_list()

    def action_download(self) -> None:
        """Fetch it only; what is large, or does not fit, after a question."""
        row = self.query_one(Chooser).row
        if row is None:
            return
        name, size_bytes = c.title(row.shown), row.shown.fetch_bytes
        if row.shown.on_disk:
            self._say(f"{name} is on this disk already.")
        elif is_too_big(row):
            question = f"{c.refusal(row)}\nd again: fetch it all the same"
            if self._is_sure(f"anyway {row.shown.key}", question):
                self._fetch(row, anyway=True)
        elif not self._is_refused(row):
            is_small = size_bytes is not None and size_bytes < _LARGE_BYTES
            if is_small or self._is_sure_to_fetch(row):
                self._fetch(row, anyway=False)

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
        name, question = served.id, unloading_question(served)
        if question is None or self._is_sure(f"unload {served.instance}", question):
            self._say("")
            self._errands.do(f"{name} is unloaded", lambda daemon: daemon.stop(name))

    def action_close(self) -> None:
        """Go back one step; a switch that is under way goes on without being watched."""
        if self.query_one(Chooser).close_context():
            return
        if self._progress is not None and self._progress.failed is not None:
            self._back_to_list()
            return
        if self._order is not None and not is_over(self._progress):
            self.app.notify(f"{self._model}: goes on in the background", markup=False)
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

    def _is_sure_to_fetch(self, row: c.Row) -> bool:
        question = c.fetching_question(row, self.query_one(Chooser).store)
        return self._is_sure(f"fetch {row.shown.key}", f"{question}\n{_SURE}")

    def _is_sure(self, what: str, question: str) -> bool:
        """Whether it was asked before; else ask now."""
        is_sure, self._sure = self._sure == what, what
        if is_sure:
            self._sure = None
        else:
            self._say(question, "-question")
        return is_sure

    def _fetch(self, row: c.Row, *, anyway: bool) -> None:
        wanted = msgspec.structs.replace(pull_request(row.shown, row.wish), anyway=anyway)
        size = size_of(row.shown.fetch_bytes)
        said = f"{c.title(row.shown)} is being fetched, {size}; escape, then 3 shows it"
        self._errands.do(said, lambda daemon: daemon.pull(wanted))

    def _start(self, row: c.Row) -> None:
        shown, order = row.shown, serve_request(row.shown, row.wish)
        if not shown.is_here:
            order = msgspec.structs.replace(pull_request(shown, row.wish), then="switch")
        self._watch(c.title(shown), order, Progress(Step.ENGINE), is_here=shown.is_here)

    def _watch(self, name: str, order: Order, first: Progress, *, is_here: bool) -> None:
        self._model, self._order, self._is_here = name, order, is_here
        self._show_chooser(is_shown=False)
        self._show_steps(first)
        self._errands.switch(name, order)

    def _show_steps(self, progress: Progress) -> None:
        self._progress = progress
        self.query_one(Steps).show(self._model, progress, is_here=self._is_here)
        self._say(hint_of(progress))
        self.refresh_bindings()

    def _back_to_list(self) -> None:
        self._order = self._progress = self._sure = None
        self._show_chooser(is_shown=True)
        self.query_one(Chooser).enter_list()
        self._say("")

    def _show_chooser(self, *, is_shown: bool) -> None:
        chooser = self.query_one(Chooser)
        chooser.display = is_shown
        chooser.disabled = not is_shown  # else Textual gives a hidden field the keyboard
        self.query_one(Steps).display = not is_shown
        if not is_shown:
            self.set_focus(None)

    def _complain(self, error: LocalLLMError) -> None:
        self._say(told(error), "-error")

    def _say(self, text: str, kind: str = "-talk") -> None:
        box = self.query_one("#said", Static)
        box.set_classes(kind if text else "")
        box.update(plain_text(text))
