"""The line that a list is filtered by; keys that move go on in the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from localllm.tui.widgets.line import Line


class FilterBox(Line):
    """Says with `Left` that the list is wanted."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "submit", "Switch", id="filter-take", tooltip="Serve the selected model"
        ),
        Binding(
            "down", "leave", "List", id="filter-down", tooltip="To the list, to what is selected"
        ),
        Binding(
            "up", "leave('cursor_up')", "List, up", id="filter-up", show=False,
            tooltip="Go up in the list",
        ),
        Binding(
            "pagedown", "leave('page_down')", "List, a page down", id="filter-page-down",
            show=False, tooltip="Go on in the list, a page further",
        ),
        Binding(
            "pageup", "leave('page_up')", "List, a page up", id="filter-page-up", show=False,
            tooltip="Go up in the list by a page",
        ),
    ]  # fmt: skip

    @dataclass
    class Left(Message):
        """The list is to move, and to have the keyboard."""

        how: str | None
        """One of its actions; None: it stays on what is selected."""

    def __init__(self) -> None:
        said = "type to filter; ↓ to the list, where letters are keys"
        super().__init__(placeholder=said, select_on_focus=False, id="filter")

    def action_leave(self, how: str | None = None) -> None:
        """Go on in the list; a first ↓ moves nothing, so that letters are keys of what was filtered for."""
        self.post_message(self.Left(how))
