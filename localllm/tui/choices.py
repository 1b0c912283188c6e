"""What may be served: the catalog's plan, what is on disk, what runs and what comes, in one list. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from localllm.api.chosen import chosen
from localllm.api.now_views import NowView
from localllm.api.pull_views import PullRequest, PullView
from localllm.api.status_views import InstanceView
from localllm.api.store_views import OnDiskView, StoreView
from localllm.api.views import CandidateView, PlanView, ServeRequest
from localllm.tui.figures import Speed, speed_of_plan
from localllm.wording.takes import Takes, takes_of

_UNDER_WAY = ("queued", "fetching", "paused")
_IDLE = ("stopped", "failed")
_VERDICTS = {"fits": 0, "fits_partly": 1, None: 2, "too_big": 3}
_LEAST_CONTEXT = 512


@dataclass(frozen=True, slots=True)
class Choice:
    """A model in one quantization, as it would be served or is."""

    name: str
    """Without its quantization: what plans are asked for."""

    quant: str | None
    ask: str = ""
    """What the daemon serves it by; it may have the quantization in it."""

    context: int | None = None
    takes: Takes | None = None
    takes_bytes: int | None = None
    """Of the devices; measured, where it runs."""

    speed: Speed | None = None
    engine: str | None = None
    quality: float | None = None
    on_disk: bool = False
    fetch_bytes: int | None = None
    """Of its files, here or not; None where nobody tells."""

    repo: str | None = None
    path: str | None = None
    """Of its first file; None where nobody tells."""

    verdict: str | None = None
    """fits, fits_partly, too_big; None: nobody has planned it, or can."""

    reason: str = ""
    is_planned: bool = False
    is_best: bool = False
    """The planner would choose it of all."""

    served: InstanceView | None = None
    pull: PullView | None = None
    """Under way."""

    @property
    def key(self) -> str:
        return key_of(self.name, self.quant)

    @property
    def is_serving(self) -> bool:
        return self.served is not None and self.served.state not in _IDLE

    @property
    def is_here(self) -> bool:
        """Whether it can be served without fetching anything."""
        return self.on_disk or self.is_serving


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants otherwise than it was planned."""

    quant: str | None = None
    context: int | None = None
    steps: int = 0
    """Quantizations further than that, once it is known which there are."""


def key_of(name: str, quant: str | None) -> str:
    """Make what tells one from another."""
    return f"{name}:{quant or ''}".casefold()


def merge(
    plan: PlanView | None, store: StoreView | None, now: NowView | None
) -> tuple[Choice, ...]:
    """Put together what is known so far: what is served first, then what is on disk, then the catalog."""
    rows = _planned(plan)
    for stored in store.models if store is not None else ():
        _note_stored(rows, stored)
    if now is not None:
        _note_served(rows, now)
        _note_pulls(rows, now.pulls)
    places = {key: at for at, key in enumerate(rows)}
    return tuple(sorted(rows.values(), key=lambda one: (*_rank(one), places[one.key])))


def with_wish(choice: Choice, wish: Wish, plan: PlanView) -> Choice:
    """Show a choice as a plan has it in another quantization or context.

    A context is the wish of one who has chosen it; the plan was asked with it.
    """
    quant = wish.quant or choice.quant
    found = next((one for one in plan.candidates if one.quant == quant), None)
    if found is None:
        return replace(choice, quant=quant, context=wish.context or choice.context, is_planned=True)
    seen = choice_of(found, plan)
    same = quant == choice.quant
    return replace(
        seen,
        name=choice.name,
        ask=choice.ask if same else choice.name,
        on_disk=seen.on_disk or (same and choice.on_disk),
        fetch_bytes=choice.fetch_bytes if same and choice.on_disk else seen.fetch_bytes,
        is_best=choice.is_best and same,
        served=choice.served if same else None,
        pull=choice.pull if same else None,
    )


def quants_of(plan: PlanView) -> tuple[str, ...]:
    """The quantizations there are, in the planner's order."""
    return tuple(dict.fromkeys(one.quant for one in plan.candidates if one.quant is not None))


def next_quant(plan: PlanView, quant: str | None, step: int) -> str | None:
    """The one so many places further; the last where there are not so many."""
    there = quants_of(plan)
    if not there:
        return None
    at = there.index(quant) if quant in there else 0
    return there[max(0, min(len(there) - 1, at + step))]


def next_context(context: int | None, trained: int | None, *, larger: bool) -> int | None:
    """Go to the next power of two; None where nobody knows where to begin."""
    if context is None:
        return None
    if larger:
        wanted = 1 << context.bit_length()
        return wanted if trained is None else max(context, min(wanted, trained))
    return max(_LEAST_CONTEXT, 1 << ((context - 1).bit_length() - 1))


def serve_request(choice: Choice, wish: Wish) -> ServeRequest:
    """Ask for what is shown; for what is served already, only for what is to be otherwise."""
    if choice.served is not None:
        return ServeRequest(model=choice.served.id, context=wish.context)
    return ServeRequest(model=choice.ask, quant=_named_apart(choice), context=wish.context)


