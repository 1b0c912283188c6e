"""The switch that is under way, whoever has begun it, as the daemon shows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.api.now_views import NowView
from localllm.api.pull_views import PullView
from localllm.api.status_views import InstanceView
from localllm.tui.switching import OfInstance, OfPull
from localllm.wording.plain import plain

_COMING = ("queued", "fetching", "done")
_STARTING = ("starting", "warming")
_LEAVING = ("draining", "stopping")


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A switch, and how to go on looking at it."""

    name: str
    order: OfPull | OfInstance

    @property
    def is_here(self) -> bool:
        """Nothing has to be fetched for it."""
        return isinstance(self.order, OfInstance)


def switch_under_way(now: NowView | None) -> UnderWay | None:
    """Find the newest: what is fetched to be served, else what starts or takes over.

    A switch takes the place of older ones that are still being fetched, so the one that is left is
    the last that was asked for.
    """
    if now is None:
        return None
    coming = [pull for pull in now.pulls if _is_coming(pull)]
    if coming:
        pull = max(coming, key=lambda one: (_is_switch(one), len(one.id), one.id))
        return UnderWay(_name(pull.model, pull.quant), OfPull(pull))
    views = [model.view for model in now.models]
    found = next((one for one in views if _starts(one)), None) or _taking_over(views)
    if found is None:
        return None
    return UnderWay(_name(found.id, found.quant), OfInstance(found.id, found.instance))


def _is_coming(pull: PullView) -> bool:
    """One that is paused, or has failed, waits for somebody: no switch is under way."""
    then = pull.then
    return pull.state in _COMING and then is not None and then.reply is None and then.error is None


def _is_switch(pull: PullView) -> bool:
    return pull.then is not None and pull.then.how == "switch"


def _starts(one: InstanceView) -> bool:
    return one.wanted and one.state in _STARTING


def _taking_over(views: list[InstanceView]) -> InstanceView | None:
    if not any(one.state in _LEAVING for one in views):
        return None
    ready = (one for one in views if one.state == "ready" and one.current)
    return next((one for one in ready if one.gap is not None), None)


def _name(model: str, quant: str | None) -> str:
    if quant is None or model.casefold().endswith(f":{quant}".casefold()):
        return plain(model)
    return plain(f"{model} {quant}")
