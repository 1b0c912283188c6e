"""The devices: whose memory is whose, how hard each works, how hot it is, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content

from localllm.api.now_views import DeviceNowView, NowView
from localllm.tui.widgets.bar import (
    BUFFERS,
    CACHE,
    FREE,
    KINDS,
    OTHERS,
    RESERVE,
    UNKNOWN,
    WEIGHTS,
    Piece,
    render_bar,
    render_legend,
)
from localllm.tui.widgets.drawn import Drawn
from localllm.tui.world import World
from localllm.units import GIB
from localllm.wording.figures import DASH, percent, size_of
from localllm.wording.plain import plain

_SHORTEST_BAR, _ID_COLUMNS = 8, 7
_STATUS_COLUMNS = 11
"""Kept free for what may come: a bar that becomes shorter would jump."""


class Devices(Drawn):
    """One line a device where there is little room, else three."""

    DEFAULT_CSS = (
        "Devices { height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }"
    )

    def render_world(self, world: World, width: int) -> Content:
        if world.now is None:
            return Content("")
        is_short = self.screen.has_class("-short") or self.screen.has_class("-narrow")
        return render_devices(world.now, width, is_short=is_short)


def render_devices(now: NowView, width: int, *, is_short: bool) -> Content:
    """Draw all devices and the legend."""
    marks = marks_of(now)
    lines: list[Content] = []
    shown = seen_apart(now.devices)
    for device in shown:
        if is_short:
            lines.append(_on_one_line(device, marks, width))
        else:
            lines += _in_full(device, marks, width)
    drawn = {piece.kind for device in shown for piece in pieces_of(device, marks) if piece.size}
    kinds = KINDS if UNKNOWN not in drawn else (*KINDS, UNKNOWN)
    return Content("\n").join([*lines, render_legend(kinds)])


def seen_apart(devices: Sequence[DeviceNowView]) -> list[DeviceNowView]:
    """Leave the processor out where a chip has the same memory: it would be drawn twice."""
    has_unified = any(one.unified and one.kind != "cpu" for one in devices)
    return [one for one in devices if one.kind != "cpu" or not has_unified]


def marks_of(now: NowView) -> Mapping[str, str]:
    """Number the instances, so that a bar can say whose memory begins where."""
    return {one.view.instance: str(i) for i, one in enumerate(now.models, start=1)}


def pieces_of(device: DeviceNowView, marks: Mapping[str, str]) -> list[Piece]:
    """Tell whose the memory is; what nobody accounts for is not known."""
    pieces: list[Piece] = []
    for held in device.held:
        mark = marks.get(held.instance, "")
        parts = ((WEIGHTS, held.weights), (CACHE, held.cache), (BUFFERS, held.other))
        there = [(kind, size) for kind, size in parts if size > 0]
        pieces += [
            Piece(kind, size, mark if i == 0 else "") for i, (kind, size) in enumerate(there)
        ]
    pieces.append(Piece(OTHERS, device.others or 0))
    total = device.memory_total or 0
    free = device.memory_free or 0
    kept = min(device.reserve or 0, free)
    unknown = max(0, total - free - sum(piece.size for piece in pieces))
    return [
        *pieces,
        Piece(UNKNOWN, unknown if unknown > total // 100 else 0),
        Piece(FREE, free - kept),
        Piece(RESERVE, kept),
    ]


def _on_one_line(device: DeviceNowView, marks: Mapping[str, str], width: int) -> Content:
    name = plain(device.id)[:_ID_COLUMNS].ljust(_ID_COLUMNS)
    if device.lost is not None:
        return Content.assemble((f"{name} ✖ lost: {_words(device.lost)}", "bold $error"))
    used = f"{_gib(_used(device))}/{_gib(device.memory_total)} GiB".rjust(15)
    vitals = f"{percent(device.utilization):>4} {_power(device):>9} {_heat(device):>5}"
    sign = _sign(device)
    end = f" {used} {vitals} "
    columns = max(_SHORTEST_BAR, width - len(name) - 1 - len(end) - _STATUS_COLUMNS)
    bar = render_bar(pieces_of(device, marks), columns)
    return Content.assemble((name, "bold"), " ", bar, end, (sign, "bold $warning"))


def _in_full(device: DeviceNowView, marks: Mapping[str, str], width: int) -> list[Content]:
    head = Content.styled(f"{plain(device.id)}  {plain(device.name)}", "bold")
    if device.lost is not None:
        return [head, Content.styled(f"  ✖ lost: {_words(device.lost)}", "bold $error")]
    facts = [f"{percent(device.utilization)} busy", _power(device), _heat(device), *_apple(device)]
    known = [fact for fact in facts if not fact.startswith(DASH)]
    if known:
        head = Content.assemble(head, "  ", ", ".join(known))
    if device.throttled is not None:
        said = f"  ! throttled: {_words(device.throttled)}"
        head = Content.assemble(head, (said, "bold $warning"))
    used = f" {_gib(_used(device))} of {_gib(device.memory_total)} GiB".rjust(20)
    bar = render_bar(pieces_of(device, marks), max(_SHORTEST_BAR, width - 22))
    owners = _owners(device, marks)
    return [head, Content.assemble("  ", bar, used), *_packed(owners, width)]


def _owners(device: DeviceNowView, marks: Mapping[str, str]) -> list[Content]:
    """Say in numbers what the bar draws."""
    said: list[Content] = []
    for held in device.held:
        mark = marks.get(held.instance, "")
        sizes = f"{_gib(held.weights)} weights, {_gib(held.cache)} KV, {_gib(held.other)} buffers"
        said.append(Content.assemble((f"{mark} {plain(held.model)} ", "bold"), sizes))
    free = None if device.memory_free is None else device.memory_free - _kept(device)
    rest = f"others {_gib(device.others)}, free {_gib(free)}, reserve {_gib(device.reserve)} GiB"
    return [*said, Content.styled(rest, "$foreground-muted")]


def _packed(parts: list[Content], width: int) -> list[Content]:
    """Put as many side by side as have room."""
    lines: list[Content] = []
    for part in parts:
        longer = Content.assemble(lines[-1], "; ", part) if lines else part
        if lines and longer.cell_length <= width:
            lines[-1] = longer
        else:
            lines.append(Content.assemble("  ", part))
    return lines


def _kept(device: DeviceNowView) -> int:
    return min(device.reserve or 0, device.memory_free or 0)


def _used(device: DeviceNowView) -> int | None:
    if device.memory_total is None or device.memory_free is None:
        return None
    return device.memory_total - device.memory_free


def _gib(count: int | None) -> str:
    return DASH if count is None else f"{count / GIB:.1f}"


def _power(device: DeviceNowView) -> str:
    if device.power is None:
        return DASH
    limit = "" if device.power_limit is None else f"/{device.power_limit:.0f}"
    return f"{device.power:.0f}{limit} W"


def _heat(device: DeviceNowView) -> str:
    return DASH if device.temperature is None else f"{device.temperature:.0f}°C"


def _apple(device: DeviceNowView) -> list[str]:
    said = [] if device.wired_limit is None else [f"wired limit {size_of(device.wired_limit)}"]
    pressed = device.pressure is not None and (device.unified or device.pressure != "none")
    return [*said, f"memory pressure {device.pressure}"] if pressed else said


def _sign(device: DeviceNowView) -> str:
    """One word for the end of a line; notices say the rest."""
    if device.throttled is not None:
        return "! throttled"
    if device.pressure in {"warn", "critical"}:
        return "! pressure"
    return f"wired {device.wired_limit / GIB:.0f}G" if device.wired_limit is not None else ""


def _words(text: str) -> str:
    return plain(" ".join(text.split()))
