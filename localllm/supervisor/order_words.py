"""Orders in words: what is asked for over what was, what is given up, what came of it. Pure."""

from __future__ import annotations

import msgspec

from localllm.api.views import ServeReply, ServeRequest
from localllm.planning.planner import Planned
from localllm.supervisor.hosted import Hosted


def why_less(less: ServeRequest, planned: Planned) -> str:
    """Say what is given up where memory ran out."""
    given_up = (
        f"quantization {less.quant}"
        if less.context is None or less.context >= planned.plan.context
        else f"{less.context} tokens in place of {planned.plan.context}"
    )
    return f"memory ran out: it is started again with {given_up}"


def with_changes(asked: ServeRequest, changes: ServeRequest) -> ServeRequest:
    """Put what `changes` says over what was asked for; what it leaves open stays."""
    said = {
        name: value
        for name in changes.__struct_fields__
        if (value := getattr(changes, name)) is not None and value is not False
    }
    return msgspec.structs.replace(asked, **said)


def reply_of(hosted: Hosted, *, already: bool) -> ServeReply:
    """Say what an order has come to."""
    planned = hosted.planned
    return ServeReply(
        id=planned.stored.id,
        instance=hosted.id,
        already=already,
        stand_in=planned.stored.stand_in,
        reason=planned.plan.reason,
    )
