"""Starts an agent with settings for this one run, and changes none of its user's files.

What an agent can only read from a file it reads from a folder of ours: with nothing but our
settings in it, or with copies of the user's files that have them, and links to all the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.agents.connection import DUMMY_KEY, KEY_VARIABLE
from localllm.agents.edits import Path as EditPath
from localllm.agents.edits import Value, render_step
from localllm.agents.errors import Malformed, NotConnectable
from localllm.agents.files import read_if_there, replace_file
from localllm.agents.languages import editor_for
from localllm.agents.merging import merge
from localllm.agents.record import decoded
from localllm.agents.settings import KEY_IN_SHELL, FileSettings, Settings, fill_text
from localllm.agents.writing import present

_PRIVATE = 0o600


@dataclass(frozen=True, slots=True)
class Launched:
    """What to start."""

    program: str | None
    """Its name; None where the first argument is the program."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    """Beside what is set already."""


def plan_launch(settings: Settings, given: Sequence[str], folder: Path) -> Launched:
    """Put a command line and an environment together. Pure.

    Args:
        given: Arguments of the user's.
        folder: Where `lay_out` puts files.

    Raises:
        NotConnectable: The agent cannot be started so.
    """
    agent, launch = settings.agent, settings.agent.launch
    if launch.why_not is not None:
        raise NotConnectable(
            f"{agent.name} cannot be launched with settings of its own.",
            why=launch.why_not,
            fix=f"localllm connect {agent.id}",
        )
    words: dict[str, Value] = {
        **settings.connection.words(KEY_IN_SHELL),
        "folder": str(folder),
        "fresh": _on_one_line(settings),
    }
    flags = _flags(settings.files[0], launch.flag) if launch.flag is not None else []
    own = [fill_text(argument, words) for argument in launch.arguments]
    extra = {k: fill_text(v, words) for k, v in launch.environment.items()}
    arguments = (*own, *flags, *(given or launch.default_arguments))
    program = None if launch.any_program else agent.programs[0]
    return Launched(program, arguments, {**settings.environment, **extra})


def with_key(launched: Launched, environment: Mapping[str, str]) -> Launched:
    """Put the user's key where it is asked for; the dummy, where the user has set none."""
    key = environment.get(KEY_VARIABLE, DUMMY_KEY)
    known = {k: key if v == KEY_IN_SHELL else v for k, v in launched.environment.items()}
    return replace(launched, environment=known)


def _on_one_line(settings: Settings) -> str:
    if not settings.files:
        return ""
    editor = editor_for(settings.files[0].language)
    return json.dumps(editor.parse(settings.files[0].fragment()))


def _flags(file: FileSettings, flag: str) -> list[str]:
    """One flag a setting: `-c model_providers.localllm.name="localllm"`."""
    said = [pair for edit in file.edits for pair in _leaves(edit.path, edit.value)]
    return [word for path, value in said for word in (flag, f"{_dotted(path)}={json.dumps(value)}")]


def _leaves(path: EditPath, value: Value) -> list[tuple[EditPath, Value]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [pair for key, inner in value.items() for pair in _leaves((*path, key), inner)]


def _dotted(path: EditPath) -> str:
    return ".".join(map(render_step, path))


def lay_out(settings: Settings, folder: Path) -> None:
    """Make the folder that the agent reads.

    Raises:
        Unreadable: A file of the user's is not of its format.
    """
    kind = settings.agent.launch.files
    if kind == "none":
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in settings.files:
        original = present(file)
        text = _text(file, original) if kind == "overlay" else file.fragment()
        copy = folder / original.name
        if copy.is_symlink():
            copy.unlink()
        replace_file(copy, text.encode(), mode=_PRIVATE)
    if kind == "overlay":
        _link_the_rest(settings, folder)


def _text(file: FileSettings, original: Path) -> str:
    try:
        text = decoded(read_if_there(original) or b"")
        return merge(editor_for(file.language), text, file.edits).text
    except Malformed as error:
        raise error.of(original) from error


def _link_the_rest(settings: Settings, folder: Path) -> None:
    """Link what stands beside the files; links to what is gone go."""
    copies = {present(file).name for file in settings.files}
    for link in folder.iterdir():
        if link.is_symlink() and not link.exists():
            link.unlink()
    root = settings.files[0].place.root
    for beside in root.iterdir() if root.is_dir() else ():
        link = folder / beside.name
        if beside.name not in copies and not link.is_symlink() and not link.exists():
            link.symlink_to(beside)
