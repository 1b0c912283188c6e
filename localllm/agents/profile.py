"""Reads profiles/agents: where each agent keeps its settings, and what they have to say."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from localllm.agents.errors import NoSuchAgent
from localllm.agents.languages import Language
from localllm.errors import ConfigError

FORMAT = 1

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*\Z")]
Variable = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]*\Z")]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a profile. A field that this version does not know is an error."""


class TemplateEdit(Part, frozen=True):
    """One value and where it goes; `{model}` and the like stand for what is served."""

    path: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Keys, and `[name=localllm]` for the element of a list."""

    value: Any
    """As TOML has it; what becomes null is left out."""

    default: bool = False
    """Only where nothing is there: what a new file needs."""


class SettingsFile(Part, frozen=True):
    """One file of the user's that the agent reads."""

    language: Language
    roots: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Its folder: the first whose variables are all set."""

    names: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """In that folder: the first that is there, else the first."""

    edits: Annotated[tuple[TemplateEdit, ...], msgspec.Meta(min_length=1)]
    roots_macos: tuple[str, ...] = ()
    variable: Variable | None = None
    """Names the file itself, before any folder."""


class Launch(Part, frozen=True):
    """How the agent is started with our settings and none of its files changed.

    `{folder}` is a folder of this one launch. `{fresh}` is the first file's content on one line.
    """

    arguments: tuple[str, ...] = ()
    default_arguments: tuple[str, ...] = ()
    """Where the user gives none."""

    environment: dict[Variable, str] = {}
    files: Literal["none", "fresh", "overlay"] = "none"
    """fresh: the folder holds the files with nothing but our settings in them. overlay: the
    user's files with our settings, and links to all that stands beside them."""

    flag: str | None = None
    """Gives the program one setting of the first file, as in `-c key=value`."""

    any_program: bool = False
    """The user says which program: the first argument."""

    why_not: str | None = None
    """Why it cannot be started so; null where it can."""


class AgentProfile(Part, frozen=True):
    """One agent."""

    format: int
    id: Name
    name: str
    api: Literal["messages", "responses", "chat"]
    """Which of our APIs it talks to."""

    checked: str
    """Which version was seen to take these settings, or `read` where only its source or manual was."""

    sources: tuple[str, ...] = ()
    aliases: tuple[Name, ...] = ()
    programs: tuple[str, ...] = ()
    """Names on PATH, the first that is there."""

    install: str | None = None
    """How one gets it."""

    environment: dict[Variable, str] = {}
    """That points it here, by itself or beside the files."""

    files: tuple[SettingsFile, ...] = ()
    key_reference: str | None = None
    """How its files name the variable that holds the key; null where a key stands there itself."""

    launch: Launch = Launch(why_not="it has no program of its own that could be started")
    request: str | None = None
    """Which of the recorded requests it sends first; null: that of its API."""

    steps: tuple[str, ...] = ()
    """What a person has to do by hand."""

    notes: tuple[str, ...] = ()
    why_not: str | None = None
    """Why it cannot be pointed here at all."""

    def answers_to(self, name: str) -> bool:
        return name in {self.id, *self.aliases}


def read_agents(folder: Path) -> Sequence[AgentProfile]:
    """Read all profiles in `folder`'s `agents`, sorted by id.

    Raises:
        ConfigError: One of them is not what this version reads.
    """
    read = [_read(file) for file in sorted((folder / "agents").glob("*.toml"))]
    return tuple(sorted(read, key=lambda agent: agent.id))


def _read(file: Path) -> AgentProfile:
    try:
        agent = msgspec.toml.decode(file.read_bytes(), type=AgentProfile)
    except (msgspec.DecodeError, ValueError, OSError) as error:
        raise _broken(file, str(error)) from error
    if agent.format != FORMAT:
        raise _broken(file, f"it has format {agent.format}, this version reads {FORMAT}")
    return agent


def _broken(file: Path, why: str) -> ConfigError:
    fix = "reinstall localllm, or correct the file if you have changed it"
    return ConfigError(f"The profile {file} is broken.", why=why, fix=fix)


def find_agent(agents: Sequence[AgentProfile], name: str) -> AgentProfile:
    """Find an agent by its id or an alias.

    Raises:
        NoSuchAgent: None is called so; it names the nearest.
    """
    wanted = name.lower().replace("_", "-").replace(" ", "-")
    for agent in agents:
        if agent.answers_to(wanted):
            return agent
    known = {each: agent.id for agent in agents for each in (agent.id, *agent.aliases)}
    near = get_close_matches(wanted, known, n=1)
    raise NoSuchAgent(
        f"No agent is called {name!r}" + (f": did you mean {known[near[0]]}?" if near else "."),
        why=f"known are {', '.join(agent.id for agent in agents)}",
        fix="localllm connect lists them; for any other, localllm connect env",
    )
