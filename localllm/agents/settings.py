"""What one agent has to be told of what is served. Pure: profile and connection in, settings out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localllm.agents.connection import KEY_VARIABLE, Connection, warnings_of
from localllm.agents.edits import Edit, Element, Step, Value, parse_step
from localllm.agents.errors import NotConnectable
from localllm.agents.languages import Language, editor_for
from localllm.agents.merging import merge
from localllm.agents.places import Place, Whereabouts, place_of
from localllm.agents.profile import AgentProfile, SettingsFile
from localllm.agents.proxies import proxy_warning, without_proxy
from localllm.errors import ConfigError

_WORD = re.compile(r"\{([a-z_0-9]+)\}")
KEY_IN_SHELL = f"${KEY_VARIABLE}"
"""Stands in environments for the key, which we do not know: only its hash is stored."""

_KEY_BY_HAND = "put-your-localllm-key-here"


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What goes into one file."""

    place: Place
    language: Language
    edits: tuple[Edit, ...]

    def fragment(self) -> str:
        """The file as it would be if nothing else were in it."""
        return merge(editor_for(self.language), "", self.edits).text


@dataclass(frozen=True, slots=True)
class Settings:
    """All that an agent has to be told."""

    agent: AgentProfile
    connection: Connection
    environment: Mapping[str, str]
    files: tuple[FileSettings, ...]
    warnings: tuple[str, ...]
    steps: tuple[str, ...]
    """What is left to do by hand."""


def render_settings(agent: AgentProfile, connection: Connection, where: Whereabouts) -> Settings:
    """Fill an agent's profile in with what is served.

    Raises:
        NotConnectable: The agent cannot be pointed at a local endpoint.
    """
    if agent.why_not is not None:
        raise NotConnectable(
            f"{agent.name} cannot be connected.",
            why=agent.why_not,
            fix="take another agent: localllm connect lists them",
        )
    shell = connection.words(KEY_IN_SHELL)
    words = connection.words(agent.key_reference or _KEY_BY_HAND)
    proxy = without_proxy(where.environment, connection.base)
    files = tuple(_file_settings(file, words, where) for file in agent.files)
    return Settings(
        agent,
        connection,
        {**{k: fill_text(v, shell) for k, v in agent.environment.items()}, **proxy},
        files,
        (*_warnings(connection, where), *_by_hand(files)),
        tuple(fill_text(step, shell) for step in agent.steps),
    )


def _warnings(connection: Connection, where: Whereabouts) -> list[str]:
    said = [*warnings_of(connection), *proxy_warning(where.environment, connection.base)]
    if connection.needs_key and KEY_VARIABLE not in where.environment:
        said.append(
            f"the endpoint asks for a key, which is not known here: localllm key create NAME, "
            f"then export {KEY_VARIABLE}=…"
        )
    return said


def _by_hand(files: Sequence[FileSettings]) -> list[str]:
    """Say where a key has to be put that the file can name no variable for."""
    texts = (json.dumps(edit.value, default=str) for file in files for edit in file.edits)
    if not any(_KEY_BY_HAND in text for text in texts):
        return []
    return [f"where {_KEY_BY_HAND} stands, put the key; localllm knows only its hash"]


def _file_settings(
    file: SettingsFile, words: Mapping[str, Value], where: Whereabouts
) -> FileSettings:
    edits = [
        Edit(
            tuple(_filled_step(parse_step(step), words) for step in edit.path),
            fill(edit.value, words),
            edit.default,
        )
        for edit in file.edits
    ]
    said = tuple(edit for edit in edits if edit.value is not None)
    return FileSettings(place_of(file, where), file.language, said)


def _filled_step(step: Step, words: Mapping[str, Value]) -> Step:
    """After it was parsed: a model's name may have brackets."""
    if isinstance(step, str):
        return fill_text(step, words)
    return Element(step.key, fill_text(step.value, words))


def fill(value: Value, words: Mapping[str, Value]) -> Value:
    """Put what is served in the place of the words that stand for it.

    A text that is one word takes the word's type. What becomes null is left out of its table.
    """
    if isinstance(value, dict):
        filled = {fill_text(key, words): fill(inner, words) for key, inner in value.items()}
        return {key: inner for key, inner in filled.items() if inner is not None}
    if isinstance(value, list):
        return [fill(inner, words) for inner in value]
    if not isinstance(value, str):
        return value
    alone = _WORD.fullmatch(value)
    return fill_text(value, words) if alone is None else _meaning(alone[1], words)


def fill_text(text: str, words: Mapping[str, Value]) -> str:
    """Do the same within a text.

    Raises:
        ConfigError: A word stands for nothing.
    """
    return _WORD.sub(lambda word: str(_meaning(word[1], words)), text)


def _meaning(word: str, words: Mapping[str, Value]) -> Value:
    if word in words:
        return words[word]
    raise ConfigError(
        f"A profile of an agent names {{{word}}}.",
        why=f"known are {', '.join(words)}",
        fix="reinstall localllm, or correct the file if you have changed it",
    )
