"""Where a message is written: enter sends it, up brings earlier ones back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import TextArea

from localllm.wording.plain import plain_text


class Prompt(TextArea):
    """Grows with what is written, up to a few lines."""

    DEFAULT_CSS = """
    Prompt { height: auto; max-height: 8; border: round $primary; padding: 0 1; }
    Prompt:focus { border: round $primary; }
    Prompt:blur { border: round $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j", "new_line", "New line", id="prompt-line", tooltip="Write on below"),
    ]

    @dataclass
    class Sent(Message):
        """A message is to be sent."""

        text: str

    def __init__(self) -> None:
        super().__init__(
            id="prompt",
            soft_wrap=True,
            highlight_cursor_line=False,
            placeholder="Write a message; enter sends it, ctrl+j begins a new line.",
        )
        self._sent: list[str] = []
        self._at = 0
        self._draft = ""

    async def _on_key(self, event: Key) -> None:
        if event.key != "enter":
            await super()._on_key(event)
            return
        event.prevent_default()
        event.stop()
        if self.text.strip():
            self.post_message(self.Sent(self.text.strip()))

    async def _on_paste(self, event: Paste) -> None:
        event.text = plain_text(event.text)
        await super()._on_paste(event)

    def take_back(self) -> None:
        """Begin an empty one; what was written is remembered."""
        self._sent.append(self.text)
        self._at = len(self._sent)
        self.text = ""

    def action_new_line(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_cursor_up(self, select: bool = False) -> None:  # noqa: FBT001, FBT002  # Textual's
        """Go up; from the first line on to what was sent before."""
        if select or not self.cursor_at_first_line or self._at == 0:
            super().action_cursor_up(select)
            return
        if self._at == len(self._sent):
            self._draft = self.text
        self._recall(self._at - 1)

    def action_cursor_down(self, select: bool = False) -> None:  # noqa: FBT001, FBT002  # Textual's
        """Go down; from the last line on to what was sent after."""
        if select or not self.cursor_at_last_line or self._at == len(self._sent):
            super().action_cursor_down(select)
            return
        self._recall(self._at + 1)

    def _recall(self, at: int) -> None:
        self._at = at
        self.text = self._draft if at == len(self._sent) else self._sent[at]
        self.move_cursor(self.document.end)
