"""The models that are served: state, place, cache, speed, and who waits."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from localllm.api.now_views import ModelNowView, NowView
from localllm.api.status_views import InstanceView
from localllm.tui.widgets.bar import CACHE, FREE
from localllm.tui.widgets.drawn import Drawn
from localllm.tui.widgets.spark import spark
from localllm.tui.words import as_many_as_fit
from localllm.tui.world import History, World, by_columns
from localllm.units import GIB
from localllm.wording.figures import (
    DASH,
    counted,
    duration_of,
    percent,
    short_duration,
    size_of,
)
from localllm.wording.plain import plain
from localllm.wording.plans import how_kept
from localllm.wording.saved import what_was_saved

_SIGNS = {
    "ready": ("●", "$success"),
    "failed": ("✖", "$error"),
    "backoff": ("✖", "$error"),
    "stopped": ("○", "$foreground-muted"),
}
_UNDER_WAY = ("◐", "$warning")
_LATELY = 4
"""Looks over which the speed of this moment is taken: fewer would flicker."""

_SHORT_SPARK, _LONGEST_SPARK = 8, 30
_BESIDE_SPARKS, _BESIDE_SHORT_SPARKS = 86, 68
"""Columns of the line about what a model does, but for its two sparklines; with requests by the dozen."""

_AROUND = len("1 ● ")
_GAP, _SHORTEST_NAME, _KILO = 2, 10, 1024
_ENGINE = 3
"""Its place among the facts."""

_SERVES = frozenset({"ready", "draining"})
_HELPS = {
    "failed": "4 shows its log, s chooses another model",
    "backoff": "4 shows its log, s chooses another model",
    "downloading": "3 shows the download",
}
"""Keys for a model that does not serve."""


class Models(Drawn):
    """Two lines a model where there is little room, else three."""

    DEFAULT_CSS = (
        "Models { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }"
    )

    def render_world(self, world: World, width: int) -> Content:
        if world.now is None or not world.now.models:
            return Content("")
        return render_models(world, world.now, width, is_short=self.screen.has_class("-short"))


def render_models(world: World, now: NowView, width: int, *, is_short: bool) -> Content:
    """Draw all models, and what kept prompts have spared today."""
    lines: list[Content] = []
    heads = _heads(now.models, width)
    for model, head in zip(now.models, heads, strict=True):
        history = world.histories.get(model.view.instance, History())
        lines += [head, _does(model, history, width)]
        if not is_short or len(now.models) == 1:
            lines.append(_more(model, width))
    if saved := what_was_saved(now.saved):
        said = as_many_as_fit(saved, ": ", width)
        lines.append(Content.styled(said, "$foreground-muted"))
    return Content("\n").join(lines)


def render_cache(used: float | None, share: float, columns: int) -> Content:
    """Draw how full the KV cache is, and the line over which long prompts wait."""
    if used is None:
        return Content(f"KV {DASH}".ljust(columns + 14))
    filled = min(columns, round(columns * used))
    at = min(columns - 1, round(columns * share))
    cells = [CACHE.block if i < filled else FREE.block for i in range(columns)]
    bar = f"{''.join(cells[:at])}|{''.join(cells[at:])}"
    over = used > share
    said = f" {percent(used)}/{percent(share)}{'!' if over else ''}".ljust(10)
    return Content.assemble("KV ", (bar, "$warning" if over else "$secondary"), said)


def _heads(models: Sequence[ModelNowView], width: int) -> list[Content]:
    """Say of each what it is and where; what is alike stands below each other.

    Where there is little room it is said in short, and then names are cut: what follows them is what changes.
    """
    is_alone = len(models) == 1
    for memory in (_memory, _short_memory):
        in_full = [_facts(model, memory(model), is_alone=is_alone) for model in models]
        widths = _widths(in_full)
        if _AROUND + sum(widths) <= width:
            return _rows(models, in_full, widths)
    in_short = [_short_facts(model, is_alone=is_alone) for model in models]
    widths = _widths(in_short)
    if _AROUND + sum(widths) > width:  # which model it is matters more than who runs it
        in_short = [[*row[:_ENGINE], *row[_ENGINE + 1 :]] for row in in_short]
        widths = _widths(in_short)
    widths[1] = min(widths[1], max(_SHORTEST_NAME, widths[1] + width - _AROUND - sum(widths)))
    return _rows(models, in_short, widths)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Of the columns, each with the gap before it."""
    most = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [columns + _GAP if columns and i else columns for i, columns in enumerate(most)]


