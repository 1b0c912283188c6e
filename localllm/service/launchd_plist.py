"""The property list of the launchd agent, with the reason for each key. Pure.

Source: launchd.plist(5).
"""

from __future__ import annotations

import plistlib
from typing import Any
from xml.parsers.expat import ExpatError

import msgspec

from localllm.service.wanted import Wanted

LABEL = "localllm"
PLIST = f"{LABEL}.plist"
_MADE_OF = "LocalLLMMadeOf"
"""launchd leaves keys alone that it does not know."""

_STOP_S = 120
_FILES = 8192


def render_plist(wanted: Wanted) -> bytes:
    """Write the agent."""
    return plistlib.dumps(agent_of(wanted), sort_keys=False)


def agent_of(wanted: Wanted) -> dict[str, Any]:
    """Say what launchd is to know. launchd has no watchdog, and starts at the login."""
    return {
        "Label": LABEL,
        "ProgramArguments": [wanted.python, *wanted.arguments],
        "EnvironmentVariables": dict(wanted.environment),
        "WorkingDirectory": "/",
        "RunAtLoad": True,
        # an end with 0, as by `localllm down`, is meant; a crash is not
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "ExitTimeOut": _STOP_S,  # running requests are finished first
        # anything less is put on the slow cores and behind other programs' disk reads
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": _FILES, "Core": 0},
        # only what comes before the daemon opens its log, as a missing interpreter's message
        "StandardErrorPath": f"{wanted.log}.start",
        _MADE_OF: msgspec.json.encode(wanted).decode(),
    }


def parse_made_of(content: bytes) -> Wanted | None:
    """Read what an agent was made of; None if it is not ours, or of a version that is not known."""
    try:
        made_of = plistlib.loads(content).get(_MADE_OF, "")
        return msgspec.json.decode(made_of, type=Wanted)
    except (
        ExpatError,
        msgspec.DecodeError,
        ValueError,
        AttributeError,
    ):  # the first is no ValueError
        return None
