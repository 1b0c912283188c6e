"""Lines of a log: draws those that are in sight, so that a flood costs no more than a trickle.

Log has no wrapping and no search. RichLog draws every line that comes: for 1,000 of them, a hundred
at a time, it took 265 ms of one core of this project's machine, Log 30 ms and this one 40 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from localllm.tui.log_lines import MOST, Kept, Search
from localllm.tui.log_rows import Rows, pieces, rows_of


class LogView(ScrollView, can_focus=True):
    """Follows its end until somebody scrolls up.

    Args:
        most: Lines that are kept.
    """

    DEFAULT_CSS = """
    LogView {
        background: $background; color: $foreground; height: 1fr; scrollbar-size-vertical: 1;
        & > .log-view--hit { text-style: reverse; }
        & > .log-view--now { color: $accent; text-style: bold reverse; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log-view--hit", "log-view--now"}
    ALLOW_SELECT = False

    def __init__(self, *, most: int = MOST, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.kept, self.search = Kept(most), Search()
        self.following, self.wrap = True, False
        self._rows = Rows()
        self._base = Style()

    def add(self, lines: Sequence[str]) -> None:
        """Take lines in; what is in sight stays, unless the end is followed."""
        if not lines:
            return
        since = self.kept.end
        over = self.kept.add(lines)
        self._rows.add(lines)
        rows_gone = self._rows.drop(over)
        self.search.look(self.kept, since)
        self._measure()
        self._settle(round(self.scroll_y) - rows_gone)

    def clear(self) -> None:
        """Forget all lines, for another log."""
        self.kept, self._rows = Kept(self.kept.most), Rows(self._rows.width)
        self.search.begin(self.search.text, self.kept)
        self.following = True
        self._measure()
        self.refresh()

    def follow(self, *, on: bool) -> None:
        """Go to the end and stay there, or stay here."""
        self.following = on
        if on:
            self._settle(0)

    def wrap_lines(self, *, on: bool) -> None:
        """Show long lines on several rows, or on one that goes on to the right."""
        self.wrap = on
        self._lay_out()

    def look_for(self, text: str) -> None:
        """Mark a text wherever it is."""
        self.search.begin(text, self.kept)
        self.refresh()

    def go_to_hit(self, step: int) -> None:
        """Bring the next one, or the one before, into sight."""
        number = self.search.go(step, self._top())
        if number is None:
            return
        row = self._rows.row_of(number - self.kept.gone)
        self.following = False
        height = self.scrollable_content_region.height
        if not self.scroll_y <= row < self.scroll_y + height:
            self._go_to(row - height // 2)
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y:
            self.following = self.following or new_value > old_value
        elif new_value < old_value:
            self.following = False

    def watch_show_vertical_scrollbar(self, is_shown: bool) -> None:  # noqa: FBT001  # as Textual has it
        """Wrap where there is room: Textual sends no Resize when a bar comes or goes.

        Nor does it tell a bar that comes how far was scrolled before.
        """
        if self.wrap:
            self._lay_out()
        if is_shown:
            self.vertical_scrollbar.position = self.scroll_y

    def watch_show_horizontal_scrollbar(self) -> None:
        """Keep the last line above the bar."""
        if self.following:
            self._settle(0)

    def on_resize(self, _event: Resize) -> None:
        if self.wrap:
            self._lay_out()
        elif self.following:
            self._settle(0)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw some rows; what they have in common is worked out once."""
        self._base = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw one row."""
        across, down = self.scroll_offset
        base, width = self._base, self.size.width
        if y + down >= len(self._rows):
            return Strip.blank(width, base)
        index, piece = self._rows.find(y + down)
        line = self.kept.lines[index]
        spans = self.search.spans(line)
        if self._rows.width is not None:
            cut = pieces(line, self._rows.width)
            start = sum(map(len, cut[:piece]))
            line, spans = cut[piece], [(a - start, b - start) for a, b in spans]
        if not spans:
            return Strip([Segment(line, base)]).crop_extend(across, across + width, base)
        strip = Strip(_segments(line, spans, base, base + self._mark(index)))
        return strip.crop_extend(across, across + width, base)

    def _mark(self, index: int) -> Style:
        search = self.search
        now = search.at is not None and search.hits[search.at] == index + self.kept.gone
        return self.get_component_rich_style(f"log-view--{'now' if now else 'hit'}")

    def _top(self) -> int:
        if not self._rows:
            return 0
        return self._rows.find(min(round(self.scroll_y), len(self._rows) - 1))[0] + self.kept.gone

    def _lay_out(self) -> None:
        top = self._top() - self.kept.gone
        width = max(self.scrollable_content_region.width, 1)
        self._rows = rows_of(self.kept.lines, width if self.wrap else None)
        self._measure()
        self._settle(self._rows.row_of(top) if self._rows else 0)

    def _measure(self) -> None:
        width = 0 if self.wrap else self._rows.widest
        self.virtual_size = Size(width, len(self._rows))

    def _settle(self, row: int) -> None:
        """Show the end while it is followed, else what begins with `row`."""
        if self.following:
            self._go_to(self.max_scroll_y)
        elif row != round(self.scroll_y):
            self._go_to(row)
        self.refresh()

    def _go_to(self, row: int) -> None:
        """Begin with this row; forced, since the bar that Textual asks for comes with the next layout."""
        self.scroll_to(y=max(0, row), animate=False, immediate=True, force=True)


def _segments(
    line: str, spans: Sequence[tuple[int, int]], base: Style, mark: Style
) -> list[Segment]:
    """Cut a line where marks begin and end; a mark may reach over either end of it."""
    parts, at = list[Segment](), 0
    for start, end in spans:
        begin, stop = max(at, start), min(end, len(line))
        if begin >= stop:
            continue
        parts += [Segment(line[at:begin], base), Segment(line[begin:stop], mark)]
        at = stop
    return [*parts, Segment(line[at:], base)]
