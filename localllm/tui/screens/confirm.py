"""Asks once before something is done that cannot be taken back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from localllm.wording.plain import plain


class Confirm(ModalScreen[bool]):
    """Answers whether it is to be done.

    Args:
        question: In one sentence.
        price: What is lost by it.
    """

    DEFAULT_CSS = """
    Confirm { align: center middle; background: $background 60%; }
    Confirm > Vertical {
        width: 64; max-width: 90%; height: auto; padding: 1 2;
        border: round $warning; background: $panel;
    }
    Confirm #confirm-question { text-style: bold; }
    Confirm #confirm-keys { margin-top: 1; color: $foreground-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes", id="confirm-yes", tooltip="Do it"),
        Binding("n,escape,q", "answer(False)", "No", id="confirm-no", tooltip="Leave it as it is"),
    ]

    def __init__(self, question: str, price: str) -> None:
        super().__init__()
        self._question, self._price = question, price

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(plain(self._question), id="confirm-question", markup=False)
            yield Static(plain(self._price), markup=False)
            yield Static("y or enter: yes    n or escape: no", id="confirm-keys", markup=False)

    def action_answer(self, yes: bool) -> None:  # noqa: FBT001  # as Textual hands it over
        """Go back with the answer."""
        self.dismiss(yes)
