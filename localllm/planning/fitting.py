"""Answers 'does it fit now' for each model on this disk, at a glance, with the desk's own planning."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from localllm.api.views import PlanRequest
from localllm.errors import LocalLLMError
from localllm.events import DeviceId
from localllm.fit.plan import Verdict
from localllm.formats.header import Header
from localllm.planning.considering import Judge
from localllm.planning.desk import LOCAL_FORMATS, Desk
from localllm.planning.engine_desk import Choices
from localllm.planning.offers import Offer, Told
from localllm.planning.survey import Survey
from localllm.planning.wishes import wish_of
from localllm.store.header_cache import HeaderCache
from localllm.store.headers import read_header
from localllm.store.inventory import OnDisk


@dataclass(frozen=True, slots=True)
class Fitting:
    verdict: Verdict | None = None
    """None: nobody can tell, or nobody asked."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Bench:
    """What each model is held against."""

    desk: Desk
    seen: Survey
    choices: Choices
    judge: Judge
    headers: HeaderCache

    def fitting(self, model: OnDisk) -> Fitting:
        if model.missing:
            return Fitting(reason=f"{len(model.missing)} of its files are missing.")
        choice = self.choices.of.get(model.format)
        if choice is None:
            return Fitting(reason=f"No engine that is here can serve {model.format.value}.")
        try:
            offer = _offer(model, self._header(model))
        except LocalLLMError as error:
            return Fitting(reason=f"{error.what} {error.why}.")
        except OSError as error:
            return Fitting(reason=f"It cannot be read: {error.strerror}.")
        budgets = self.desk.budgets(choice, self.seen.machine)
        wish = replace(wish_of(PlanRequest()), exact=False)
        considered = self.judge.consider(offer, budgets, wish)
        if considered.plan is None:
            return Fitting(reason=considered.why_not)
        return Fitting(considered.plan.verdict, considered.plan.reason)

    def _header(self, model: OnDisk) -> Header:
        """Read it once, as long as the file stays the same: a vocabulary takes a fifth of a second."""
        key = _key(model)
        known = self.headers.read_parsed(key, Header)
        if known is not None:
            return known
        found = read_header(model.path)
        self.headers.write_parsed(key, found)
        return found


def fittings(
    desk: Desk, models: Sequence[OnDisk], reclaimable: Mapping[DeviceId, int] | None = None
) -> Mapping[str, Fitting]:
    """Plan each model for this machine as it is now; by name. None of them spoils the others.

    Args:
        reclaimable: Bytes of each device that instances of ours hold and would give back.
    """
    if not models:
        return {}
    request = PlanRequest()
    formats = dict.fromkeys((*LOCAL_FORMATS, *(model.format for model in models)))
    try:
        seen = desk.survey(reclaimable, formats)
        choices = desk.engine_desk.choices_or_say(seen, request)
        judge = desk.judge(request, choices)
    except LocalLLMError as error:
        return dict.fromkeys((m.name for m in models), Fitting(reason=f"{error.what} {error.why}."))
    headers = HeaderCache(desk.paths.headers)
    bench = _Bench(desk, seen, choices, judge, headers)
    return {model.name: bench.fitting(model) for model in models}


def _offer(model: OnDisk, header: Header) -> Offer:
    return Offer(
        model=model.name,
        quant=model.quant or header.quantization,
        format=header.format,
        told=Told.FILE,
        header=header,
        size_bytes=model.size_bytes,
        repo=model.repo,
        files=tuple(str(file) for file in model.files),
    )


def _key(model: OnDisk) -> str:
    """Name a model by where its files really are, how long they are, and when they were written."""
    said = []
    for file in model.files:
        real = os.path.realpath(file)
        found = os.stat(real)  # noqa: PTH116  # a path that may be anything
        said.append(f"{real} {found.st_size} {found.st_mtime_ns}")
    return "disk " + " ".join(said)
