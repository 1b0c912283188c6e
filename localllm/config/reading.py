"""Reads config.toml, the environment over it, and over both what the daemon was started with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from localllm.config.checking import Mistake, find_mistakes
from localllm.config.locating import Place, Places, locate, place_at
from localllm.config.settings import Settings
from localllm.config.variables import said_in
from localllm.errors import ConfigError
from localllm.user_profiles import UserProfile

_AT = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_ENDLESS = re.compile(r"[0-9a-fA-F_]{1000,}")
"""In a number: Python refuses to read one of more than 4300 digits."""

_MOST_BYTES = 1 << 20
"""Of a file; to read a larger one would take seconds, and others the processor with it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and where they came from."""

    settings: Settings
    file: Path
    places: Places = field(default_factory=Places)
    """In the file; none where there is no file."""

    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """By setting, the variable that has said it."""

    flags: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """By setting, what the daemon's own command line says."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file says, or what is wrong with it."""

    written: Mapping[str, Any]
    places: Places
    mistakes: Sequence[Mistake]


def read_settings(file: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings; a missing file is the defaults.

    Raises:
        ConfigError: The file is not TOML, or a key or value is not one of ours.
    """
    return load(file, environment).settings


def load(
    file: Path, environment: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> Loaded:
    """Read the settings, and note where they came from.

    Args:
        flags: By setting at the top of the file, what goes over everything.

    Raises:
        ConfigError: As for `read_settings`.
    """
    checked = check_text(read_text(file))
    if checked.mistakes:
        raise error_of_file(file, checked.mistakes)
    said = [*said_in(environment)]
    variables = {setting.key: variable for setting, variable, _ in said}
    whole = _with(checked.written, ((setting.path, value) for setting, _, value in said))
    whole = {**whole, **(flags or {})}
    if mistakes := find_mistakes(whole):
        raise _error_of_all(file, mistakes[0], [*variables.values()])
    settings = _over_profiles(msgspec.convert(whole, Settings), variables)
    return Loaded(settings, file, checked.places, variables, flags or {})


def read_text(file: Path) -> str:
    """Read a file that may be missing.

    Raises:
        ConfigError: The system refuses it, or it is not UTF-8.
    """
    try:
        return _read_bytes(file).decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _unreadable(file, f"line {line} is not UTF-8", f"{file}:{line}") from error
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error), str(file)) from error


def _read_bytes(file: Path) -> bytes:
    if file.is_fifo():
        raise _unreadable(file, "it is a pipe, which may never end", str(file))
    with file.open("rb") as opened:
        read = opened.read(_MOST_BYTES + 1)
    if len(read) > _MOST_BYTES:
        raise _unreadable(file, f"it has more than {_MOST_BYTES >> 20} MiB", str(file))
    return read


def check_text(text: str) -> Checked:
    """Find all that is wrong with what a file says."""
    try:
        written = _parsed(text)
        if isinstance(written, Mistake):
            return Checked({}, Places(), [written])
        places = locate(text)
    except RecursionError:
        return Checked({}, Places(), [Mistake((), "brackets stand in brackets too often")])
    return Checked(written, places, find_mistakes(written, places))


def _parsed(text: str) -> Mapping[str, Any] | Mistake:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return _no_toml(str(error), text)
    except ValueError:  # tomllib lets those of int() through
        found = _ENDLESS.search(text)
        place = None if found is None else place_at(text, found.start())
        return Mistake((), "a number has too many digits", place=place)


def error_of_file(file: Path, mistakes: Sequence[Mistake]) -> ConfigError:
    """Say what is wrong with a file: the first mistake, and how many more there are."""
    first = mistakes[0]
    at = f"{file}" if first.place is None else f"{file}:{first.place}"
    more = len(mistakes) - 1
    others = f" ({more} more {'is' if more == 1 else 'are'} wrong)" if more else ""
    step = "correct" if first.step is None else f"{first.step} in"
    return ConfigError(
        f"{at} is wrong." if first.path else f"{at} is not TOML.",
        why=f"{first.what}{others}",
        fix=f"{step} {at}; localllm config check shows all that is wrong",
    )


def _no_toml(said: str, text: str) -> Mistake:
    at = _AT.search(said)
    what = _AT.sub("", said)
    if at is None or at["line"] is None:
        return Mistake((), f"{what} (at its end)" if at else what, place=place_at(text, len(text)))
    return Mistake((), what, place=Place(int(at["line"]), int(at["column"])))


def _with(
    written: Mapping[str, Any], said: Iterable[tuple[tuple[str | int, ...], Any]]
) -> dict[str, Any]:
    """Put values over what is written; what is given stays as it was."""
    whole = dict(written)
    for path, value in said:
        table = whole
        for part in path[:-1]:
            inner = dict(table.get(str(part), {}))
            table[str(part)] = inner
            table = inner
        table[str(path[-1])] = value
    return whole


def _over_profiles(settings: Settings, variables: Mapping[str, str]) -> Settings:
    """Let what the environment says go over profiles, too.

    An engine is every profile's; how long a model stays is that of those that say so themselves.
    """
    engine, keep = settings.engine, settings.supervision.keep_alive

    def over(profile: UserProfile) -> UserProfile:
        if "engine" in variables:
            profile = msgspec.structs.replace(profile, engine=engine)
        if "supervision.keep_alive" in variables and profile.keep_alive is not None:
            profile = msgspec.structs.replace(profile, keep_alive=keep)
        return profile

    profiles = {name: over(profile) for name, profile in settings.profiles.items()}
    return msgspec.structs.replace(settings, profiles=profiles)


def _unreadable(file: Path, why: str, where: str) -> ConfigError:
    return ConfigError(
        f"{file} cannot be read.", why=why, fix=f"correct {where}; localllm config path names it"
    )


def _error_of_all(file: Path, mistake: Mistake, variables: Sequence[str]) -> ConfigError:
    """Say what is wrong though the file by itself is right: the environment, or both together."""
    origin = " or ".join([*variables, str(file)])
    return ConfigError(
        f"A setting of {origin} is wrong.",
        why=mistake.what,
        fix=f"correct {origin}; localllm config show --origin says where each came from",
    )
