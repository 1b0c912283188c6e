"""A plan in words, the same as `localllm plan` has: whose machine, why this one, each number's formula. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from localllm.api.views import CandidateView, DeviceView, PlanView, PromptsView
from localllm.tui.words import plain, size_of

_CPU = "cpu"
_KEPT = {
    "saved": "saved on disk",
    "replayed": "read again in idle time",
    "not": "kept in the engine's memory alone",
}


def title_of(view: PlanView) -> str:
    """The model where there is one, and the machine; cards that are alike are counted."""
    counted = Counter((one.name, one.memory_usable) for one in _meant(view))
    names = [
        f"{f'{count} x ' if count > 1 else ''}{plain(name)} "
        f"({size_of(usable)} usable{' each' if count > 1 else ''})"
        for (name, usable), count in counted.items()
    ]
    machine = f"on {', '.join(names)}"
    return f"{plain(view.model.id)} {machine}" if view.model else machine


def name_of(one: CandidateView, view: PlanView) -> str:
    """The quantization alone, where all are of one model."""
    if view.model is not None and one.quant is not None:
        return plain(one.quant)
    return plain(" ".join(filter(None, (one.model, one.quant))))


def sentences_of(one: CandidateView, view: PlanView, *, is_choice: bool) -> list[str]:
    """Why it is, or is not, the choice; what it takes; what becomes of prompts."""
    lines = [plain(view.why)] if is_choice and view.why is not None else []
    lines.append(f"{name_of(one, view)}: {plain(one.reason)}")
    if one.lacks is not None and one.verdict not in {"too_big", None}:
        lines.append(f"it {plain(one.lacks)}")
    if one.prompts is not None:
        lines.append(f"prompts: {_kept(one.prompts)}")
    if view.advice is not None:
        lines.append(plain(view.advice))
    return lines


def formulas_of(one: CandidateView) -> list[str]:
    """Each number with how it comes about, then the speeds."""
    rows = [
        (plain(each.device), _part(each.part), size_of(each.bytes), plain(each.formula))
        for each in one.explanation
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(3)]
    lines = [
        f"{device:<{widths[0]}}  {part:<{widths[1]}}  {size:>{widths[2]}}  = {formula}"
        for device, part, size, formula in rows
    ]
    return [*lines, *_speeds(one)]


def _meant(view: PlanView) -> Sequence[DeviceView]:
    """The accelerators of the kind that is used, and the host where its memory is one of its own."""
    placed = {_kind(p.device) for one in view.candidates for p in one.placement}
    devices = [d for d in view.hardware.devices if _kind(d.id) in placed or not placed]
    if any(d.unified for d in devices):
        return [d for d in devices if d.id != _CPU]
    return devices


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _kept(prompts: PromptsView) -> str:
    return _KEPT[prompts.kept] + (f", since {plain(prompts.why)}" if prompts.why else "")


def _part(name: str) -> str:
    return plain(name).replace("_", " ").replace("kv", "KV")


def _speeds(one: CandidateView) -> list[str]:
    told = one.speed
    if told.decode_tps is None or told.decode_tps_full is None:
        return []
    lines = [
        f"one stream: {told.decode_tps:.0f} tok/s at an empty cache, "
        f"{told.decode_tps_full:.0f} at a full one ({told.source})"
    ]
    first = told.first_token
    if first is not None and first.cold is not None and first.cached is not None:
        lines.append(
            f"first token of a prompt of {first.prompt_tokens}: {first.cold:.1f} s cold, "
            f"{first.cached:.2f} s from the cache"
        )
    return lines
