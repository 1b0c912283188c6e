"""The first start: nothing is served, and these are the best choices for this machine; one key begins."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from localllm.api.views import PlanRequest, PlanView
from localllm.errors import LocalLLMError
from localllm.tui.choices import Choice
from localllm.tui.choosing import title
from localllm.tui.errands import Came, Errands
from localllm.tui.figures import Tones, bar, context_of, speed_in_full, takes_in_words, tones_of
from localllm.tui.first_choices import best_three
from localllm.tui.screens.switcher import Switcher
from localllm.tui.telling import told
from localllm.tui.words import plain, size_of

_BAR = 16
_ASKING = "Nothing is served. The best choices for this machine are being planned ..."
_CHOOSE = "Nothing is served. The best choices for this machine; enter begins, s shows all others:"


class FirstList(OptionList):
    """The choices; enter begins with one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Begin", id="begin", tooltip="Fetch and serve this model"),
    ]


class FirstChoices(Vertical):
    """Asks for a plan once it is on the screen; whoever shows it, shows it while nothing is served."""

    DEFAULT_CSS = """
    FirstChoices { height: auto; padding: 0 1; }
    FirstChoices > Static { height: auto; }
    FirstChoices > OptionList, FirstChoices > OptionList:focus {
        height: auto; max-height: 100%; border: none; padding: 0;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # as Textual has it
        super().__init__(id=id)
        self._chat: PlanView | None = None
        self._code: PlanView | None = None
        self._choices: tuple[tuple[str, Choice], ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(_ASKING, id="first-said", markup=False)
        yield FirstList(id="first-choices", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).display = False
        errands = Errands(self.app, self)
        errands.ask("chat", lambda daemon: daemon.plan(PlanRequest()))
        errands.ask("code", lambda daemon: daemon.plan(PlanRequest(use="code")))

    @on(Came)
    def _came(self, message: Came) -> None:
        answer = message.answer
        if isinstance(answer, LocalLLMError):
            if message.what == "chat":
                self._say(told(answer))
            return
        if isinstance(answer, PlanView):
            if message.what == "chat":
                self._chat = answer
            else:
                self._code = answer
            self._show()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.app.push_screen(Switcher(self._choices[event.option_index][1]))

    def _show(self) -> None:
        if self._chat is None:
            return
        self._choices = best_three(self._chat, self._code)
        if not self._choices:
            self._say(f"Nothing is served. {plain(self._chat.advice or 'Nothing fits here.')}")
            return
        self._say(_CHOOSE)
        box = self.query_one(OptionList)
        at = box.highlighted or 0
        tones = tones_of(self.app.theme_variables)
        box.set_options([Option(render_first(*one, tones)) for one in self._choices])
        box.highlighted = min(at, len(self._choices) - 1)
        if not box.display:
            box.display = True
            box.focus()

    def _say(self, text: str) -> None:
        self.query_one("#first-said", Static).update(text)


def render_first(label: str, one: Choice, tones: Tones) -> Text:
    """Say in three lines what it is, what it costs and how fast it is."""
    fetch = "nothing to fetch" if one.on_disk else f"{size_of(one.fetch_bytes)} to fetch"
    text = Text(title(one), "bold").append(f"  {label}, {fetch}\n", "not bold")
    text.append("  ", "not bold").append_text(bar(one.takes, _BAR, tones))
    takes = takes_in_words(one.takes, one.takes_bytes)
    text.append(f" {takes}, context {context_of(one.context)}\n", "not bold")
    return text.append(f"  {speed_in_full(one.speed)}", "not bold")
