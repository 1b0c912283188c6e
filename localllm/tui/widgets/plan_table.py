"""The quantizations of a model, or the best of each model, as a plan has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from localllm.api.views import CandidateView, PlanView
from localllm.tui.figures import Speed, Tones, bar, fitted, speed_of_plan, verdict
from localllm.tui.widgets.keyed_table import GAP, Column, KeyedTable, rest_of
from localllm.wording.figures import DASH, number_of, size_of
from localllm.wording.takes import Takes, beside_bytes, takes_of

_LEAST_BAR, _MOST_BAR = 8, 40
_LEAST_NAME, _GOOD_NAME, _MOST_NAME = 12, 20, 24


@dataclass(frozen=True, slots=True)
class Planned:
    """One candidate, and what it takes of its devices."""

    view: CandidateView
    takes: Takes | None
    speed: Speed | None
    host_bytes: int | None
    is_choice: bool


class PlanTable(KeyedTable[Planned]):
    """Shows candidates; the chosen one starred."""

    def __init__(self, *, name_id: str) -> None:
        super().__init__(self._columns_by_width, name_id=name_id)
        self._has_names = False

    def show_plan(self, view: PlanView, selected: str | None) -> None:
        """Draw a plan."""
        anew = self._has_names != (view.model is None)
        self._has_names = view.model is None
        self.show(planned_of(view), selected, anew=anew)

    def _columns_by_width(self, width: int) -> Sequence[Column[Planned]]:
        return columns_for(width, has_names=self._has_names)


def planned_of(view: PlanView) -> dict[str, Planned]:
    """Read a plan, by the places of its candidates."""
    return {
        str(at): Planned(
            one,
            takes_of(one, view.hardware.devices),
            speed_of_plan(one),
            beside_bytes(one),
            at == view.choice,
        )
        for at, one in enumerate(view.candidates)
    }


def columns_for(width: int, *, has_names: bool) -> Sequence[Column[Planned]]:
    """Lay out the columns for so many: those needed most, and others while there is room."""
    kept = [column for needed, column in _COLUMNS if needed == 0]
    spare = _LEAST_BAR + GAP + (_LEAST_NAME + GAP if has_names else 0)
    for _, column in sorted(_COLUMNS, key=lambda one: one[0])[len(kept) :]:
        if rest_of(width, kept) - spare > column.width:
            kept.append(column)
    columns = [column for _, column in _COLUMNS if column in kept]
    if has_names:
        rest = rest_of(width, columns)
        beside_bar = rest - _LEAST_BAR - GAP
        room = min(_MOST_NAME, beside_bar if beside_bar >= _GOOD_NAME else max(_LEAST_NAME, rest))
        name: Column[Planned] = Column(
            "model", room, lambda one, w, _: Text(fitted(one.view.model, w))
        )
        columns.insert(1, name)
    room = min(_MOST_BAR, rest_of(width, columns))
    if room >= _LEAST_BAR:
        drawn: Column[Planned] = Column(
            "memory", room, lambda one, w, tones: bar(one.takes, w, tones)
        )
        columns.insert(columns.index(_TAKES), drawn)
    return columns


def _context(one: Planned, _width: int, _tones: Tones) -> Text:
    return Text(number_of(one.view.context))


def _takes(one: Planned, _width: int, _tones: Tones) -> Text:
    return Text(size_of(None if one.takes is None else one.takes.total_bytes))


def _host(one: Planned, _width: int, _tones: Tones) -> Text:
    return Text(size_of(one.host_bytes))


def _slots(one: Planned, _width: int, _tones: Tones) -> Text:
    return Text(number_of(one.view.parallel))


def _quality(one: Planned, _width: int, _tones: Tones) -> Text:
    return Text(DASH if one.view.quality is None else f"{one.view.quality:.4f}")


def _speed(one: Planned, _width: int, _tones: Tones) -> Text:
    """A range until somebody has measured it."""
    speed = one.speed
    if speed is None:
        return Text(DASH)
    if speed.low is None or speed.high is None:
        return Text(f"{speed.tps:.0f} {'measured' if speed.is_measured else 'predicted'}")
    return Text(f"{speed.low:.0f} to {speed.high:.0f}")


_TAKES: Column[Planned] = Column("takes", 9, _takes, is_right=True)
_COLUMNS: tuple[tuple[int, Column[Planned]], ...] = (
    (0, Column("", 1, lambda one, _w, _t: Text("*" if one.is_choice else " "))),
    (0, Column("quant", 11, lambda one, w, _: Text(fitted(one.view.quant or DASH, w)))),
    (0, Column("context", 7, _context, is_right=True)),
    (3, Column("KV", 5, lambda one, _w, _t: Text(one.view.kv_type or DASH))),
    (4, Column("slots", 5, _slots, is_right=True)),
    (0, _TAKES),
    (2, Column("host", 9, _host, is_right=True)),
    (0, Column("tok/s", 14, _speed, is_right=True)),
    (1, Column("quality", 7, _quality, is_right=True)),
    (0, Column("verdict", 11, lambda one, _, tones: verdict(one.view.verdict, tones))),
)
"""In their order, with the place in which they get room; 0: always."""
