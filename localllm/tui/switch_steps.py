"""The steps of a switch, and which of them a download or an instance is at. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from localllm.api.engine_views import BuildView
from localllm.api.pull_views import PullView
from localllm.api.status_views import InstanceView
from localllm.errors import LocalLLMError
from localllm.wording.figures import counted, left, part_of, rate, share_of

PLANNED = "is being planned"
_LEAVING = ("draining", "stopping")


class Step(IntEnum):
    """In their order."""

    ENGINE = 0
    DOWNLOAD = 1
    LOAD = 2
    WARM_UP = 3
    SHIFT = 4
    READY = 5


STEPS = {
    Step.ENGINE: "engine",
    Step.DOWNLOAD: "download",
    Step.LOAD: "load",
    Step.WARM_UP: "warm-up",
    Step.SHIFT: "shift",
    Step.READY: "ready",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    at: Step
    note: str = ""
    """What there is to say of this step."""

    share: float | None = None
    """Of what is being fetched."""

    failed: LocalLLMError | None = None
    offer: BuildView | None = None
    """An engine that could be fetched, and would cure that."""

    served: InstanceView | None = None


def of_pull(pull: PullView) -> Progress:
    """Say how far a download is, and that it is planned once it is here."""
    if pull.then is not None and pull.then.engine is not None:
        engine = pull.then.engine
        note = f"{part_of(engine.here, engine.size, '/')}  {engine.file}"
        return Progress(Step.ENGINE, note, share_of(engine.here, engine.size))
    if pull.state == "done":
        return Progress(Step.LOAD, PLANNED)
    parts = [part_of(pull.here, pull.size, "/")]
    if pull.state != "fetching":
        parts.append(pull.state)
    elif pull.speed:
        parts.append(rate(pull.speed))
        parts.append(f"{left(pull.left)} left")
    if pull.note is not None:
        parts.append(pull.note)
    return Progress(Step.DOWNLOAD, "  ".join(parts), share_of(pull.here, pull.size))


def of_instance(found: InstanceView, models: Sequence[InstanceView]) -> Progress:
    """Say how far a start is; it has taken over once nobody is left that makes room for it."""
    leaving = [one for one in models if one.instance != found.instance and one.state in _LEAVING]
    if found.state == "ready":
        if leaving:
            return Progress(Step.SHIFT, _leaves(leaving[0]), served=found)
        return Progress(Step.READY, served=found)
    if found.state == "warming":
        return Progress(Step.WARM_UP, found.why, served=found)
    if found.state == "downloading":
        return Progress(Step.DOWNLOAD, found.why, served=found)
    note = found.why if not leaving else f"{_leaves(leaving[0])} first"
    if found.state == "backoff" and found.error is not None:
        note = f"is tried again: {found.error.reason}"
    return Progress(Step.LOAD, note, served=found)


def _leaves(one: InstanceView) -> str:
    active = one.requests.active
    if one.state == "draining" and active:
        return f"{one.id} finishes {counted(active, 'request')}"
    return f"{one.id} is {one.state}"
