"""Which way to run one model file: the context it needs, on the quickest devices that take it.

Nothing is asked of the machine here; the same numbers give the same plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from localllm.fit.cache import (
    CHECKPOINTS,
    CONTEXT_STEP,
    Setting,
    can_be_quantized,
    checkpoint_bytes,
)
from localllm.fit.drafter import drafter_of, rollback_of
from localllm.fit.layout import Layout, Part, total_of
from localllm.fit.plan import Budget, Placement, Plan, Verdict, Wish
from localllm.fit.reasons import why_it_fits, why_not
from localllm.fit.shape import Shape, shape_of
from localllm.fit.tables import tabulate
from localllm.fit.ways import Ground
from localllm.fit.work import speed_of
from localllm.formats.header import Format, Header
from localllm.units import GIB, MIB

PARALLEL = 4
"""Slots: agents ask for a title beside the turn, and start helpers."""

MICRO_BATCH = 512
MIN_CONTEXT = 2048
"""Tokens; below it a chat is no use, let alone an agent."""

USEFUL_CONTEXT = 16_384
"""Tokens; an agent's instructions and tools alone take up to 20,000, a chat's history less."""

UNSTATED_CONTEXT = 4096
"""Tokens; the most that we trust a model with that does not say what it was trained with."""

CACHED_CONTEXTS = 4
CACHE_SHARE = 0.1
MAX_CACHE_BYTES = 8 * GIB
"""Of earlier prompts; llama.cpp's own default. Not of a single full context."""

SAVINGS = (("f16", PARALLEL, MICRO_BATCH), ("q8_0", PARALLEL, MICRO_BATCH), ("q8_0", 1, 256))
"""What is given up for the context that a use needs, in this order, before smaller weights are
taken: an 8-bit cache changes answers less (mean KL divergence 0.001) than one step down in
weights (0.005 and more). Source: llama.cpp, pull request 7412 and tools/perplexity/README.
Last of all go the checkpoints: without them a turn that differs is read again as a whole."""


@dataclass(frozen=True, slots=True)
class Found:
    """A layout and the context that it was found to take."""

    layout: Layout
    context: int
    whole: bool = True


