"""Finds all that is wrong with the settings, for `config check`."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from localllm.api.sync_client import connect
from localllm.config.checking import Mistake
from localllm.config.current import read_current
from localllm.config.locating import Place
from localllm.config.reading import Checked, check_text, read_text
from localllm.config.tree import key_of
from localllm.errors import ConfigError
from localllm.paths import Paths, bundled_profiles
from localllm.planning.config_doubts import Doubt, find_doubts
from localllm.planning.desk import Desk
from localllm.service.installed import installed_service


class FoundView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, or may be."""

    line: int | None
    column: int | None
    key: str | None
    message: str
    fix: str | None


class CheckedView(msgspec.Struct, frozen=True, kw_only=True):
    """What `config check` found."""

    file: str
    mistakes: list[FoundView]
    """The file does not count with them."""

    warnings: list[FoundView]


def checked(paths: Paths, file: Path | None) -> CheckedView:
    """Check a file; None: the user's own.

    Raises:
        ConfigError: It cannot be read, or a variable is wrong.
    """
    chosen = file or paths.config_file
    if file is not None and not file.is_file():
        raise ConfigError(f"{file} is no file.", why="nothing is there", fix="name another")
    found = check_text(read_text(chosen))
    mistakes = [_of_mistake(one) for one in found.mistakes]
    doubts = [] if mistakes else _doubts(paths, chosen, found)
    return CheckedView(file=str(chosen), mistakes=mistakes, warnings=doubts)


def _doubts(paths: Paths, file: Path, found: Checked) -> list[FoundView]:
    current = read_current(file, os.environ)
    desk = Desk(current, paths, dict(os.environ), bundled_profiles())
    has_port = _has_port(paths, current().port)
    return [_of_doubt(one, found) for one in find_doubts(desk, has_port=has_port)]


def _has_port(paths: Paths, port: int) -> bool:
    """Whether it is us who listen there: the daemon, or the system to start it."""
    client = connect(paths.daemon_file)
    if client is not None and client.daemon.port == port:
        return True
    service = installed_service(paths, os.environ)
    places = () if service is None else service.made_of.sockets
    return any(place.endswith(f":{port}") for place in places)


def _of_mistake(one: Mistake) -> FoundView:
    return _found(one.place, key_of(one.path) or None, one.what, one.step)


def _of_doubt(one: Doubt, found: Checked) -> FoundView:
    place = found.places.of_value(one.path) if one.path else None
    return _found(place, key_of(one.path) or None, one.what, one.fix)


def _found(place: Place | None, key: str | None, message: str, fix: str | None) -> FoundView:
    line, column = (None, None) if place is None else (place.line, place.column)
    return FoundView(line=line, column=column, key=key, message=message, fix=fix)


def render_checked(view: CheckedView) -> list[str]:
    """Draw it as compilers do, so that editors find the places."""
    lines = [_line(view.file, "error", one) for one in view.mistakes]
    lines += [_line(view.file, "warning", one) for one in view.warnings]
    if not lines:
        return [
            f"{view.file} is right"
            if Path(view.file).exists()
            else f"{view.file} is not there: all is as it is by itself"
        ]
    return lines


def _line(file: str, level: str, one: FoundView) -> str:
    place = "" if one.line is None else f":{one.line}:{one.column}"
    fix = "" if one.fix is None else f"; {one.fix}"
    return f"{file}{place}: {level}: {one.message}{fix}"
