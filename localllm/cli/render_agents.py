"""Draw agents and their settings for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

from localllm.api.agent_views import (
    AgentView,
    CheckView,
    FoundAgentsView,
    FoundAgentView,
    UndoneView,
    WrittenView,
)
from localllm.cli.tables import table
from localllm.wording.exports import exports, settings_head


def render_found(view: FoundAgentsView) -> list[str]:
    """Draw one line an agent, those first that are here."""
    agents = sorted(view.agents, key=lambda agent: (not agent.installed, agent.id))
    rows = [["agent", "name", "installed", "connected to", "how"], *map(_row, agents)]
    return [
        *table(rows),
        "",
        "next: localllm connect AGENT shows the settings; --write puts them into its files, --undo",
        "takes them out, --check sends its first request; localllm launch AGENT writes nothing",
    ]


def _row(agent: FoundAgentView) -> list[str]:
    if agent.why_not is not None:
        how = "cannot be connected"
    else:
        ways = ["--write"] * agent.writes + ["launch"] * agent.launches
        how = ", ".join(ways) or "by hand"
    installed = "yes" if agent.program else "its folder" if agent.installed else "-"
    return [agent.id, agent.name, installed, agent.connected or "-", how]


def render_agent(view: AgentView) -> list[str]:
    """Draw the settings. All but the exports is comment, so that a shell can read the whole."""
    lines = [f"# {view.name}: {settings_head(view.model, view.endpoint, view.context)}"]
    for file in view.files:
        lines += ["#", f"# in {file.file}:"]
        lines += [f"#   {line}".rstrip() for line in file.content.rstrip("\n").split("\n")]
    if view.environment:
        lines += ["#", "# in the shell that starts it:"] if view.files else ["#"]
        lines += exports(view.environment)
    lines += [line for step in view.steps for line in ("#", f"# to do: {step}")]
    lines += [line for note in view.notes for line in ("#", f"# note: {note}")]
    return lines


def render_written(view: WrittenView) -> list[str]:
    """Draw what was written."""
    lines = []
    for file in view.files:
        if not file.changed:
            lines.append(f"{file.file} is up to date")
        elif file.backup is None:
            lines.append(f"{file.file} is written")
        else:
            lines.append(f"{file.file} is written; as it was before: {file.backup}")
    lines += [f"to do: {step}" for step in view.steps]
    return [*lines, f"next: localllm connect {view.agent} --check; --undo takes it back"]


def render_undone(view: UndoneView) -> list[str]:
    """Draw what was taken back."""
    if not view.files:
        return [f"nothing to undo: localllm has written nothing for {view.agent}"]
    lines = []
    for file in view.files:
        lines.append(f"{file.file}: {file.how}")
        lines += [f"  left as somebody has changed it since: {name}" for name in file.left]
    return lines


def render_check(view: CheckView) -> list[str]:
    """Draw how the first request went."""
    asked = f"{view.method} {view.path}, as {view.agent} sends it, to {view.model}"
    if not view.complete:
        status = "no answer" if view.status is None else f"status {view.status}"
        return [asked, f"failed: {status}, {view.events} events: {view.error}"]
    first = "-" if view.first_event is None else f"{view.first_event:.2f} s"
    events = f", {view.events} events, the last one {view.end}" if view.events else ""
    return [
        asked,
        f"complete: status {view.status}, first after {first}, all in {view.total:.2f} s{events}",
    ]
