"""What is said of agents and of the settings that point one here. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from textual.content import Content

from localllm.wording.exports import exports, settings_head
from localllm.wording.figures import DASH
from localllm.wording.plain import plain, plain_lines

if TYPE_CHECKING:  # heavy
    from localllm.api.agent_views import AgentView, FoundAgentView


def row_of(agent: FoundAgentView) -> dict[str, Content]:
    """Say it in cells, by the names of the columns."""
    here = "yes" if agent.program else "folder" if agent.installed else DASH
    connected = Content(plain(agent.connected)) if agent.connected else Content(DASH)
    if agent.why_not is not None:
        connected = Content.styled("cannot be", "$foreground-muted")
    return {
        "agent": Content.styled(plain(agent.name), "" if agent.installed else "$foreground-muted"),
        "here": Content(here),
        "connected": connected,
    }


def write_command(agent: FoundAgentView) -> str:
    """What writes its settings: the daemon writes into nobody's files."""
    return f"localllm connect {shlex.quote(agent.id)} --write"


def settings_of(view: AgentView) -> Content:
    """Show them: each file, the environment, and what is left to do by hand."""
    about = settings_head(view.model, view.endpoint, view.context)
    blocks = [[Content.styled(plain(view.name), "bold"), *_lines(about, "$foreground-muted")]]
    blocks += [_lines(f"! {text}", "$warning") for text in view.warnings]
    for file in view.files:
        head = Content.styled(f"in {plain(file.file)}", "bold $secondary")
        blocks.append([head, *_lines(file.content.rstrip("\n"), "")])
    if view.environment:
        head = Content.styled("in the shell that starts it", "bold $secondary")
        blocks.append([head, *(Content(line) for line in exports(view.environment))])
    blocks += [_lines(f"to do: {step}", "bold") for step in view.steps]
    blocks += [_lines(f"note: {note}", "$foreground-muted") for note in view.notes]
    return Content("\n\n").join(Content("\n").join(block) for block in blocks)


def copied(view: AgentView) -> str:
    """What goes to the clipboard: the settings alone, each file's name before it if there is more than one thing."""
    parts = ["\n".join(plain_lines(file.content)) for file in view.files]
    if len(view.files) + bool(view.environment) > 1:
        parts = [
            f"# in {plain(f.file)}:\n{part}" for f, part in zip(view.files, parts, strict=True)
        ]
    if view.environment:
        parts.append("\n".join(exports(view.environment)))
    return "\n\n".join(parts) + "\n"


def _lines(text: str, style: str) -> list[Content]:
    return [Content.styled(line, style) for line in plain_lines(text)]
