"""Why something is served, and how long it stays for that. Pure."""

from __future__ import annotations

from enum import Enum, auto

from localllm.api.views import ServeRequest
from localllm.supervisor.hosted import Terms
from localllm.supervisor.routing import Lane
from localllm.units import parse_duration


class How(Enum):
    """Why something is served."""

    BESIDE = auto()
    """A person wants it, and nothing less for it."""

    INSTEAD = auto()
    """A person wants it in the place of what is served now."""

    FOR_A_REQUEST = auto()
    AGAIN = auto()
    """An earlier daemon served it."""


def terms_of(
    resolved: ServeRequest, how: How, lane: Lane, keep_alive: str, check: str = "off"
) -> Terms:
    """Say how long it stays, and in whose place it comes.

    Args:
        resolved: What is asked for, with the profile that it names.
        check: How it is examined before it takes over, as its profile says.
        keep_alive: Of what requests have loaded, where nobody has said more.
    """
    for_a_request = how is How.FOR_A_REQUEST
    return Terms(
        keep_s=parse_duration(resolved.keep_alive or (keep_alive if for_a_request else "forever")),
        lane=lane,
        replaces_current=how is How.INSTEAD,
        check=check,
        is_asked_for=not for_a_request,
    )
