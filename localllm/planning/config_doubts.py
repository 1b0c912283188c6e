"""What is right as it is written in config.toml, and will hardly do what its user wants."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from localllm.api.exposure import is_exposed
from localllm.api.key_file import read_keys
from localllm.config.locating import Path as Key
from localllm.config.settings import Settings
from localllm.config.tree import all_settings
from localllm.config.variables import OURS, PREFIX, variable_of
from localllm.errors import ConfigError
from localllm.planning.desk import Desk
from localllm.store.names import is_a_path
from localllm.user_profiles import UserProfile

_OF_ENGINES = frozenset({"LOCALLLM_ENGINE_OF", "LOCALLLM_ENGINE_KEY"})


_ALIKE = 0.8


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing to look at."""

    path: Key
    what: str
    fix: str


def find_doubts(desk: Desk, *, has_port: bool) -> Sequence[Doubt]:
    """Look at the settings, and at the machine that they are for; asks no hub and no driver.

    Args:
        has_port: A daemon of ours has the port, or a service that starts one.
    """
    settings = desk.settings
    return [
        *_listening(desk, has_port=has_port),
        *_engines(desk, settings),
        *_remote(desk, settings),
        *(one for name in settings.profiles for one in _profile(desk, name)),
        *_variables(desk),
    ]


def _listening(desk: Desk, *, has_port: bool) -> Iterator[Doubt]:
    settings = desk.settings
    if is_exposed(settings.listen) and not _has_a_key(desk.paths.keys_file):
        what = f"the daemon does not listen on {settings.listen} as long as there is no API key"
        yield Doubt(("listen",), what, "localllm key create NAME")
    if not has_port and _is_taken(settings.port):
        what = f"another program listens on port {settings.port}"
        yield Doubt(("port",), what, "another port, or end that program: localllm doctor names it")


def _has_a_key(file: Path) -> bool:
    try:
        return any(key.is_valid(time.time()) for key in read_keys(file))
    except ConfigError:
        return False


def _is_taken(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _engines(desk: Desk, settings: Settings) -> Iterator[Doubt]:
    known = [engine.name for engine in desk.engine_desk.engines(desk.environment)]
    said: list[tuple[Key, str | None]] = [(("engine",), settings.engine)]
    said += [(("profiles", name, "engine"), p.engine) for name, p in settings.profiles.items()]
    for path, name in said:
        if name is not None and name not in known:
            near = get_close_matches(name, known, n=1)
            fix = f"{near[0]} is the nearest" if near else f"one of {', '.join(known)}"
            yield Doubt(path, f"there is no engine {name}", fix)
    own = settings.llama_server
    if own is not None and shutil.which(os.path.expanduser(own)) is None:  # noqa: PTH111  # a name, too
        yield Doubt(("llama_server",), f"no program is at {own}", "correct it, or take it out")


def _remote(desk: Desk, settings: Settings) -> Iterator[Doubt]:
    remote = settings.remote
    if remote is None:
        return
    if not remote.when:
        yield Doubt(("remote",), "nothing goes to the remote", 'say when: ["overflow", "fallback"]')
    if remote.key_env is not None and not desk.environment.get(remote.key_env):
        what = f"the variable {remote.key_env} is not set here"
        yield Doubt(("remote", "key_env"), what, "set it where the daemon is started")


def _profile(desk: Desk, name: str) -> Iterator[Doubt]:
    profile = desk.settings.profiles[name]
    path: Key = ("profiles", name)
    yield from _model(desk, profile, name)
    for number, lora in enumerate(profile.lora):
        if not Path(lora.file).expanduser().is_file():
            yield Doubt((*path, "lora", number, "file"), f"no file is at {lora.file}", "correct it")
    if profile.long_context is not None and profile.context is None:
        what = "long_context is of use beside a context"
        yield Doubt((*path, "long_context"), what, "say context, too")


def _model(desk: Desk, profile: UserProfile, name: str) -> Iterator[Doubt]:
    model, path = profile.model, ("profiles", name, "model")
    if model is None or model.startswith(("hf:", "http://", "https://", "ollama:")):
        return
    if is_a_path(model):
        if not Path(model).expanduser().exists():
            yield Doubt(path, f"nothing is at {model}", "correct it")
        return
    own, _, _quant = model.rpartition(":")
    is_known = desk.profile(model) or desk.profile(own or None) or desk.on_disk(model)
    if is_known is None and "/" not in model:
        names = [called for one in desk.catalog() for called in (one.id, *one.aliases)]
        near = get_close_matches(model, names, n=1)
        fix = f"{near[0]} is the nearest" if near else "localllm plan lists the catalog"
        yield Doubt(path, f"neither the catalog nor this disk has a model {model}", fix)


def _variables(desk: Desk) -> Iterator[Doubt]:
    known = {name for one in all_settings() if (name := variable_of(one)) is not None}
    for name in desk.environment:
        near = get_close_matches(name, known, n=1, cutoff=_ALIKE)
        if near and name.startswith(PREFIX) and name not in known | OURS | _OF_ENGINES:
            yield Doubt((), f"the variable {name} is no setting", f"{near[0]} is the nearest")
