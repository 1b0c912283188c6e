"""A table that does not jump: columns of fixed widths, cells updated in place, a selection that stays with its row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.text import Text
from textual.events import Resize
from textual.widgets import DataTable

from localllm.tui.figures import Tones, tones_of

GAP = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column.

    Args:
        draw: Makes a cell of an item, the column's width, and the theme's colours.
    """

    title: str
    width: int
    draw: Callable[[T, int, Tones], Text]
    is_right: bool = False


class KeyedTable(DataTable[Text], Generic[T]):
    """Shows items by key.

    Args:
        columns_for: Lays the columns out for so many of the terminal's.
    """

    DEFAULT_CSS = "KeyedTable { scrollbar-size-vertical: 1; overflow-x: hidden; }"

    def __init__(self, columns_for: Callable[[int], Sequence[Column[T]]], *, name_id: str) -> None:
        super().__init__(
            cursor_type="row",
            cursor_foreground_priority="renderable",  # a bar keeps its colours
            cell_padding=0,
            id=name_id,
        )
        self._columns_for = columns_for
        self._laid_columns: Sequence[Column[T]] = ()
        self._items: Mapping[str, T] = {}
        self._drawn: dict[str, list[Text]] = {}
        self._laid_out_for = 0

    @property
    def selected_key(self) -> str | None:
        """Of the row under the cursor."""
        if not self._drawn:
            return None
        return list(self._drawn)[min(self.cursor_row, len(self._drawn) - 1)]

    def show(self, items: Mapping[str, T], selected: str | None, *, anew: bool = False) -> None:
        """Draw what has changed; another order or other rows are laid out anew, around the selection.

        Args:
            anew: The columns depend on more than the width, and that has changed.
        """
        self._items = items
        if not self._laid_out_for:
            return
        if anew:
            self._lay_columns(self._laid_out_for)
        tones = tones_of(self.app.theme_variables)
        drawn = {
            key: [self._cell(column, item, tones) for column in self._laid_columns]
            for key, item in items.items()
        }
        if list(drawn) != list(self._drawn):
            self._lay_rows(drawn, selected)
        else:
            self._update(drawn)
        self._drawn = drawn

    def on_resize(self, event: Resize) -> None:
        """Choose the columns that there is room for."""
        width = event.size.width
        if width and width != self._laid_out_for:
            selected = self.selected_key
            self._lay_columns(width)
            self.show(self._items, selected)

    def drawn(self, item: T, cell: Text) -> Text:  # noqa: ARG002  # for whoever draws some items otherwise
        """Change a cell for its item."""
        return cell

    def _lay_columns(self, width: int) -> None:
        self._laid_out_for = width
        self._laid_columns = self._columns_for(width - 1)  # the scroll bar has the last one
        self.clear(columns=True)
        self._drawn = {}
        for at, column in enumerate(self._laid_columns):
            title = column.title.rjust(column.width) if column.is_right else column.title
            self.add_column(Text(title, no_wrap=True), width=column.width + GAP, key=str(at))

    def _lay_rows(self, drawn: dict[str, list[Text]], selected: str | None) -> None:
        self.clear()
        for key, cells in drawn.items():
            self.add_row(*cells, key=key)
        if selected in drawn:
            self.move_cursor(row=list(drawn).index(selected), animate=False)

    def _update(self, drawn: dict[str, list[Text]]) -> None:
        for key, cells in drawn.items():
            for at, (old, new) in enumerate(zip(self._drawn[key], cells, strict=True)):
                if not _is_same(old, new):
                    self.update_cell(key, str(at), new)

    def _cell(self, column: Column[T], item: T, tones: Tones) -> Text:
        text = column.draw(item, column.width, tones)
        text.no_wrap, text.end = True, ""
        text.truncate(column.width, overflow="ellipsis")
        if column.is_right:
            text.align("right", column.width)
        return self.drawn(item, text)


def rest_of(width: int, columns: Sequence[Column[T]]) -> int:
    """What columns leave of a width to one more."""
    return width - sum(column.width + GAP for column in columns) - GAP


def _is_same(old: Text, new: Text) -> bool:
    return old.plain == new.plain and old.style == new.style and old.spans == new.spans
