"""What is said of agents: which there are, and the settings that point one here."""

from __future__ import annotations

import msgspec

from localllm.agents.asking import Outcome
from localllm.agents.finding import FoundAgent
from localllm.agents.first_request import FirstRequest
from localllm.agents.settings import FileSettings, Settings
from localllm.agents.undoing import Undone
from localllm.agents.writing import Written, present


class FoundAgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `localllm connect`."""

    id: str
    name: str
    installed: bool
    program: str | None
    connected: str | None
    """The model that its files name since localllm wrote them; null if they do not."""

    writes: bool
    """Whether `--write` has a file to write to."""

    launches: bool
    checked: str
    """Which version was seen to take these settings, or `read`."""

    why_not: str | None


class FoundAgentsView(msgspec.Struct, frozen=True, kw_only=True):
    agents: list[FoundAgentView]


class SettingsFileView(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    language: str
    content: str
    """The settings, as the file would hold them if nothing else were in it."""


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/v1/agents/{agent}`: how an agent is pointed at what is served."""

    agent: str
    name: str
    model: str
    endpoint: str
    context: int
    """Tokens."""

    output: int
    """Tokens of it that are set aside for one answer."""

    needs_key: bool
    environment: dict[str, str]
    """`$LOCALLLM_API_KEY` stands for a key that only its owner knows."""

    files: list[SettingsFileView]
    steps: list[str]
    notes: list[str]
    warnings: list[str]


class WrittenFileView(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    changed: bool
    backup: str | None


class WrittenView(msgspec.Struct, frozen=True, kw_only=True):
    """`connect AGENT --write`."""

    agent: str
    model: str
    files: list[WrittenFileView]
    steps: list[str]
    warnings: list[str]


class UndoneFileView(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    how: str
    left: list[str]
    """Settings that somebody has changed since, and that stay."""


class UndoneView(msgspec.Struct, frozen=True, kw_only=True):
    """`connect AGENT --undo`."""

    agent: str
    files: list[UndoneFileView]


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """`connect AGENT --check`: how the first request went that the agent sends; seconds."""

    agent: str
    model: str
    method: str
    path: str
    status: int | None
    first_event: float | None
    total: float
    events: int
    end: str | None
    complete: bool
    error: str | None
    warnings: list[str]


class LaunchView(msgspec.Struct, frozen=True, kw_only=True):
    """`launch AGENT --json`: what would be started."""

    agent: str
    model: str
    command: list[str]
    environment: dict[str, str]
    warnings: list[str]


def show_found(found: list[FoundAgent]) -> FoundAgentsView:
    """Say which agents there are."""
    return FoundAgentsView(agents=[_found(each) for each in found])


def _found(found: FoundAgent) -> FoundAgentView:
    agent = found.agent
    connectable = agent.why_not is None
    return FoundAgentView(
        id=agent.id,
        name=agent.name,
        installed=found.installed,
        program=found.program,
        connected=found.model,
        writes=connectable and bool(agent.files),
        launches=connectable and agent.launch.why_not is None,
        checked=agent.checked,
        why_not=agent.why_not,
    )


def show_settings(settings: Settings) -> AgentView:
    """Say how an agent is pointed here. Looks which files there are, and may load a library."""
    connection = settings.connection
    return AgentView(
        agent=settings.agent.id,
        name=settings.agent.name,
        model=connection.model,
        endpoint=connection.base,
        context=connection.context,
        output=connection.output,
        needs_key=connection.needs_key,
        environment=dict(settings.environment),
        files=[_file(file) for file in settings.files],
        steps=list(settings.steps),
        notes=list(settings.agent.notes),
        warnings=list(settings.warnings),
    )


def _file(file: FileSettings) -> SettingsFileView:
    return SettingsFileView(
        file=str(present(file)), language=file.language.value, content=file.fragment()
    )


def show_written(settings: Settings, written: list[Written], more: list[str]) -> WrittenView:
    """Say what was written; `more` are warnings that show only then."""
    return WrittenView(
        agent=settings.agent.id,
        model=settings.connection.model,
        files=[
            WrittenFileView(
                file=str(each.file),
                changed=each.changed,
                backup=None if each.backup is None else str(each.backup),
            )
            for each in written
        ],
        steps=list(settings.steps),
        warnings=[*settings.warnings, *more],
    )


def show_undone(agent: str, undone: list[Undone]) -> UndoneView:
    """Say what was taken back."""
    files = [
        UndoneFileView(file=str(each.file), how=each.how, left=list(each.left)) for each in undone
    ]
    return UndoneView(agent=agent, files=files)


def show_check(settings: Settings, request: FirstRequest, outcome: Outcome) -> CheckView:
    """Say how a first request went."""
    return CheckView(
        agent=settings.agent.id,
        model=settings.connection.model,
        method=request.method,
        path=request.path,
        status=outcome.status,
        first_event=outcome.first_event_s,
        total=outcome.total_s,
        events=outcome.events,
        end=outcome.end,
        complete=outcome.complete,
        error=outcome.error,
        warnings=list(settings.warnings),
    )
