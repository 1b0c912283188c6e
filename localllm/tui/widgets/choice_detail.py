"""What is known of the selected model, in full: figures, where they are from, and the reason of its verdict."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from localllm.tui.choices import Choice
from localllm.tui.choosing import Row, title
from localllm.tui.figures import Tones, bar, speed_in_full, takes_in_words, tones_of, verdict
from localllm.wording.figures import number_of, size_of
from localllm.wording.plain import plain

_BAR = 20


class ChoiceDetail(Static):
    """Shows one row; of one whose figures are not those of the wish yet, the old ones dimmed."""

    DEFAULT_CSS = "ChoiceDetail { height: 6; padding: 0 1; background: $panel; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  # as Textual has it
        super().__init__("", id=id, markup=False)
        self._drawn: tuple[Row | None, str] | None = None

    def show(self, row: Row | None, nothing: str) -> None:
        """Draw it, if it is another than is drawn.

        Args:
            nothing: Said where there is no row.
        """
        drawn = (row, nothing if row is None else self.app.theme)
        if drawn != self._drawn:
            self._drawn = drawn
            tones = tones_of(self.app.theme_variables)
            self.update(Text(plain(nothing)) if row is None else render_row(row, tones))


def render_row(row: Row, tones: Tones) -> Text:
    """Say it in four lines and the reason."""
    one = row.shown
    head = Text(title(one), "bold").append(f"  {_standing(row)}", "not bold")
    figures = Text("context ").append(_context(row)).append("  memory ")
    figures.append_text(bar(one.takes, _BAR, tones)).append(
        f" {takes_in_words(one.takes, one.takes_bytes)}"
    )
    rest = Text(speed_in_full(one.speed))
    if one.engine is not None:
        rest.append(f"  on {plain(one.engine)}")
    if one.quality is not None:
        rest.append(f"  quality {one.quality:.4f}")
    reason = verdict(one.verdict, tones).append(f": {plain(_reason(row))}")
    if row.is_stale:
        for text in (figures, rest, reason):
            text.stylize("dim")
    lines = (head, figures, rest, Text(_files(one)), reason)
    for text in lines:
        text.no_wrap, text.end = False, "\n"
    return Text("\n").join(lines)


def _standing(row: Row) -> str:
    if row.is_stale:
        return "asking what that costs ..."
    one = row.shown
    parts = ["the best for this machine"] if one.is_best else []
    if one.served is not None:
        parts.append(one.served.state + _other_name(one.name, one.key, one.served.id))
        parts += ["pinned"] if one.served.pinned else []
    return ", ".join(parts)


def _other_name(name: str, key: str, served: str) -> str:
    """What clients call it, where that is not what it is listed by."""
    return "" if served.casefold() in {name.casefold(), key} else f" as {plain(served)}"


def _context(row: Row) -> str:
    said = number_of(row.shown.context)
    return said if row.wish.context is None else f"{said} (asked for)"


def _reason(row: Row) -> str:
    if row.trouble is not None:
        return f"{row.trouble.what} {row.trouble.why}"
    if row.is_stale:
        return row.base.reason
    return row.shown.reason or "nobody has planned it yet"


def _files(one: Choice) -> str:
    if one.on_disk:
        return f"{size_of(one.fetch_bytes)} on this disk"
    if one.is_serving:
        return "served from where it is"
    from_where = f" from {plain(one.repo)}" if one.repo else ""
    return f"{size_of(one.fetch_bytes)} to fetch{from_where}"
