"""A plan in words: whose machine, why this one, each number's formula, how prompts are kept. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from localllm.api.views import CandidateView, DeviceView, PlanView, PromptsView
from localllm.wording.figures import size_of
from localllm.wording.plain import plain, plain_line

_CPU = "cpu"
_KEPT = {
    "saved": "kept on disk",
    "replayed": "read again in idle time",
    "not": "kept in memory alone",
}
_VERDICTS = {"fits": "fits", "fits_partly": "fits partly", "too_big": "too big"}


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


def verdict_of(word: str | None) -> str:
    """Say whether it fits."""
    return _VERDICTS.get(word or "", "unknown")


def lack_of(one: CandidateView) -> str | None:
    """What it lacks beside the choice; None: the choice, or its reason says all, as it fits nowhere."""
    return None if one.lacks is None or one.verdict in {"too_big", None} else plain_line(one.lacks)


def part_named(name: str) -> str:
    """Say which part of the memory of a plan is meant."""
    return plain(name).replace("_", " ").replace("kv", "KV")


def speeds_of(one: CandidateView) -> list[str]:
    """Say how fast one stream is, and how soon its first token comes; nothing where nobody knows."""
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


def how_kept(prompts: PromptsView) -> str:
    """Say where prompts are once their engine has ended, and why not in a better place."""
    said = _KEPT[prompts.kept]
    return f"{said}, since {plain_line(prompts.why)}" if prompts.why else said


def set_aside(one: CandidateView) -> str | None:
    """Say how its prompts are kept, and how much memory earlier ones may take; None without either."""
    said = [] if one.prompts is None else [how_kept(one.prompts)]
    spare = 0 if one.memory is None else one.memory.host_cache
    if spare:
        said.append(f"{size_of(spare)} of memory are set aside for earlier ones")
    return f"prompts: {'; '.join(said)}" if said else None


def _meant(view: PlanView) -> Sequence[DeviceView]:
    """The accelerators of the kind that is used, and the host where its memory is one of its own."""
    placed = {_kind(p.device) for one in view.candidates for p in one.placement}
    devices = [d for d in view.hardware.devices if _kind(d.id) in placed or not placed]
    if any(d.unified for d in devices):
        return [d for d in devices if d.id != _CPU]
    return devices


def _kind(device: str) -> str:
    return device.partition(":")[0]
