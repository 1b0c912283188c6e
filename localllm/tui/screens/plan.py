"""What would run, here or on another machine, with every number: as `localllm plan` has it."""

from __future__ import annotations

from itertools import count
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from localllm.api.views import CandidateView, PlanRequest, PlanView
from localllm.errors import LocalLLMError
from localllm.tui.asking import app_of
from localllm.tui.errands import Came, Errands
from localllm.tui.figures import legend, tones_of
from localllm.tui.plan_words import formulas_of, sentences_of
from localllm.tui.screens.explained import Explained
from localllm.tui.telling import told
from localllm.tui.widgets.header import StatusHeader
from localllm.tui.widgets.key_line import KeyLine
from localllm.tui.widgets.line import Line
from localllm.tui.widgets.plan_table import PlanTable
from localllm.tui.world import World
from localllm.wording.plain import plain, plain_text
from localllm.wording.plans import name_of, title_of

_MODEL = "a model of the catalog, hf:OWNER/REPO, or a path; empty: the whole catalog"
_MACHINE = "another machine, as in rtx5090, 2xrtx4090, m4-max-128; empty: this one"
_PLAN, _FORMULAS = "plan", "formulas"


class Plan(Screen[None]):
    """Shows the served model's quantizations at first; without one, the best of each model."""

    DEFAULT_CSS = """
    Plan > #title { height: 1; padding: 0 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    Plan > PlanTable { height: 1fr; }
    Plan > #asked { height: 1; border: none; padding: 0 1; background: $panel; display: none; }
    Plan > #asked.-open { display: block; }
    Plan > #reasons { height: auto; max-height: 7; padding: 0 1; background: $panel; }
    Plan > #reasons.-error { color: $error; }
    Plan > #legend { height: 1; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "ask('model')", "Model", id="plan-model", tooltip="Plan another model"),
        Binding(
            "x", "ask('machine')", "Machine", id="plan-machine",
            tooltip="Plan for another machine",
        ),
        Binding(
            "e", "explain", "Explain", id="plan-explain", tooltip="Each number with its formula"
        ),
        Binding(
            "r", "again", "Again", id="plan-again", tooltip="Plan anew: memory is another by now"
        ),
        Binding(
            "escape", "close", "Leave the line", id="plan-close", tooltip="Back to the table"
        ),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._wanted: PlanRequest | None = None
        """None until it is known what is served."""

        self._asking_for = ""
        self._is_open = False
        self._asks = count(1)
        self._newest: dict[str, str] = {}
        """Of each kind of question the newest: what comes of older ones is of no use."""

        self._view: PlanView | None = None
        self._selected: str | None = None

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield Static("planning ...", id="title", markup=False)
        yield PlanTable(name_id="candidates")
        yield Static("", id="legend", markup=False)
        yield Line(id="asked")
        yield Static("", id="reasons", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        self._errands = Errands(self)
        self.watch(self.app, "world", self._begin)
        self.watch(self.app, "theme", self._draw_again, init=False)
        self.query_one(PlanTable).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Explain only what is there; leave the line only where it is open."""
        if action == "close":
            return self._is_open
        return action != "explain" or self._selected_one() is not None

    def action_ask(self, what: str) -> None:
        """Open the line for another model or machine."""
        box, wanted = self.query_one("#asked", Input), self._wanted or PlanRequest()
        self._asking_for = what
        box.value = (wanted.model if what == "model" else wanted.hardware) or ""
        box.placeholder = _MODEL if what == "model" else _MACHINE
        self._open(is_open=True)
        box.focus()

    def action_close(self) -> None:
        """Leave the line."""
        self._open(is_open=False)
        self.query_one(PlanTable).focus()

    def _open(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self.query_one("#asked").set_class(is_open, "-open")
        self.refresh_bindings()

    def action_again(self) -> None:
        """Ask the same once more."""
        self._ask(self._wanted or PlanRequest())

    def action_explain(self) -> None:
        """Get the formulas of the selected one."""
        one, wanted = self._selected_one(), self._wanted
        if one is not None and wanted is not None:
            request = PlanRequest(
                model=one.model, quant=one.quant, hardware=wanted.hardware, explain=True
            )
            self._put(_FORMULAS, request)

    @on(Input.Submitted, "#asked")
    def _asked(self, event: Input.Submitted) -> None:
        said, wanted = event.value.strip() or None, self._wanted or PlanRequest()
        self.action_close()
        if self._asking_for == "model":
            self._ask(PlanRequest(model=said, hardware=wanted.hardware))
        else:
            self._ask(PlanRequest(model=wanted.model, hardware=said))

    @on(Came)
    def _came(self, message: Came) -> None:
        answer, newest = message.answer, self._newest
        if message.what == newest.get(_FORMULAS):
            if isinstance(answer, LocalLLMError):
                app_of(self).complain(answer)
            elif isinstance(answer, PlanView):
                self._explain(answer)
        elif message.what == newest.get(_PLAN):
            self._take_plan(answer)

    def _take_plan(self, answer: object) -> None:
        if isinstance(answer, LocalLLMError):
            self._say(told(answer), is_error=True)
            self._title(f"no plan of {self._asked_for()}")
        elif isinstance(answer, PlanView):
            self._view = answer
            self._selected = str(answer.choice or 0)
            self._draw()

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._selected = self.query_one(PlanTable).selected_key
        self._draw_reasons()
        self.refresh_bindings()

    def _begin(self, world: World) -> None:
        """Ask for the first time: for what is served then."""
        if self._wanted is None and world.now is not None:
            served = next((one.view for one in world.now.models if one.view.current), None)
            self._ask(PlanRequest(model=None if served is None else served.id))

    def _ask(self, wanted: PlanRequest) -> None:
        self._wanted = wanted
        self._title(f"planning {self._asked_for()} ...")
        self._newest.pop(_FORMULAS, None)  # of what is not shown any more
        self._put(_PLAN, wanted)

    def _put(self, kind: str, wanted: PlanRequest) -> None:
        question = self._newest[kind] = f"{kind} {next(self._asks)}"
        self._errands.ask(question, lambda daemon: daemon.plan(wanted))

    def _asked_for(self) -> str:
        wanted = self._wanted or PlanRequest()
        machine = f" on {wanted.hardware}" if wanted.hardware else ""
        return plain(f"{wanted.model or 'the catalog'}{machine}")

    def _selected_one(self) -> CandidateView | None:
        if self._view is None or self._selected is None:
            return None
        at = int(self._selected)
        return self._view.candidates[at] if at < len(self._view.candidates) else None

    def _draw(self) -> None:
        assert self._view is not None
        self._title(title_of(self._view))
        self.query_one("#legend", Static).update(legend(tones_of(self.app.theme_variables)))
        self.query_one(PlanTable).show_plan(self._view, self._selected)
        self._draw_reasons()
        self.refresh_bindings()

    def _draw_again(self) -> None:
        if self._view is not None:
            self._draw()

    def _draw_reasons(self) -> None:
        one = self._selected_one()
        if one is None or self._view is None:
            self._say("no model of the catalog is meant for this use" if self._view else "")
            return
        notes = [f"note: {text}" for text in self._view.hardware.warnings]
        is_choice = self._selected == str(self._view.choice)
        self._say("\n".join([*sentences_of(one, self._view, is_choice=is_choice), *notes]))

    def _explain(self, view: PlanView) -> None:
        found = next((one for one in view.candidates if one.explanation), None)
        if found is None:
            self.app.notify("Nobody tells enough of it for formulas.", markup=False)
        else:
            name = f"{found.model} {name_of(found, view)}" if view.model else name_of(found, view)
            self.app.push_screen(Explained(plain(name), formulas_of(found)))

    def _title(self, text: str) -> None:
        self.query_one("#title", Static).update(Text(text))

    def _say(self, text: str, *, is_error: bool = False) -> None:
        box = self.query_one("#reasons", Static)
        box.set_class(is_error, "-error")
        box.update(plain_text(text))
