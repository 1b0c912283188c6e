"""Each number of one plan with its formula, over the plan's table."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from localllm.tui.widgets.key_line import KeyLine


class Explained(ModalScreen[None]):
    """Shows lines; they scroll.

    Args:
        lines: Harmless already.
    """

    DEFAULT_CSS = """
    Explained { align: center middle; }
    Explained > VerticalScroll {
        width: 96%; height: auto; max-height: 90%; background: $surface; border: round $primary; padding: 0 1;
    }
    Explained.-narrow > VerticalScroll { width: 100%; max-height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,enter,e", "close", "Close", id="explained-close", tooltip="Back to the plan"
        )
    ]

    def __init__(self, name: str, lines: list[str]) -> None:
        super().__init__()
        self._head = name
        self._lines = lines

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "number by number"
            yield Static("\n".join([self._head, "", *self._lines]), id="formulas", markup=False)
        yield KeyLine()

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()
