"""The first start: nothing is served, and these are the best choices for this machine; one key begins."""

from __future__ import annotations

from functools import partial
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
from localllm.tui.figures import Tones, bar, speed_in_full, takes_in_words, tones_of
from localllm.tui.first_choices import best_three
from localllm.tui.screens.switcher import Switcher
from localllm.tui.telling import told
from localllm.wording.figures import number_of, size_of
from localllm.wording.plain import plain

_CHAT, _CODE = "chat", "code"
_BAR = 16
_ASKING = "Nothing is served. The best choices for this machine are being planned ..."
_CHOOSE = "Nothing is served. The best choices for this machine; enter begins, s shows all others:"


class FirstList(OptionList):
    """The choices; enter begins with one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "Begin", id="first-begin", tooltip="Fetch and serve this model"),
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

    again_s = 5.0
    """Before a plan that could not be had is asked for again."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # as Textual has it
        super().__init__(id=id)
        self._plans: dict[str, PlanView] = {}
        self._choices: tuple[tuple[str, Choice], ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(_ASKING, id="first-said", markup=False)
        yield FirstList(id="first-choices", markup=False)

    def on_mount(self) -> None:
        self.border_title = "begin"
        self.query_one(OptionList).display = False
        self._errands = Errands(self)
        self._ask(_CHAT)
        self._ask(_CODE)

    def _ask(self, use: str) -> None:
        wanted = PlanRequest() if use == _CHAT else PlanRequest(use="code")
        self._errands.ask(use, lambda daemon: daemon.plan(wanted))

    @on(Came)
    def _came(self, message: Came) -> None:
        """Take a plan in; one that could not be had, since the daemon is busy or gone, is asked for again."""
        answer, use = message.answer, message.what
        if isinstance(answer, PlanView):
            self._plans[use] = answer
            self._show()
            return
        if isinstance(answer, LocalLLMError) and use == _CHAT:
            self._say(told(answer))
        self.set_timer(self.again_s, partial(self._ask, use))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.app.push_screen(Switcher(self._choices[event.option_index][1]))

    def _show(self) -> None:
        chat = self._plans.get(_CHAT)
        if chat is None:
            return
        self._choices = best_three(chat, self._plans.get(_CODE))
        if not self._choices:
            self._say(f"Nothing is served. {plain(chat.advice or 'Nothing fits here.')}")
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
    text.append(f" {takes}, context {number_of(one.context)}\n", "not bold")
    return text.append(f"  {speed_in_full(one.speed)}", "not bold")
