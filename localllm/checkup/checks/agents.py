"""Agents: those that were pointed here and now ask elsewhere, and variables that lead them away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from localllm.agents.finding import FoundAgent, find_agents
from localllm.agents.places import Whereabouts
from localllm.agents.profile import read_agents
from localllm.agents.record import read_record
from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.place import read_text

_A = Area.AGENTS
_LED_BY = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL")
_LOCAL = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})")


def check_agents(known: Known) -> Iterator[Finding]:
    """Whether agents that were connected still ask here."""
    place = known.place
    where = Whereabouts(place.home, place.environment, macos=place.system == "darwin")
    agents = find_agents(read_agents(place.profiles), where, place.paths.agents)
    found = [finding for agent in agents for finding in _of_agent(known, agent)]
    found += _of_environment(known)
    yield from found
    if not found:
        connected = ", ".join(one.agent.id for one in agents if one.model) or "none"
        yield ok("agents.here", _A, f"Agents that were connected still ask here: {connected}.")


def _of_agent(known: Known, found: FoundAgent) -> Iterator[Finding]:
    name, record = found.agent.id, read_record(known.place.paths.agents, found.agent.id)
    if record is None or not record.files:
        return
    again = f"localllm connect {name} --write"
    if found.model is None:
        yield Finding(
            "agents.led-away",
            _A,
            Severity.WARNING,
            f"{found.agent.name} was connected, and its settings name this endpoint no more.",
            "somebody has changed its files since; it asks elsewhere, perhaps for money",
            again,
        )
        return
    ports = {int(port) for file in record.files for port in _ports_in(Path(file.file))}
    if ports and known.port not in ports:
        yield Finding(
            "agents.other-port",
            _A,
            Severity.WARNING,
            f"{found.agent.name} asks port {min(ports)}, and the daemon's is {known.port}.",
            "its requests find nobody, or another program",
            again,
        )
    yield from _of_model(known, found, again)


def _of_model(known: Known, found: FoundAgent, again: str) -> Iterator[Finding]:
    status = known.status
    served = [] if status is None else [model.id for model in status.models]
    if served and found.model not in {*served, "localllm"}:
        yield Finding(
            "agents.other-model",
            _A,
            Severity.NOTE,
            f"{found.agent.name} asks for {found.model}, which is not served now.",
            "it is loaded on request if it is here; else the agent gets 404",
            again,
        )


def _ports_in(file: Path) -> list[str]:
    return _LOCAL.findall(read_text(file))


def _of_environment(known: Known) -> Iterator[Finding]:
    """A variable in the shell goes over what an agent's files say."""
    for name in _LED_BY:
        value = known.place.environment.get(name)
        if not value:
            continue
        parts = urlsplit(value)
        host, port = parts.hostname or "", _port(value)
        is_here = host in {"127.0.0.1", "localhost", "::1"}
        if is_here and port == known.port:
            continue
        yield Finding(
            "agents.variable",
            _A,
            Severity.WARNING if is_here else Severity.NOTE,
            f"{name} leads agents to {host or 'somewhere'}{'' if port is None else f':{port}'}, not here.",
            "what is set in the shell goes over what is in their files",
            f"unset {name}",
        )


def _port(value: str) -> int | None:
    try:
        return urlsplit(value).port
    except ValueError:
        return None
