"""The line that a list is filtered by; keys that move go on in the list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterBox(Input):
    """Says with `Left` that the list is wanted.

    Args:
        text: What it has at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Switch", tooltip="Serve the selected model"),
        Binding("down", "leave('cursor_down')", "List", tooltip="To the list"),
        Binding("up", "leave('cursor_up')", show=False, tooltip="To the list"),
        Binding("pagedown", "leave('page_down')", show=False, tooltip="To the list"),
        Binding("pageup", "leave('page_up')", show=False, tooltip="To the list"),
    ]

    @dataclass
    class Left(Message):
        """The list is to move, and to have the keyboard."""

        how: str
        """One of its actions."""

    def __init__(self, text: str = "") -> None:
        said = "type to filter; ↓ to the list, where letters are keys"
        super().__init__(text, placeholder=said, select_on_focus=False, id="filter")

    def action_leave(self, how: str) -> None:
        """Go on in the list."""
        self.post_message(self.Left(how))