def _rows(
    models: Sequence[ModelNowView], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> list[Content]:
    heads: list[Content] = []
    for number, (model, row) in enumerate(zip(models, rows, strict=True), start=1):
        sign, style = _SIGNS.get(model.view.state, _UNDER_WAY)
        state, name, *others = (
            Content(" " * (_GAP if i else 0) + cell).truncate(columns, ellipsis=True, pad=True)
            for i, (cell, columns) in enumerate(zip(row, widths, strict=True))
        )
        head = Content.assemble((f"{number} ", "bold"), (f"{sign} {state.plain}", f"bold {style}"))
        heads.append(Content.assemble(head, name.stylize("bold"), *others).rstrip())
    return heads


def _facts(model: ModelNowView, memory: str, *, is_alone: bool) -> list[str]:
    view = model.view
    device = plain("+".join(part.device for part in view.placement) or view.device)
    told = (("current", _is_told(view, is_alone=is_alone)), ("pinned", view.pinned))
    flags = "  ".join(word for word, is_so in told if is_so)
    context = f"{view.context:,} tokens"
    return [*_what(view, ""), context, f"{_layers(view)} on {device}", memory, flags]


def _short_facts(model: ModelNowView, *, is_alone: bool) -> list[str]:
    view = model.view
    marks = "*" if _is_told(view, is_alone=is_alone) else ""
    marks += "+" if view.pinned else ""
    context = f"{view.context // _KILO}k" if view.context >= _KILO else f"{view.context}"
    return [*_what(view, marks), context, _layers(view), _short_memory(model)]


def _memory(model: ModelNowView) -> str:
    used = model.view.memory
    if used.measured is None:
        return f"{size_of(used.predicted)} planned"
    is_large = min(used.measured, used.predicted) >= GIB
    planned = _short(used.predicted) if is_large else size_of(used.predicted)
    return f"{size_of(used.measured)} ({planned} planned)"


def _short_memory(model: ModelNowView) -> str:
    used = model.view.memory
    return f"{_short(used.measured)}/{_short(used.predicted)} GiB"


def _what(view: InstanceView, marks: str) -> list[str]:
    name = f"{plain(view.id)}{' (long prompts)' if view.lane == 'long' else ''}"
    return [f"{view.state}{marks}", name, plain(view.quant or DASH), plain(view.engine)]


def _is_told(view: InstanceView, *, is_alone: bool) -> bool:
    """Whether it is said to be the current one: of one alone that goes without saying."""
    return view.current and not is_alone


def _layers(view: InstanceView) -> str:
    return f"{view.layers.on_device}/{view.layers.total} layers"


def _short(count: int | None) -> str:
    """In GiB, in as few columns as say it."""
    if count is None:
        return DASH
    return f"{count / GIB:.1f}" if count < 100 * GIB else f"{count / GIB:.0f}"


def _does(model: ModelNowView, history: History, width: int) -> Content:
    """Say what it does; of one that does not serve, why not."""
    view = model.view
    if view.state not in _SERVES:
        why = view.why if view.error is None else view.error.reason
        return Content(f"    {plain(' '.join(why.split()))}")
    sparks = (width - _BESIDE_SPARKS) // 2
    if sparks < _SHORT_SPARK:
        return _does_in_short(model, history, width)
    columns = min(sparks, _LONGEST_SPARK)
    return Content.assemble(
        "    ",
        render_cache(view.kv_used, model.cache_share, 12),
        f" {_speed(model, history):>5} tok/s ",
        (_spark(history, history.tps, columns), "$success"),
        f"  first token {_first(model, history):>6} ",
        (_spark(history, history.first_token_s, columns), "$primary"),
        f"  {view.requests.active} active {view.requests.waiting} waiting",
    )


def _does_in_short(model: ModelNowView, history: History, width: int) -> Content:
    view = model.view
    indent = "    " if width - _BESIDE_SHORT_SPARKS > 2 * _SHORT_SPARK else "  "
    columns = max(0, (width - _BESIDE_SHORT_SPARKS - len(indent) + 2) // 2)
    return Content.assemble(
        indent,
        render_cache(view.kv_used, model.cache_share, 7),
        f" {_speed(model, history):>5} tok/s ",
        (_spark(history, history.tps, columns), "$success"),
        f" first {_first(model, history):>5} ",
        (_spark(history, history.first_token_s, columns), "$primary"),
        f"  {view.requests.active} active {view.requests.waiting} wait",
    )


def _spark(history: History, values: Sequence[float], columns: int) -> str:
    """The last minute, however few columns there are."""
    return spark(by_columns(values, columns, history.looks), columns)


def _speed(model: ModelNowView, history: History) -> str:
    """At this moment; of one that rests, as measured."""
    lately = history.tps[-_LATELY:]
    now_tps = sum(lately) / len(lately) if lately else 0.0
    if now_tps >= 1:
        return f"{now_tps:.0f}"
    measured = model.view.speed.measured_tps
    return DASH if measured is None else f"({measured:.0f})"


def _first(model: ModelNowView, history: History) -> str:
    """How long its newest request waited for its first token."""
    lately = history.first_token_s[-1] if history.first_token_s else None
    first_s = model.first_token or lately or None  # nobody is that quick: 0 is none yet
    return DASH if first_s is None else short_duration(first_s)


def _more(model: ModelNowView, width: int) -> Content:
    """Say how long it and its prompts stay, and how fast it was expected to be: as much as has room."""
    said = _record(model.view) if model.view.state in _SERVES else _outlook(model.view)
    return Content.styled("    " + as_many_as_fit(said, "; ", width - 4), "$foreground-muted")


def _outlook(view: InstanceView) -> list[str]:
    """Of one that does not serve: which key helps, and what was expected of it."""
    expected, helps = view.speed.predicted_tps, _HELPS.get(view.state)
    said = [] if helps is None else [helps]
    return said if expected is None else [*said, f"predicted {expected:.0f} tok/s"]


def _record(view: InstanceView) -> list[str]:
    said = [] if view.prompts is None else [f"prompts {how_kept(view.prompts)}"]
    expected, measured = view.speed.predicted_tps, view.speed.measured_tps
    if measured is not None:
        predicted = "" if expected is None else f", predicted {expected:.0f}"
        said.append(f"measured {measured:.0f} tok/s{predicted}")
    elif expected is not None:
        said.append(f"predicted {expected:.0f} tok/s")
    if view.speed.prefill_tps is not None:
        said.append(f"reads {view.speed.prefill_tps:,.0f} tok/s")
    if view.unload_in is not None:
        said.append(f"unloaded in {duration_of(view.unload_in)} if nobody uses it")
    return [*said, f"{counted(view.requests.total, 'request')} done"]
