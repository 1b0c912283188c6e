"""The models that are served: state, place, cache, speed, and who waits."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from localllm.api.now_views import ModelNowView, NowView
from localllm.api.status_views import SavedView
from localllm.api.views import PromptsView
from localllm.tui.widgets.bar import CACHE, FREE
from localllm.tui.widgets.drawn import Drawn
from localllm.tui.widgets.spark import spark
from localllm.tui.words import DASH, duration_of, percent, plain, size_of
from localllm.tui.world import History, World
from localllm.units import GIB

_SIGNS = {
    "ready": ("●", "$success"),
    "failed": ("✖", "$error"),
    "backoff": ("✖", "$error"),
    "stopped": ("○", "$foreground-muted"),
}
_UNDER_WAY = ("◐", "$warning")
_LATELY = 4
"""Looks over which the speed of this moment is taken: fewer would flicker."""

_NARROW, _MEDIUM, _WIDE = 92, 112, 140
_SHORTEST_NAME, _KILO = 8, 1024


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
            lines.append(_more(model))
    saved = what_was_saved(now.saved)
    if saved is not None:
        lines.append(Content.styled(saved, "$foreground-muted"))
    return Content("\n").join(lines)


def what_was_saved(saved: SavedView) -> str | None:
    """Say what was spared today; None where nothing was."""
    if not saved.tokens:
        return None
    told = f"{saved.tokens:,} tokens not read again"
    if saved.seconds is None:
        return f"prompts kept warm: {told} today (UTC)"
    return f"prompts kept warm saved {duration_of(saved.seconds)} today (UTC): {told}"


def how_kept(prompts: PromptsView) -> str:
    """Say where prompts are once their engine has ended."""
    match prompts.kept:
        case "saved":
            return "prompts kept on disk"
        case "replayed":
            return f"prompts read again in idle time, since {plain(prompts.why or DASH)}"
        case "not":
            return f"prompts kept in memory alone, since {plain(prompts.why or DASH)}"


def render_cache(used: float | None, share: float, columns: int) -> Content:
    """Draw how full the KV cache is, and the line over which long prompts wait."""
    if used is None:
        return Content(f"KV {DASH}".ljust(columns + 13))
    filled = min(columns, round(columns * used))
    at = min(columns - 1, round(columns * share))
    cells = [CACHE.block if i < filled else FREE.block for i in range(columns)]
    bar = f"{''.join(cells[:at])}|{''.join(cells[at:])}"
    over = used > share
    said = f" {percent(used)}/{percent(share)}{'!' if over else ''}".ljust(9)
    return Content.assemble("KV ", (bar, "$warning" if over else "$secondary"), said)


def _heads(models: Sequence[ModelNowView], width: int) -> list[Content]:
    """Say of each what it is and where; what is alike stands below each other.

    Where there is little room, names are cut: what follows them is what changes.
    """
    rows = [_facts(model, is_narrow=width < _MEDIUM) for model in models]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    rest = len("1 ● ") + widths[0] + 2 * (len(widths) - 1) + sum(widths[2:])
    widths[1] = min(widths[1], max(_SHORTEST_NAME, width - rest))
    heads: list[Content] = []
    for number, (model, row) in enumerate(zip(models, rows, strict=True), start=1):
        sign, style = _SIGNS.get(model.view.state, _UNDER_WAY)
        state, name, *others = (
            Content(cell).truncate(columns, ellipsis=True, pad=True)
            for cell, columns in zip(row, widths, strict=True)
        )
        head = Content.assemble((f"{number} ", "bold"), (f"{sign} {state.plain}", f"bold {style}"))
        parts = [head, name.stylize("bold"), *others, Content("  ".join(_flags(model)))]
        heads.append(Content("  ").join(parts).rstrip())
    return heads


def _facts(model: ModelNowView, *, is_narrow: bool) -> list[str]:
    view, used = model.view, model.view.memory
    layers = f"{view.layers.on_device}/{view.layers.total} layers"
    device = plain("+".join(part.device for part in view.placement) or view.device)
    context = view.context
    facts = [view.state, plain(view.id), plain(view.quant or DASH), plain(view.engine)]
    if is_narrow:
        memory = f"{_short(used.measured)}/{_short(used.predicted)} GiB"
        return [*facts, f"{context // 1024}k" if context >= _KILO else f"{context}", layers, memory]
    memory = f"{size_of(used.predicted)} planned"
    if used.measured is not None:
        is_large = min(used.measured, used.predicted) >= GIB
        planned = _short(used.predicted) if is_large else size_of(used.predicted)
        memory = f"{size_of(used.measured)} ({planned} planned)"
    return [*facts, f"{context:,} tokens", f"{layers} on {device}", memory]


def _short(count: int | None) -> str:
    """In GiB, in as few columns as say it."""
    if count is None:
        return DASH
    return f"{count / GIB:.1f}" if count < 100 * GIB else f"{count / GIB:.0f}"


def _flags(model: ModelNowView) -> list[str]:
    view = model.view
    told = (
        ("current", view.current),
        ("pinned", view.pinned),
        ("for long prompts", view.lane == "long"),
    )
    return [word for word, is_so in told if is_so]


def _does(model: ModelNowView, history: History, width: int) -> Content:
    """Say what it does; of one that does not serve, why not."""
    view = model.view
    if view.state not in {"ready", "draining"}:
        why = view.why if view.error is None else view.error.reason
        return Content(f"    {plain(' '.join(why.split()))}")
    is_narrow = width < _NARROW
    columns = 6 if is_narrow else 10 if width < _MEDIUM else 16 if width < _WIDE else 30
    first = duration_of(_lately_known(history, model))
    return Content.assemble(
        "  " if is_narrow else "    ",
        render_cache(view.kv_used, model.cache_share, 8 if is_narrow else 12),
        f" {_speed(model, history):>5} tok/s ",
        (spark(history.tps, columns), "$success"),
        f" first {first:>5} " if is_narrow else f"  first token {first:>6} ",
        (spark(history.first_token_s, columns), "$primary"),
        f"  {view.requests.active} active {view.requests.waiting} {'wait' if is_narrow else 'waiting'}",
    )


def _speed(model: ModelNowView, history: History) -> str:
    """At this moment; of one that rests, as measured."""
    lately = history.tps[-_LATELY:]
    now_tps = sum(lately) / len(lately) if lately else 0.0
    if now_tps >= 1:
        return f"{now_tps:.0f}"
    measured = model.view.speed.measured_tps
    return DASH if measured is None else f"({measured:.0f})"


def _lately_known(history: History, model: ModelNowView) -> float | None:
    lately = history.first_token_s[-1] if history.first_token_s else None
    return model.first_token or lately or None  # nobody is that quick: 0 is none yet


def _more(model: ModelNowView) -> Content:
    """Say how long it and its prompts stay, and how fast it was expected to be."""
    view = model.view
    said = [] if view.prompts is None else [how_kept(view.prompts)]
    expected, measured = view.speed.predicted_tps, view.speed.measured_tps
    if measured is not None:
        said.append(f"measured {measured:.0f} tok/s, predicted {_whole(expected)}")
    elif expected is not None:
        said.append(f"predicted {expected:.0f} tok/s")
    if view.speed.prefill_tps is not None:
        said.append(f"reads {view.speed.prefill_tps:,.0f} tok/s")
    said.append(f"{view.requests.total:,} requests done")
    if view.unload_in is not None:
        said.append(f"unloaded in {duration_of(view.unload_in)} if nobody uses it")
    return Content.styled("    " + "; ".join(said), "$foreground-muted")


def _whole(tps: float | None) -> str:
    return DASH if tps is None else f"{tps:.0f}"
