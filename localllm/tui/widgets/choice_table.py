"""The list of models to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message

from localllm.tui.choices import Choice
from localllm.tui.choosing import Row
from localllm.tui.figures import Tones, bar, fitted, short_speed, speed_with_source, verdict
from localllm.tui.widgets.keyed_table import Column, KeyedTable, rest_of
from localllm.wording.figures import number_of, percent, size_of

_LEAST_NAME = 12
_NORMAL, _WIDE = 92, 140
"""Columns of the list from which on there is room for more."""

_BESIDE_BAR = 110
"""Columns that all else has in a wide list."""

_TONES = {"ready": "success", "failed": "error", "backoff": "error"}


class ChoiceTable(KeyedTable[Row]):
    """Shows rows; those whose figures are not those of the wish yet dimmed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "select_cursor", "Switch", id="choice-take",
            tooltip="Serve the selected model",
        ),
        Binding(
            "right", "quant(1)", "Quant", id="choice-quant", key_display="←→",
            tooltip="The next quantization",
        ),
        Binding(
            "left", "quant(-1)", "Quant before", id="choice-quant-before", show=False,
            tooltip="The quantization before",
        ),
    ]  # fmt: skip

    @dataclass
    class Quant(Message):
        """Another quantization is wanted, so many further."""

        step: int

    def __init__(self, *, name_id: str) -> None:
        super().__init__(columns_for, name_id=name_id)

    def action_quant(self, step: int) -> None:
        """Look at another quantization."""
        self.post_message(self.Quant(step))

    def drawn(self, item: Row, cell: Text) -> Text:
        """Dim what is being asked for."""
        if item.is_stale:
            cell.stylize("dim")
        return cell


def columns_for(width: int) -> Sequence[Column[Row]]:
    """Lay out the columns for so many; the name gets what is left."""
    columns: list[Column[Row]] = [
        Column("quant", 10, lambda row, w, _: Text(fitted(row.shown.quant or "-", w))),
        Column("context", 7, _context, is_right=True),
        *_of_memory(width),
        _speed_column(width),
        Column("where", 8, lambda row, _, tones: _where(row.shown, tones), is_right=True),
        Column("verdict", 11, lambda row, _, tones: verdict(row.shown.verdict, tones)),
    ]
    mark: Column[Row] = Column("", 1, lambda row, _w, _t: Text("*" if row.shown.is_best else " "))
    room = max(_LEAST_NAME, rest_of(width, [mark, *columns]))
    name: Column[Row] = Column("model", room, lambda row, w, _: Text(fitted(row.shown.name, w)))
    return (mark, name, *columns)


def _of_memory(width: int) -> list[Column[Row]]:
    title = "memory" if width < _NORMAL else ""
    sizes: Column[Row] = Column(title, 9, _takes, is_right=True)
    if width < _NORMAL:
        return [sizes]
    room = width - _BESIDE_BAR if width >= _WIDE else 12
    return [
        Column("memory", room, lambda row, w, tones: bar(row.shown.takes, w, tones)),
        sizes,
    ]


def _speed_column(width: int) -> Column[Row]:
    if width < _NORMAL:
        return Column("tok/s", 6, _short_speed, is_right=True)
    return Column("tok/s", 15, _speed, is_right=True)


def _short_speed(row: Row, _width: int, _tones: Tones) -> Text:
    return Text(short_speed(row.shown.speed))


def _speed(row: Row, _width: int, _tones: Tones) -> Text:
    return Text(speed_with_source(row.shown.speed))


def _context(row: Row, _width: int, _tones: Tones) -> Text:
    return Text(number_of(row.shown.context))


def _takes(row: Row, _width: int, _tones: Tones) -> Text:
    return Text(size_of(row.shown.takes_bytes))


def _where(one: Choice, tones: Tones) -> Text:
    """What is going on with it, or where it is, or how much would be fetched."""
    if one.served is not None:
        tone = _TONES.get(one.served.state, "warning")
        pinned = "+" if one.served.pinned else ""
        return Text(f"{one.served.state[:7]}{pinned}", tones.get(tone, ""))
    if one.pull is not None:
        share = one.pull.here / one.pull.size if one.pull.size else 0.0
        return Text(f"{percent(share)} got", tones.get("warning", ""))
    return Text("on disk") if one.on_disk else Text(size_of(one.fetch_bytes))
