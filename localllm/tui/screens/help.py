"""Which keys there are at the moment: those of the screen that help was asked for on first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from localllm.tui.figures import Tones, tones_of
from localllm.tui.widgets.key_line import KeyLine

_HERE, _EVERYWHERE, _MOVING = "on this screen", "on every screen", "in lists and text"


@dataclass(frozen=True, slots=True)
class Key:
    """One line of help, as its binding has it."""

    keys: tuple[str, ...]
    name: str
    does: str


Groups = Mapping[str, Sequence[Key]]
"""Keys by what stands above them."""


class Help(ModalScreen[None]):
    """Shows keys; they scroll.

    Args:
        groups: Of the screen below it.
    """

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > VerticalScroll {
        width: 96%; max-width: 110; height: auto; max-height: 92%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Help.-narrow > VerticalScroll { width: 100%; max-height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,escape", "close", "Close", id="help-close", key_display="?",
            tooltip="Back to where it was asked for",
        )
    ]  # fmt: skip

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "keys"
            yield Static(
                render_keys(self._groups, tones_of(self.app.theme_variables)), id="help-keys"
            )
        yield KeyLine()

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()


def keys_of(screen: Screen[Any]) -> Groups:
    """Read the keys that do something there now; those that do the same are one line."""
    found: dict[str, dict[str, Key]] = {_HERE: {}, _EVERYWHERE: {}, _MOVING: {}}
    ours_first = sorted(screen.active_bindings.values(), key=lambda one: not one.binding.id)
    for active in ours_first:
        one = active.binding
        if not one.description or one.system:
            continue
        group, shown = found[_group_of(active, screen)], screen.app.get_key_display(one)
        known = group.get(one.id or one.action)
        if known is None:
            group[one.id or one.action] = Key((shown,), one.description, one.tooltip)
        elif shown not in known.keys:
            group[one.id or one.action] = replace(known, keys=(*known.keys, shown))
    return {title: [*keys.values()] for title, keys in found.items() if keys}


def _group_of(active: ActiveBinding, screen: Screen[Any]) -> str:
    """What has no id is Textual's own."""
    if active.node is screen.app:
        return _EVERYWHERE
    return _HERE if active.binding.id else _MOVING


def render_keys(groups: Groups, tones: Tones) -> Table:
    """Draw a line a key: the keys, what it is called, what it does."""
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for at, (title, keys) in enumerate(groups.items()):
        if at:
            table.add_row()
        table.add_row("", Text(title, f"bold {tones.get('secondary', '')}".strip()))
        for one in keys:
            pressed = Text(" ".join(one.keys), f"bold {tones.get('accent', '')}".strip())
            table.add_row(pressed, Text(one.name[:1].upper() + one.name[1:]), Text(one.does))
    return table
