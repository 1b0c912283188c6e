"""Who asks for what: those under way first, the oldest at the top; then those that are over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from localllm.api.request_views import RequestsListView, RequestView
from localllm.wording.figures import DASH, count_of, percent, short_duration
from localllm.wording.plain import plain

_SIGNS = {
    "waiting": "…",
    "prefill": "»",
    "generating": "▶",
    "done": "✓",
    "failed": "✖",
    "cancelled": "-",
}
_LIVE = {"waiting", "prefill", "generating"}
_COLUMNS = (
    ("sign", "", 3),
    ("phase", "phase", 12),
    ("client", "client", 15),
    ("model", "model", 14),
    ("prompt", "prompt", 8),
    ("cached", "cached", 7),
    ("generated", "made", 7),
    ("speed", "tok/s", 6),
    ("elapsed", "time", 7),
)
"""Key, head and columns where there are 80."""

_NARROW = 80
_NAMES = {"client", "model"}
"""These get the room that is left."""

_MOST = 30


@dataclass(frozen=True, slots=True)
class Sign:
    """How it is at a glance; carries its row's place, which the table is sorted by."""

    rank: int
    glyph: str

    def __rich__(self) -> Text:
        return Text(f" {self.glyph}")


class Requests(DataTable[Sign | Text]):
    """A row a request, which keeps its place and the cursor while its numbers change."""

    DEFAULT_CSS = """
    Requests { height: 1fr; scrollbar-size-vertical: 1; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "select_cursor", "Request", id="open-request", tooltip="All of one request"
        )
    ]

    def __init__(self, *, id: str) -> None:  # noqa: A002  # Textual's word
        super().__init__(
            id=id, cursor_type="row", cursor_foreground_priority="renderable", cell_padding=0
        )
        self._cells: dict[str, Sequence[Sign | Text]] = {}
        self._drawn: dict[str, tuple[int, RequestView]] = {}
        self._widths: dict[str, int] = {}
        self._list = RequestsListView(live=[], recent=[], changes=0)

    def show(self, requests: RequestsListView) -> None:
        """Change what has changed."""
        self._list = requests
        if not self._widths:  # nobody knows yet how wide it is
            return
        selected = self._selected()
        rows = {one.id: one for one in (*requests.live, *requests.recent)}
        for key in [key for key in self._cells if key not in rows]:
            self.remove_row(key)
            del self._cells[key]
        order = list(self._cells)
        drawn = dict(zip(rows, enumerate(rows.values()), strict=True))
        for key, (rank, one) in drawn.items():
            if self._drawn.get(key) != (rank, one):  # most have been over for long
                self._put(key, cells_of(one, rank, self._widths))
        self._drawn = drawn
        if order != list(rows):
            self.sort("sign", key=lambda sign: sign.rank)
            self._cells = {key: self._cells[key] for key in rows}
            if selected in rows:
                self.move_cursor(row=self.get_row_index(selected))

    def on_resize(self) -> None:
        """Give the names the room that there is: a table of another width is another table."""
        widths = widths_for(self.content_size.width)
        if widths == self._widths:
            return
        selected = self._selected()
        self._widths = widths
        self.clear(columns=True)
        self._cells, self._drawn = {}, {}
        for key, head, _ in _COLUMNS:
            is_number = key not in {"sign", "phase", *_NAMES}
            label = Text(head, justify="right" if is_number else "left")
            self.add_column(label, key=key, width=widths[key])
        self.show(self._list)
        if selected in self._cells:
            self.move_cursor(row=self.get_row_index(selected))

    def _put(self, key: str, cells: Sequence[Sign | Text]) -> None:
        old = self._cells.get(key)
        self._cells[key] = cells
        if old is None:
            self.add_row(*cells, key=key)
            return
        for (column, _, _), was, cell in zip(_COLUMNS, old, cells, strict=True):
            if was != cell:
                self.update_cell(key, column, cell)

    def _selected(self) -> str:
        """The key of the row under the cursor; empty where there is none."""
        if not self.is_valid_row_index(self.cursor_row):
            return ""
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value or ""


def widths_for(width: int) -> dict[str, int]:
    """Share out the columns of a table; one is the scroll bar's."""
    more = max(0, width - _NARROW) // len(_NAMES)
    return {
        key: min(_MOST, columns + more) if key in _NAMES else columns
        for key, _, columns in _COLUMNS
    }


def cells_of(request: RequestView, rank: int, widths: dict[str, int]) -> list[Sign | Text]:
    """Say all of one request that has room in a row."""
    style = "bold" if request.phase in _LIVE or request.phase == "failed" else ""
    model = request.model or request.asked or DASH
    numbers = (
        count_of(request.prompt_tokens),
        share_cached(request),
        count_of(request.generated_tokens),
        DASH if request.decode_tps is None else f"{request.decode_tps:.0f}",
        short_duration(request.elapsed),
    )
    return [
        Sign(rank, _SIGNS[request.phase]),
        Text(_phase(request), style),
        _clipped(request.client, widths["client"]),
        _clipped(model, widths["model"]),
        *(Text(number, justify="right") for number in numbers),
    ]


def share_cached(request: RequestView) -> str:
    """How much of its prompt had not to be read; marked where that could have been more."""
    if request.cached_tokens is None or not request.prompt_tokens:
        return DASH
    share = percent(request.cached_tokens / request.prompt_tokens)
    return f"{share}!" if request.prefix_broken else share


def _phase(request: RequestView) -> str:
    if request.phase == "prefill" and request.prompt_tokens and request.prompt_read is not None:
        return f"prefill {percent(request.prompt_read / request.prompt_tokens)}"
    return request.phase


def _clipped(text: str, width: int) -> Text:
    clipped = Text(plain(text), no_wrap=True)
    clipped.truncate(width - 1, overflow="ellipsis")
    return clipped
