"""Answers `gc`: what may go from the shared cache, and why the rest stays.

Leftovers that no program is at go always; halves and contents without a name only when they have
not changed for a day, since a pull may be paused (or for as long as `older_than` says, if that is
less). Models go only where it is asked for: by when they were last used, or down to a size, those
first that were not used for longest. What is served or pinned stays, and so does all that is
another program's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from localllm.api.store_views import RemovedView, TidyRequest
from localllm.errors import LocalLLMError
from localllm.formats.header import Format
from localllm.planning.desk import Desk
from localllm.planning.finding import Meant
from localllm.planning.shelf import models_here, sweep, take_away
from localllm.planning.shelf_views import is_served
from localllm.store.discarding import discard
from localllm.store.inventory import OnDisk, printable
from localllm.store.leftovers import KEPT_FOR_S, Leftover, read_leftovers
from localllm.store.local import model_id
from localllm.store.places import hub_cache
from localllm.units import duration, size


@dataclass(frozen=True, slots=True)
class Spared:
    """What is to stay, as the daemon knows it."""

    pinned: frozenset[str] = frozenset()
    """Ids of models, as clients send them."""

    used: Mapping[str, float] = field(default_factory=dict[str, float])
    """When a model of an id was last served, in Unix seconds."""

    pulling: frozenset[str] = frozenset()
    """Repositories, as owner/name, of pulls that have not ended; paused ones among them."""

    half_for_s: float = KEPT_FOR_S
    """How long a half stays after it was last written to."""


NOBODY = Spared()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one model or leftover."""

    removed: str | None = None
    freed_bytes: int = 0
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Tidying:
    desk: Desk
    request: TidyRequest
    served: frozenset[Path]
    spared: Spared
    now: float

    def why_left(self, leftover: Leftover) -> str | None:
        """Why a leftover stays; None: it goes."""
        path = printable(str(leftover.path))
        if leftover.in_use:
            return f"{path} stays: a program is at it now."
        if not leftover.is_resumable:
            return None
        repository = leftover.repository
        if repository is not None and repository.name in self.spared.pulling:
            return f"{path} stays: its pull has not ended."
        older = self.request.older_than
        limit_s = self.spared.half_for_s if older is None else min(older, self.spared.half_for_s)
        age_s = max(0.0, self.now - leftover.changed)
        if age_s < limit_s:
            return (
                f"{path} stays: it was written to {duration(age_s)} ago, and a download may take "
                f"it up again; after {duration(limit_s)} it goes."
            )
        return None

    def why_held(self, model: OnDisk) -> str | None:
        """Why a model stays whatever its age; None: nothing holds it."""
        if is_served(model, self.served):
            return f"{model.name} stays: it is being served."
        if _ids(model) & self.spared.pinned:
            return f"{model.name} stays: it is pinned."
        if model.repo in self.spared.pulling:
            return f"{model.name} stays: a pull of its repository has not ended."
        return None

    def last_used(self, model: OnDisk) -> float | None:
        """When; None where nobody can know, since its disk does not note it."""
        ours = [self.spared.used[one] for one in _ids(model) if one in self.spared.used]
        noted = [] if model.last_used is None or not model.is_use_noted else [model.last_used]
        return max((*ours, *noted), default=None)

    def old(self, models: Sequence[OnDisk]) -> Iterator[tuple[OnDisk, str | None]]:
        """Those that were not used for long, and why one stays all the same."""
        limit_s = self.request.older_than
        if limit_s is None:
            return
        for model in models:
            used = self.last_used(model)
            if used is None:
                why = "nobody knows when it was last used, as its disk does not note it"
                yield model, self.why_held(model) or f"{model.name} stays: {why}."
            elif self.now - used >= limit_s:
                yield model, self.why_held(model)

    def over(self, models: Sequence[OnDisk]) -> Iterator[tuple[OnDisk, str | None]]:
        """Those that go until the rest is no larger than asked for, the longest unused first."""
        limit = self.request.max_size
        if limit is None:
            return
        left = list(models)
        for model in sorted(models, key=lambda m: self.last_used(m) or m.last_used or 0.0):
            if _together_bytes(left) <= limit:
                return
            why = self.why_held(model)
            if why is None:
                left.remove(model)
            yield model, why


def tidy(
    desk: Desk, request: TidyRequest, served: frozenset[Path], spared: Spared = NOBODY
) -> RemovedView:
    """Remove what may go; what could not be removed is told of, and spoils nothing.

    Args:
        served: Files that engines have open, links resolved.
    """
    tidying = _Tidying(desk, request, served, spared, time.time())
    outcomes = [*_models(tidying), *_leftovers(tidying)]
    return RemovedView(
        removed=[one.removed for one in outcomes if one.removed is not None],
        freed=sum(one.freed_bytes for one in outcomes),
        kept=[why for one in outcomes for why in one.kept],
    )


def _models(tidying: _Tidying) -> Iterator[_Outcome]:
    left = [m for m in models_here(tidying.desk) if m.where == "huggingface"]
    for choose in (tidying.old, tidying.over):
        for model, why in choose(tuple(left)):
            outcome = _Outcome(kept=(why,)) if why else _take(tidying, model)
            if outcome.removed is not None:
                left.remove(model)
            yield outcome
    limit, rest = tidying.request.max_size, _together_bytes(left)
    if limit is not None and rest > limit:
        said = f"The models that are left take {size(rest)}, more than the {size(limit)} asked for."
        yield _Outcome(kept=(said,))


def _leftovers(tidying: _Tidying) -> Iterator[_Outcome]:
    cache = hub_cache(tidying.desk.environment)
    for leftover in read_leftovers(cache, tidying.now):
        why = tidying.why_left(leftover)
        yield _Outcome(kept=(why,)) if why else _drop(tidying, leftover, cache)


def _take(tidying: _Tidying, model: OnDisk) -> _Outcome:
    dry_run = tidying.request.dry_run
    try:
        freed, kept = take_away(tidying.desk, Meant(model), tidying.served, dry_run=dry_run)
    except LocalLLMError as error:
        return _Outcome(kept=(f"{model.name} stays: {error.why}.",))
    return _Outcome(model.name, freed, tuple(kept))


def _drop(tidying: _Tidying, leftover: Leftover, cache: Path) -> _Outcome:
    path = printable(str(leftover.path))
    if tidying.request.dry_run:
        return _Outcome(path, leftover.size_bytes)
    try:
        return _Outcome(path, discard(leftover, cache, sweep))
    except LocalLLMError as error:
        return _Outcome(kept=(f"{path} stays: {error.why}.",))


def _ids(model: OnDisk) -> set[str]:
    """What clients may send for it: by the catalog's name, and by its file's or repository's."""
    known = set() if model.profile is None else {model.profile}
    if model.format is Format.GGUF or model.repo is None:
        return known | {model_id(model.path)}
    return known | {model_id(Path(f"{model.repo.partition('/')[2]}.safetensors"))}


def _together_bytes(models: Sequence[OnDisk]) -> int:
    """What some models take, what they share counted once."""
    sizes: dict[str, int] = {}
    for model in models:
        for file in model.files:
            real = os.path.realpath(file)
            with suppress(OSError):
                sizes[real] = os.stat(real).st_size  # noqa: PTH116  # a path that may be anything
    return sum(sizes.values())