def plan(header: Header, budgets: Sequence[Budget], wish: Wish) -> Plan:
    """Plan one file.

    Args:
        header: What the model's file says.
        budgets: Exactly one host, and the accelerators in the order of preference; without
            any, the model goes to the host.
        wish: What the user asked for.

    Raises:
        UnsupportedArchitecture: The formulas do not cover the model.
        ValueError: There is not exactly one host, or a wish is not positive.
    """
    _check(wish)
    header = replace(header, tensors=(*header.tensors, *wish.adapters))
    ground = _ground(shape_of(header), budgets, wish)
    most = header.context_trained or wish.context or UNSTATED_CONTEXT
    least = wish.context or min(MIN_CONTEXT, most)
    if wish.context is not None and wish.context > most:
        first = next(ground.whole(_settings(ground.shape, wish, least)[0]))
        reason = (
            f"A context of {wish.context} tokens is asked for, the model was trained with {most}."
        )
        return _too_big(first, most, reason)
    most = wish.context or max(least, most // CONTEXT_STEP * CONTEXT_STEP)
    goal = wish.context or min(wish.goal or USEFUL_CONTEXT, most)
    if ground.shape.encoder or wish.whole_texts:
        most = goal  # a text is one micro batch, so what goes beyond that cannot be used
    found = _search(ground, wish, least=least, goal=goal, most=most)
    if found is None:
        return _too_big(_roomiest(ground, wish, least), least, None)
    return _fitting(found)


def _check(wish: Wish) -> None:
    for name in ("context", "parallel", "micro_batch", "goal"):
        value = getattr(wish, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}")


def _ground(shape: Shape, budgets: Sequence[Budget], wish: Wish) -> Ground:
    hosts = [budget for budget in budgets if budget.is_host]
    if len(hosts) != 1:
        raise ValueError(f"{len(hosts)} hosts, where there must be one")
    devices = tuple(budget for budget in budgets if not budget.is_host)
    tables = tabulate(shape, [device.kind for device in devices])
    roomy = tuple(d for d in devices if tables.has_room_for_a_layer(d.kind, _left(d)))
    devices = roomy or devices  # a card that others have filled is no reason against the rest
    return Ground(
        tables,
        hosts[0],
        devices,
        wish.projector_bytes,
        wish.exact,
        drafter_of(wish.draft, shape.header, [device.kind for device in devices]),
    )


def _left(device: Budget) -> int:
    return device.usable_bytes - device.overhead_bytes


def _settings(shape: Shape, wish: Wish, context: int) -> list[Setting]:
    """What may be asked of the engine, nothing given up first; a wish is never given up."""
    settings: list[Setting] = []
    for kv_type, parallel, micro_batch in SAVINGS:
        if kv_type != "f16" and not can_be_quantized(shape):
            continue
        setting = Setting(
            context=context,
            parallel=wish.parallel or parallel,
            micro_batch=context
            if shape.encoder or wish.whole_texts
            else wish.micro_batch or micro_batch,
            kv_type=wish.kv_type or kv_type,
            rollback=rollback_of(wish.draft, shape),
            embeds=wish.embeds,
            checkpoints=CHECKPOINTS,
        )
        if not _goes_back(shape, setting):
            setting = replace(setting, checkpoints=0)
        if setting not in settings:
            settings.append(setting)
    last = replace(settings[-1], checkpoints=0)
    return settings if last in settings else [*settings, last]


def _goes_back(shape: Shape, setting: Setting) -> bool:
    """Whether checkpoints are of use: for a conversation, which only llama.cpp keeps that way."""
    if not _writes(shape, setting) or shape.header.format is not Format.GGUF:
        return False
    return checkpoint_bytes(shape, setting) > 0


def _search(ground: Ground, wish: Wish, *, least: int, goal: int, most: int) -> Found | None:
    """Take the first whole layout that reaches the goal, else the best of what there is."""
    best: Found | None = None
    for layout in _whole(ground, wish, goal):
        context = layout.longest(least, most)
        if context >= goal:
            return Found(layout, context)
        if context and (best is None or context > best.context):
            best = Found(layout, context)
    if best is not None and best.context >= min(USEFUL_CONTEXT, goal):
        return best
    aside = _aside(ground, wish, goal=goal, most=most)
    if best is None or (aside is not None and aside.layout.arrangement.experts_on_host):
        return aside or best
    return best


def _whole(ground: Ground, wish: Wish, context: int) -> Iterator[Layout]:
    for setting in _settings(ground.shape, wish, context):
        yield from ground.whole(setting)


def _aside(ground: Ground, wish: Wish, *, goal: int, most: int) -> Found | None:
    """With a part on the host: experts rather than layers, since each token uses few of them."""
    for context in dict.fromkeys((goal, min(goal, USEFUL_CONTEXT), min(goal, MIN_CONTEXT))):
        for setting in _settings(ground.shape, wish, context)[1:] or _settings(
            ground.shape, wish, context
        ):
            for layout in (ground.experts_aside(setting), ground.partly(setting)):
                if layout is not None:
                    return Found(layout, layout.longest(context, most), whole=False)
    return None


def _roomiest(ground: Ground, wish: Wish, context: int) -> Layout:
    layouts = list(ground.whole(_settings(ground.shape, wish, context)[-1]))
    return max(layouts, key=lambda layout: min(part.spare for part in layout.at(context)))


def _fitting(found: Found) -> Plan:
    verdict = Verdict.FITS if found.whole else Verdict.FITS_PARTLY
    parts = found.layout.at(found.context)
    return _plan(
        found.layout, found.context, parts, verdict, why_it_fits(found.layout, found.context, parts)
    )


def _too_big(layout: Layout, context: int, reason: str | None) -> Plan:
    parts = layout.at(context)
    return _plan(layout, context, parts, Verdict.TOO_BIG, reason or why_not(layout, context, parts))


def _plan(
    layout: Layout, context: int, parts: Sequence[Part], verdict: Verdict, reason: str
) -> Plan:
    fits = verdict is not Verdict.TOO_BIG
    arrangement = layout.arrangement
    asked = replace(layout.setting, context=context)
    goes_back = _goes_back(layout.shape, asked)
    shares = (*arrangement.devices, arrangement.host)
    return Plan(
        verdict=verdict,
        reason=reason,
        context=context,
        parallel=layout.setting.parallel,
        kv_type=layout.setting.kv_type,
        micro_batch=layout.setting.micro_batch,
        layers=layout.shape.blocks,
        arrangement=arrangement,
        placement=tuple(
            Placement(part.budget.device, share.count, part.memory)
            for part, share in zip(parts, shares, strict=True)
        ),
        host_cache_bytes=_host_cache_bytes(layout, context, parts[-1]) if fits else 0,
        speed=speed_of(layout, context) if fits and _writes(layout.shape, asked) else None,
        rollback=layout.setting.rollback,
        checkpoint_bytes=checkpoint_bytes(layout.shape, asked) if goes_back else 0,
        checkpoints=layout.setting.checkpoints,
    )


def _writes(shape: Shape, setting: Setting) -> bool:
    return not shape.encoder and not setting.embeds


def _host_cache_bytes(layout: Layout, context: int, host: Part) -> int:
    """Host memory for earlier prompts, their checkpoints too; of texts that are embedded, nothing."""
    setting = replace(layout.setting, context=context)
    if not _writes(layout.shape, setting):
        return 0
    kept = total_of(layout.at(context))
    own = setting.checkpoints * checkpoint_bytes(layout.shape, setting)
    return earlier_prompts_bytes(kept.kv_cache + kept.recurrent_state + own, host.spare)


def earlier_prompts_bytes(one: int, spare: int) -> int:
    """What earlier prompts may take of memory that nothing else needs, in whole MiB, as engines count.

    At least one full context, wherever there is room for it: llama.cpp keeps one prompt whatever its
    limit says (server_prompt_cache::update), so less would be a promise that is not kept. More of
    them may have a tenth of what is left.

    Args:
        one: Bytes of one full context.
        spare: Bytes that are left once all else has its place.
    """
    more = min(CACHED_CONTEXTS * one, int(CACHE_SHARE * spare), MAX_CACHE_BYTES)
    whole = -(-one // MIB) * MIB
    return max(whole if whole <= spare else 0, more // MIB * MIB)
