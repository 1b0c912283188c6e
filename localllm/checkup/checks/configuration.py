"""config.toml and the variables: each mistake with its place, and the right name next to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from localllm.checkup.finding import Area, Finding, Severity, advised, ok, word
from localllm.checkup.known import Known
from localllm.config.checking import Mistake
from localllm.config.reading import check_text, read_text
from localllm.config.tree import all_settings
from localllm.config.variables import OURS, PREFIX, variable_of
from localllm.errors import LocalLLMError

_A = Area.SETTINGS
_CHECK = "localllm config check"
_EFFECT = "no daemon starts with it; one that runs keeps the settings that it has"
_NOT_FOR_USERS = re.compile(
    r"LOCALLLM_(?:TEST_\w+|ENGINE_OF|ENGINE_KEY|SOCKETS|COMPLETE\w*|WRITE_\w+|PICTURES)\Z"
)


def check_settings(known: Known) -> Iterator[Finding]:
    """All mistakes in the settings."""
    file, environment = known.place.paths.config_file, known.place.environment
    found = [*_in_file(file), *_in_variables(environment)]
    settings = known.settings.get()
    if not found and isinstance(settings, LocalLLMError):
        why, fix = advised(settings.why, settings.fix, _CHECK)
        found = [Finding("settings.wrong", _A, Severity.PROBLEM, settings.what, why, fix)]
    yield from found
    if not found:
        there = f"{file} is in order." if file.exists() else "All settings are the defaults."
        yield ok("settings.right", _A, there)


def _in_file(file: Path) -> Iterator[Finding]:
    try:
        mistakes = check_text(read_text(file)).mistakes
    except LocalLLMError as error:
        why, fix = advised(error.why, error.fix, _CHECK)
        yield Finding("settings.unreadable", _A, Severity.PROBLEM, error.what, why, fix)
        return
    for mistake in mistakes:
        yield _of_mistake(file, mistake)


def _of_mistake(file: Path, mistake: Mistake) -> Finding:
    place = "" if mistake.place is None else f":{mistake.place}"
    step = "" if mistake.step is None else f"; {mistake.step}"
    return Finding(
        "settings.wrong",
        _A,
        Severity.PROBLEM,
        f"{file}{place}: {mistake.what}.",
        f"{_EFFECT}{step}",
        _CHECK,
    )


def _in_variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """A typo in a variable is noticed by nobody else."""
    stated = [name for name in environment if name.startswith(PREFIX) and name not in OURS]
    if not stated:
        return
    known = {name for one in all_settings() if (name := variable_of(one)) is not None}
    for name in stated:
        if name in known or _NOT_FOR_USERS.match(name):
            continue
        near = get_close_matches(name, known | OURS, n=1)
        yield Finding(
            "settings.variable",
            _A,
            Severity.WARNING,
            f"The variable {name} means nothing to localllm.",
            f"{near[0]} is the nearest that does" if near else "it changes nothing",
            f"unset {word(name)}",
        )
