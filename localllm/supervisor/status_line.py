"""One line of how all is, for those who watch the daemon from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from localllm.events import ModelState, StateChanged
from localllm.supervisor.bus import EventBus

_MOST_NAMES = 5


async def tell_states(
    bus: EventBus,
    states: Callable[[], Iterable[tuple[str, ModelState]]],
    tell: Callable[[str], None],
) -> None:
    """Tell the line at every change of a state, until cancelled.

    Args:
        states: Names of models, and how they are.
    """
    with bus.subscribe() as events:
        tell(render_states(states()))
        async for envelope in events:
            if isinstance(envelope.event, StateChanged):
                tell(render_states(states()))


def render_states(states: Iterable[tuple[str, ModelState]]) -> str:
    """Say which models are ready, and how many are on their way or have failed."""
    told = list(states)
    ready = [name for name, state in told if state is ModelState.READY]
    failed = sum(state is ModelState.FAILED for _, state in told)
    idle = {ModelState.READY, ModelState.FAILED, ModelState.STOPPED}
    moving = sum(state not in idle for _, state in told)
    parts = [f"ready: {_names(ready)}"] if ready else ["no model is loaded"] if not moving else []
    parts += [f"{moving} starting or stopping"] if moving else []
    parts += [f"{failed} failed"] if failed else []
    return "; ".join(parts)


def _names(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
