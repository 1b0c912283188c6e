"""Pulls in a table whose rows stay where they are, and the selected one selected."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import DataTable

from localllm.api.pull_views import PullView
from localllm.tui.pull_words import row_of

_NARROW, _WIDE = 15, 34
"""Columns for the name of a model."""

_WIDE_FROM = 100
_COLUMNS = (
    ("quant", "Quant", 8),
    ("state", "State", 9),
    ("progress", "Progress", 10),
    ("size", "Here/size", 13),
    ("speed", "     Speed", 10),
    ("left", "  Left", 6),
)
_LEAST_NOTE = 12
"""Columns; without them there is no note here: it is among the details as well."""


class PullTable(DataTable[Content]):
    """One row a pull, by its id."""

    DEFAULT_CSS = """
    PullTable {
        height: auto; max-height: 50%; background: $background; overflow-x: auto;
        scrollbar-size: 0 1; padding-left: 1;
    }
    """

    def __init__(self) -> None:
        super().__init__(
            id="pulls", cursor_type="row", cursor_foreground_priority="renderable", cell_padding=0
        )
        self._pulls: list[PullView] = []
        self._drawn: dict[tuple[str, str], Content] = {}
        self._widths: dict[str, int] = {}

    @property
    def selected(self) -> PullView | None:
        """The one that keys are about."""
        if not self.row_count:
            return None
        key = self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value
        return next((pull for pull in self._pulls if pull.id == key), None)

    def show(self, pulls: list[PullView]) -> None:
        """Draw what has changed."""
        self._make_columns()
        selected, self._pulls = self.selected, pulls
        here = {pull.id for pull in pulls}
        for key in [key.value for key in self.rows if key.value not in here]:
            self.remove_row(str(key))
            self._drawn = {cell: v for cell, v in self._drawn.items() if cell[0] != key}
        for pull in pulls:
            self._draw(pull)
        if selected is not None and selected.id in here:
            self.move_cursor(row=self.get_row_index(selected.id))

    def _draw(self, pull: PullView) -> None:
        cells = {
            name: content.truncate(self._widths[name], ellipsis=True) + " "
            for name, content in row_of(pull).items()
            if name in self._widths
        }
        is_new = pull.id not in self.rows
        if is_new:
            self.add_row(*cells.values(), key=pull.id)
        for name, content in cells.items():
            before = self._drawn.get((pull.id, name))
            if not is_new and (before is None or not content.is_same(before)):
                self.update_cell(pull.id, name, content)
            self._drawn[pull.id, name] = content

    def _make_columns(self) -> None:
        """Anew only where the screen has become much wider or narrower."""
        columns = columns_for(self.app.size.width)
        if self._widths == {key: cells for key, _, cells in columns}:
            return
        self.clear(columns=True)
        self._drawn, self._widths = {}, {}
        for key, label, cells in columns:
            self._widths[key] = cells
            self.add_column(label, width=cells + 1, key=key)


def columns_for(width: int) -> list[tuple[str, str, int]]:
    """Lay them out for so many; the note gets what is left."""
    model = _WIDE if width >= _WIDE_FROM else _NARROW
    columns = [("model", "Model", model), *_COLUMNS]
    note = width - sum(cells + 1 for _, _, cells in columns) - 2
    return [*columns, ("note", "Note", note)] if note >= _LEAST_NOTE else columns
