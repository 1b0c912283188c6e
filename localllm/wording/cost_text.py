"""What tokens cost, as `localllm cost` prints it: a table, bars, sentences and a chart. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from localllm.api.usage_views import ApiView, CostView, UsageRowView, UsageView
from localllm.wording.charts import (
    CROSSING,
    HERE,
    Frame,
    Line,
    Mark,
    axis,
    bar,
    highest,
    line_chart,
    under_axis,
)
from localllm.wording.cost_figures import energy_of, money_of, tokens_of
from localllm.wording.figures import counted, percent
from localllm.wording.plain import plain_line

WIDTH = 80
_NOBODY = "(no model)"
_NAME_ROOM, _SHORT_ROOM = 22, 10
_LABEL_ROOM = 10
_CHART_HEIGHT = 12
_MOST_LINES = 3
_MOST_BARS = 31
_MILLION = 1_000_000
_SIGNS = "abc"
_TICKS = 4


def table_rows(usage: UsageView, width: int = WIDTH) -> Sequence[Sequence[str]]:
    """Lay out what there was, a row for each day, model or client, and one for all.

    As many APIs get a column as there is room for; the sentences below name all of them.
    """
    names = [*usage.total.apis][: _api_columns(usage, width)]
    head = [usage.by, "requests", "in", "cached", "out", "energy", "electricity"]
    rows = [_cells(row, _called(usage, row), names) for row in usage.rows]
    return [[*head, *(_clipped(name) for name in names)], *rows, _cells(usage.total, "all", names)]


def bar_lines(usage: UsageView, *, blocks: bool, width: int = WIDTH) -> Iterator[str]:
    """Draw the tokens of each day, model or client."""
    rows = _drawn(usage)
    counts = [_count(row) for row in rows]
    if not any(counts):
        return
    names = [_called(usage, row) for row in rows]
    room = max(map(len, names))
    yield f"tokens by {usage.by}{_which(usage) if len(rows) < len(usage.rows) else ''}"
    for name, count in zip(names, counts, strict=True):
        drawn = bar(count, max(counts), width - room - 10, blocks=blocks)
        yield f"{name.ljust(room)}  {drawn} {tokens_of(count)}".rstrip()


def _drawn(usage: UsageView) -> Sequence[UsageRowView]:
    """Those that there is room for: the last days, or the models and clients with most tokens."""
    if usage.by == "day":
        return usage.rows[-_MOST_BARS:]
    most = sorted(usage.rows, key=_count, reverse=True)[:_MOST_BARS]
    return [row for row in usage.rows if row in most]


def _which(usage: UsageView) -> str:
    return f": the last {_MOST_BARS}" if usage.by == "day" else f": the {_MOST_BARS} with most"


def _count(row: UsageRowView) -> int:
    return row.input + row.cached + row.output


def sentences(usage: UsageView, width: int = WIDTH) -> Iterator[str]:
    """Say what it costs here and there, and from when on it is less here."""
    for sentence in _said(usage):
        yield from textwrap.wrap(sentence, width, subsequent_indent="  ")


def _said(usage: UsageView) -> Iterator[str]:
    cost, total = usage.cost, usage.total
    yield from _energy(total)
    if cost.per_million is not None:
        yield f"here: {money_of(cost.per_million, cost.currency)} of electricity for a million tokens"
    if cost.fixed_per_day is not None:
        yield f"here: {money_of(cost.fixed_per_day, cost.currency)} a day before the first token{_parts(cost)}"
    if cost.whole is not None:
        yield f"here: {money_of(cost.whole, cost.currency)} in all, on {counted(cost.days, 'day')}"
    for api in cost.apis:
        yield f"{api.name}: {_there(api, cost)}"
    if total.remote:
        yield f"remote: {tokens_of(total.remote)} tokens beside these, which a server elsewhere has read and written"
    for what in usage.missing:
        yield f"not known: {what}"


def chart_lines(usage: UsageView, *, blocks: bool, width: int = WIDTH) -> Iterator[str]:
    """Draw what a day costs by its tokens, here and there; nothing where that is not known."""
    cost = usage.cost
    apis = [api for api in cost.apis if api.per_million is not None][:_MOST_LINES]
    if cost.fixed_per_day is None or cost.per_million is None or not apis:
        return
    frame = Frame(width - _LABEL_ROOM, _CHART_HEIGHT, _x_most(cost, apis))
    here = Line(HERE if blocks else "o", cost.fixed_per_day, cost.per_million / _MILLION)
    signs = dict(zip(_SIGNS, apis, strict=False))
    theirs = [Line(sign, 0.0, (api.per_million or 0.0) / _MILLION) for sign, api in signs.items()]
    crossings = [one.tokens_per_day for one in apis if one.tokens_per_day is not None]
    cross = CROSSING if blocks else "X"
    lines, marks = [*theirs, here], [Mark(cross, x, here.at(x)) for x in crossings]
    yield f"cost of a day{f' in {cost.currency}' if cost.currency else ''}, by its tokens"
    yield from _labelled(line_chart(lines, marks, frame), highest(lines, frame), blocks=blocks)
    yield " " * _LABEL_ROOM + axis(frame.width, blocks=blocks)
    ticks = [tokens_of(frame.x_most * number / _TICKS) for number in range(_TICKS + 1)]
    yield " " * _LABEL_ROOM + under_axis(ticks, frame.width)
    said = [f"{here.sign} here", *(f"{sign} {api.name}" for sign, api in signs.items())]
    yield from _packed([*said, *([f"{cross} both cost the same"] if marks else [])], width)


def _packed(words: Sequence[str], width: int) -> Sequence[str]:
    """Set them side by side, in as many lines as that takes."""
    lines = [words[0]]
    for word in words[1:]:
        beside = f"{lines[-1]}  {_clipped(word, width)}"
        lines[-1:] = [beside] if len(beside) <= width else [lines[-1], _clipped(word, width)]
    return lines


def _labelled(rows: Sequence[str], y_most: float, *, blocks: bool) -> Iterator[str]:
    edge = "┤" if blocks else "|"
    for number, row in enumerate(rows):
        value = y_most * (len(rows) - 1 - number) / (len(rows) - 1)
        label = _label(value) if number % 3 == 2 or number in {0, len(rows) - 1} else ""  # noqa: PLR2004  # some of them
        yield f"{label:>{_LABEL_ROOM - 1}}{edge}{row}".rstrip()


def _label(amount: float) -> str:
    """Render an amount for which there is little room."""
    label = money_of(amount)
    return label if len(label) < _LABEL_ROOM else tokens_of(amount)


def _x_most(cost: CostView, apis: Sequence[ApiView]) -> float:
    """How far to the right: beyond where they meet, and beyond what there was."""
    meetings = [api.tokens_per_day for api in apis if api.tokens_per_day is not None]
    wanted = [1.6 * min(meetings)] if meetings else []
    return max([*wanted, 1.25 * (cost.tokens_per_day or 0.0), 1.0])


def _energy(total: UsageRowView) -> Iterator[str]:
    if total.answers is None and total.idle is None:
        return
    parts = [
        *([] if total.answers is None else [f"{energy_of(total.answers)} for answers"]),
        *([] if total.idle is None else [f"{energy_of(total.idle)} while nobody asked"]),
    ]
    known = "" if total.measured >= 1 else f" (known of {_part(total.measured)} of the tokens)"
    yield f"energy: {', '.join(parts)}{known}"


def _part(share: float) -> str:
    """Render a part: never all, and nothing only where it is."""
    return percent(share) if share in {0, 1} else percent(min(0.99, max(0.01, share)))


def _parts(cost: CostView) -> str:
    idle = f"idle {money_of(cost.idle_per_day)}, {cost.idle_from}"
    if not cost.hardware_per_day:
        return f" ({idle})"
    return f" ({idle}; hardware {money_of(cost.hardware_per_day)})"


def _there(api: ApiView, cost: CostView) -> str:
    asked = f"{money_of(api.cost, cost.currency)} for the same tokens"
    if api.per_million is None:
        return "no tokens to compare"
    asked += f", {money_of(api.per_million)} a million"
    match api.crossover:
        case "at":
            return f"{asked}; less here from {tokens_of(api.tokens_per_day)} tokens a day on{_if_ever(api, cost)}"
        case "always":
            return f"{asked}; here it is always less"
        case "never":
            return f"{asked}; here it is never less, the energy of a token alone costs as much"
        case "unknown":
            return f"{asked}; from when on it is less here is not known"


def _if_ever(api: ApiView, cost: CostView) -> str:
    if api.reachable is not False:
        return ""
    return f", which is more than the {tokens_of(cost.most_per_day)} that this machine could do"


def _cells(row: UsageRowView, name: str, apis: Sequence[str]) -> Sequence[str]:
    energy = None
    if row.answers is not None or row.idle is not None:
        energy = (row.answers or 0.0) + (row.idle or 0.0)
    counts = [tokens_of(count) for count in (row.input, row.cached, row.output)]
    prices = [money_of(row.apis[api]) for api in apis]
    cells = (name, str(row.requests), *counts, energy_of(energy), money_of(row.electricity))
    return [*cells, *prices]


def _called(usage: UsageView, row: UsageRowView) -> str:
    name = plain_line(row.name) or _NOBODY if usage.by == "model" else row.name
    return _clipped(name, _NAME_ROOM)


def _clipped(name: str, room: int = _SHORT_ROOM) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}~"


def _api_columns(usage: UsageView, width: int) -> int:
    """How many APIs have room beside the other columns, of which none is wider than its words."""
    name = max([_SHORT_ROOM, *(len(_called(usage, row)) for row in usage.rows)])
    others = name + sum(2 + room for room in (8, 6, 6, 6, 8, 11))
    return max(0, (width - others) // (2 + _SHORT_ROOM))


def title(usage: UsageView) -> str:
    """Say which days these are."""
    requests = counted(usage.total.requests, "request")
    return f"{usage.first} to {usage.last} (UTC): {requests}"
