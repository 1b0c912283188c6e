"""Events as the control API sends them: server-sent, one JSON object each. Pure."""

from __future__ import annotations

import msgspec

from localllm.api.event_views import EventView
from localllm.events import Decided, Envelope, Missed, PullChanged, PullMoved, StateChanged


def render_event(envelope: Envelope) -> bytes:
    """Render one; its id is its number, so that a reader sees a gap."""
    return b"id: %d\ndata: %s\n\n" % (envelope.seq, msgspec.json.encode(view_of(envelope)))


def view_of(envelope: Envelope) -> EventView:
    """Show one event; what its kind does not have is null."""
    seq, at = envelope.seq, envelope.at
    match envelope.event:
        case StateChanged(instance, model, old, new, why):
            return EventView(
                seq=seq,
                at=at,
                topic="state",
                why=why,
                model=model,
                instance=instance,
                old=old.value,
                new=new.value,
            )
        case Decided(topic, why, model, instance):
            return EventView(
                seq=seq, at=at, topic=topic.value, why=why, model=model, instance=instance
            )
        case PullChanged(pull, model, before, after, why):
            return EventView(
                seq=seq, at=at, topic="pull", why=why, model=model, old=before, new=after, pull=pull
            )
        case PullMoved(pull, model, here, whole, speed, left):
            return EventView(
                seq=seq,
                at=at,
                topic="progress",
                why=f"{here} of {whole} bytes",
                model=model,
                pull=pull,
                here=here,
                size=whole,
                speed=speed,
                left=left,
            )
        case Missed(count):
            why = f"{count} events were dropped: this reader is too slow"
            return EventView(seq=seq, at=at, topic="missed", why=why)
