"""Writes every event into the daemon's log: one line, a fixed word and its fields."""

from __future__ import annotations

import logging

from localllm.events import Decided, Missed, PullChanged, PullMoved, StateChanged
from localllm.supervisor.bus import EventBus

_log = logging.getLogger("localllm.events")


async def log_events(bus: EventBus) -> None:
    """Run until cancelled."""
    with bus.subscribe() as events:
        async for envelope in events:
            match envelope.event:
                case StateChanged(instance, _, old, new, why):
                    _log.info("state: instance=%s %s -> %s why=%s", instance, old, new, why)
                case Decided(topic, why, _, instance):
                    _log.info("%s: instance=%s why=%s", topic, instance, why)
                case PullChanged(pull, model, before, after, why):
                    _log.info(
                        "pull: id=%s model=%s %s -> %s why=%s", pull, model, before, after, why
                    )
                case PullMoved():
                    continue
                case Missed(count):
                    _log.info("missed: %d events", count)