def pull_request(choice: Choice, wish: Wish) -> PullRequest:
    """Ask for the files of what is shown."""
    return PullRequest(model=choice.ask, quant=_named_apart(choice), context=wish.context)


def _named_apart(choice: Choice) -> str | None:
    """Its quantization, unless its name has it, or is the path of a file, which has one."""
    has_it = choice.quant is None or choice.ask.casefold().endswith(f":{choice.quant.casefold()}")
    return None if has_it or choice.ask.startswith(("/", "~/", "./")) else choice.quant


def _planned(plan: PlanView | None) -> dict[str, Choice]:
    if plan is None:
        return {}
    best = chosen(plan)
    rows = [replace(choice_of(one, plan), is_best=one is best) for one in plan.candidates]
    return {one.key: one for one in rows}


def choice_of(one: CandidateView, plan: PlanView) -> Choice:
    """Read one candidate of a plan."""
    takes = takes_of(one, plan.hardware.devices)
    return Choice(
        name=one.model,
        quant=one.quant,
        ask=one.model,
        context=one.context,
        takes=takes,
        takes_bytes=None if takes is None else takes.total_bytes,
        speed=speed_of_plan(one),
        engine=one.engine,
        quality=one.quality,
        on_disk=one.on_disk,
        fetch_bytes=one.source.size,
        repo=one.source.repo,
        verdict=one.verdict,
        reason=one.reason,
        is_planned=True,
    )


def _note_stored(rows: dict[str, Choice], stored: OnDiskView) -> None:
    name = _base(stored.name, stored.quant)
    key = key_of(name, stored.quant)
    is_whole = not stored.missing
    known = rows.get(key)
    if known is not None:
        size_bytes = stored.size if is_whole else known.fetch_bytes
        rows[key] = replace(known, on_disk=is_whole, fetch_bytes=size_bytes, path=stored.path)
        return
    rows[key] = Choice(
        name=name,
        quant=stored.quant,
        ask=stored.name,
        on_disk=is_whole,
        fetch_bytes=stored.size,
        repo=stored.repo,
        path=stored.path,
        verdict=stored.verdict,
        reason=stored.reason or "" if is_whole else _lacking(stored.missing),
    )


def _lacking(missing: Sequence[str]) -> str:
    return f"Of its files {len(missing)} are missing, {missing[0]} the first."


def _note_served(rows: dict[str, Choice], now: NowView) -> None:
    for model in reversed(now.models):  # the first of several instances is the one that is meant
        one = model.view
        known = _of_file(rows, one.file) or _of_name(rows, one)
        rows[known.key] = _as_served(known, one, _held_by(one, now))


def _of_file(rows: dict[str, Choice], path: str | None) -> Choice | None:
    """Find what is served by its file: what is hf:owner/repo on the disk has another name then."""
    return None if path is None else next((r for r in rows.values() if r.path == path), None)


def _of_name(rows: dict[str, Choice], one: InstanceView) -> Choice:
    name = _base(one.id, one.quant)
    return rows.get(key_of(name, one.quant)) or Choice(name, one.quant, one.id, path=one.file)


def _held_by(one: InstanceView, now: NowView) -> Takes | None:
    """What it has of the accelerators, or of the host where it is on none."""
    held = [(d, h) for d in now.devices for h in d.held if h.instance == one.instance]
    held = [(d, h) for d, h in held if d.kind != "cpu"] or held
    if not held:
        return None
    usable = sum((device.memory_total or 0) - (device.reserve or 0) for device, _ in held)
    parts = [(h.weights, h.cache, h.other) for _, h in held]
    weights, cache, other = (sum(sizes) for sizes in zip(*parts, strict=True))
    return Takes(weights, cache, other, usable)


def _as_served(known: Choice, one: InstanceView, held: Takes | None) -> Choice:
    measured = one.speed.measured_tps
    if one.state in _IDLE:
        return replace(known, served=one)
    taken = one.memory.measured or one.memory.predicted
    return replace(
        known,
        served=one,
        context=one.context,
        engine=one.engine,
        takes=held,
        takes_bytes=taken if held is None else held.total_bytes,
        speed=known.speed if measured is None else Speed(measured, is_measured=True),
        verdict=known.verdict or "fits",
        reason=known.reason or f"it is served ({one.why})",
    )


def _note_pulls(rows: dict[str, Choice], pulls: Iterable[PullView]) -> None:
    for pull in pulls:
        if pull.state not in _UNDER_WAY:
            continue
        name = _base(pull.model, pull.quant)
        fresh = Choice(name, pull.quant, pull.model, fetch_bytes=pull.size, reason=pull.reason)
        known = rows.get(key_of(name, pull.quant), fresh)
        rows[known.key] = replace(known, pull=pull)


def _base(name: str, quant: str | None) -> str:
    ending = f":{quant}".casefold()
    return name[: -len(ending)] if quant and name.casefold().endswith(ending) else name


def _rank(one: Choice) -> tuple[int, bool, int]:
    place = 0 if one.is_serving else 1 if one.on_disk or one.pull is not None else 2
    return place, not one.is_best, _VERDICTS.get(one.verdict, 2)
