"""A list of models with a filter over it and the selected one's costs below it, in any quantization and context.

The filter has the keyboard first, so letters are text there; from the list they are commands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.message import Message
from textual.timer import Timer
from textual.widgets import DataTable, Input

from localllm.api.store_views import StoreView
from localllm.api.views import PlanRequest, PlanView
from localllm.errors import LocalLLMError
from localllm.tui import choosing as c
from localllm.tui.asking import app_of
from localllm.tui.errands import Came, Costs, Errands
from localllm.tui.widgets.choice_detail import ChoiceDetail
from localllm.tui.widgets.choice_table import ChoiceTable
from localllm.tui.widgets.filter_box import FilterBox
from localllm.tui.widgets.line import Line

_SOON_S = 0.25
"""Without another key, before it is asked what a choice costs."""

_COMMANDS = "dpuc+-=/?"
"""Letters that the list takes; any other goes on with the filter."""


class Chooser(Vertical):
    """Asks for plan and disk by itself, and shows what has come first."""

    DEFAULT_CSS = """
    Chooser { height: 1fr; }
    Chooser Input { height: 1; border: none; padding: 0 1; background: $panel; }
    Chooser Input:focus { border: none; background: $surface; text-style: bold; }
    Chooser ChoiceTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="chooser-filter", tooltip="To the filter"),
        Binding(
            "plus,equals_sign", "context(1)", "Context", id="chooser-context", key_display="+-",
            tooltip="Twice the context",
        ),
        Binding(
            "minus", "context(-1)", "Less context", id="chooser-less-context", show=False,
            tooltip="Half the context",
        ),
        Binding(
            "c", "type_context", "Type a context", id="chooser-type-context", show=False,
            tooltip="A context in tokens",
        ),
    ]  # fmt: skip

    @dataclass
    class Taken(Message):
        """Enter, or a second click, on a row."""

    @dataclass
    class Looked(Message):
        """Another row is selected, or it is wanted otherwise."""

    @dataclass
    class Failed(Message):
        """The plan or the disk could not be had."""

        error: LocalLLMError

    def __init__(self) -> None:
        super().__init__()
        self._known = c.Choosing()
        self._rows: tuple[c.Row, ...] = ()
        self._selected: str | None = None
        self._asked: set[c.Question] = set()
        self._soon: Timer | None = None

    @property
    def row(self) -> c.Row | None:
        """The selected one."""
        return next((row for row in self._rows if row.base.key == self._selected), None)

    @property
    def store(self) -> StoreView | None:
        return self._known.store

    @property
    def is_in_list(self) -> bool:
        """Whether letters are commands."""
        return self.has_focus_within and isinstance(self.screen.focused, ChoiceTable)

    def compose(self) -> ComposeResult:
        yield FilterBox()
        yield ChoiceTable(name_id="choices")
        yield ChoiceDetail(id="detail")
        yield Line(
            placeholder="context in tokens; empty: as many as fit", id="context", type="integer"
        )

    def on_mount(self) -> None:
        self.query_one("#context").display = False
        self._errands = Errands(self)
        self._errands.ask("plan", lambda daemon: daemon.plan(PlanRequest()))
        self._errands.ask("store", lambda daemon: daemon.store(fit=False))
        self.watch(self.app, "world", self._show)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer what can be done where the keyboard is."""
        return self.is_in_list or action not in {"filter", "context", "type_context"}

    def ask_now(self) -> None:
        """Ask what the selected one costs: for an address, which is asked for once it is typed to its end."""
        self._ask_costs()

    def close_context(self) -> bool:
        """Leave the line for a context; False if it was not open."""
        box = self.query_one("#context")
        was_open = bool(box.display)
        box.display = False
        if was_open:
            self.query_one(ChoiceTable).focus()
        return was_open

    def enter_list(self) -> None:
        """Give the list the keyboard."""
        self.query_one(ChoiceTable).focus()

    @on(Came)
    def _came(self, message: Came) -> None:
        answer = message.answer
        if isinstance(answer, LocalLLMError):
            self.post_message(self.Failed(answer))
            self._known = replace(
                self._known, troubles={**self._known.troubles, message.what: answer}
            )
        elif isinstance(answer, PlanView):
            self._known = replace(self._known, plan=answer)
        else:
            self._known = replace(self._known, store=answer)
        self._show()

    @on(Costs)
    def _costs(self, message: Costs) -> None:
        self._known = c.with_plan(self._known, message.question, message.answer)
        self._show()

    @on(Input.Changed, "#filter")
    def _filter_changed(self) -> None:
        self._show()
        self.post_message(self.Looked())

    @on(FilterBox.Left)
    def _filter_left(self, message: FilterBox.Left) -> None:
        table = self.query_one(ChoiceTable)
        table.focus()
        if message.how is not None:
            getattr(table, f"action_{message.how}")()

    @on(Input.Submitted, "#filter")
    @on(DataTable.RowSelected)
    def _taken(self) -> None:
        self.post_message(self.Taken())

    @on(ChoiceTable.Quant)
    def _quant_wanted(self, message: ChoiceTable.Quant) -> None:
        if self.row is not None:
            self._wish(c.with_quant_step(self._known, self.row, message.step))

    @on(Input.Submitted, "#context")
    def _context_typed(self, event: Input.Submitted) -> None:
        typed = event.value.strip()
        self.close_context()
        tokens = int(typed) if typed.isdecimal() else 0
        if self.row is not None:
            self._wish(c.with_context(self._known, self.row, tokens or None))

    @on(DataTable.RowHighlighted)
    def _row_highlighted(self) -> None:
        if self._follow_cursor():
            self._show_detail()

    def on_descendant_focus(self) -> None:
        self.screen.refresh_bindings()

    def on_key(self, event: Key) -> None:
        """Let a letter that is no command of the list go on with the filter."""
        letter = event.character
        if not self.is_in_list or letter is None or not event.is_printable or letter in _COMMANDS:
            return
        event.stop()
        box = self.query_one(FilterBox)
        box.focus()
        box.value += letter
        box.cursor_position = len(box.value)

    def action_filter(self) -> None:
        """Go back to the filter."""
        self.query_one(FilterBox).focus()

    def action_context(self, way: int) -> None:
        """Look at twice the context, or half of it."""
        if self.row is not None:
            self._wish(c.with_context_step(self._known, self.row, larger=way > 0))

    def action_type_context(self) -> None:
        """Have a context typed."""
        box = self.query_one("#context", Input)
        box.value, box.display = "", True
        box.focus()

    def _wish(self, known: c.Choosing) -> None:
        self._known = known
        self._show()
        self.post_message(self.Looked())

    def _follow_cursor(self) -> bool:
        """Select what the cursor is on; False if it is selected already."""
        key = self.query_one(ChoiceTable).selected_key
        if key is None or key == self._selected:
            return False
        self._selected = key
        self.post_message(self.Looked())
        return True

    def _show(self) -> None:
        self._follow_cursor()  # a key may have moved it, and the table's word of it be under way
        text = self.query_one(FilterBox).value
        self._rows = c.rows_of(self._known, app_of(self).world.now, text)
        if self._rows and self.row is None:
            self._selected = self._rows[0].base.key
        self.query_one(ChoiceTable).show({row.base.key: row for row in self._rows}, self._selected)
        self._show_detail()

    def _show_detail(self) -> None:
        row = self.row
        self.query_one(ChoiceDetail).show(row, c.why_nothing(self._known))
        if row is None or row.lacks is None or row.lacks in self._asked:
            return
        if self.is_in_list or not row.is_unknown:
            self._ask_soon()

    def _ask_soon(self) -> None:
        """Ask once no other key has come for a moment."""
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_SOON_S, self._ask_costs)

    def _ask_costs(self) -> None:
        row = self.row
        if row is not None and row.lacks is not None and row.lacks not in self._asked:
            self._asked.add(row.lacks)
            self._errands.cost(row.lacks, row.base.ask)
