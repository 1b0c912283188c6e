"""Gets the settings that `config show` shows: from the daemon, or as a daemon would have them."""

from __future__ import annotations

import os
from difflib import get_close_matches

import msgspec

from localllm.api.config_client import fetch_config
from localllm.api.config_views import ConfigQuery, ConfigView, SettingView
from localllm.api.sync_client import connect
from localllm.api.views import ServeRequest
from localllm.cli.conventions import say
from localllm.config.current import Current, read_current
from localllm.config.variables import said_in
from localllm.errors import ConfigError
from localllm.paths import Paths
from localllm.planning.config_showing import render_all, render_values


def shown(paths: Paths, key: str | None, model: str | None, profile: str | None) -> ConfigView:
    """Find what is to be shown.

    Raises:
        ConfigError: The file is wrong, and no daemon has read another; or there is no such key.
        ModelNotFound: There is no such profile.
    """
    client = connect(paths.daemon_file)
    if client is None:
        view = _without_daemon(paths, model, profile)
    else:
        view = fetch_config(client, ConfigQuery(model=model, profile=profile))
        _say_what_differs(view)
    return view if key is None else msgspec.structs.replace(view, settings=_under(key, view))


def _without_daemon(paths: Paths, model: str | None, profile: str | None) -> ConfigView:
    current = read_current(paths.config_file, os.environ)
    settings = render_all(current.loaded)
    if model is not None or profile is not None:
        is_profile = model in current().profiles
        asked = ServeRequest(
            model=None if is_profile else model, profile=profile or (model if is_profile else None)
        )
        settings = _of_model(paths, current, asked)
    return ConfigView(file=str(paths.config_file), settings=settings)


def _of_model(paths: Paths, current: Current, asked: ServeRequest) -> list[SettingView]:
    from localllm.paths import bundled_profiles  # noqa: PLC0415  # heavy: only for one model
    from localllm.planning.desk import Desk  # noqa: PLC0415
    from localllm.planning.effective import applying  # noqa: PLC0415

    desk = Desk(current, paths, dict(os.environ), bundled_profiles())
    return render_values(applying(desk, asked))


def _under(key: str, view: ConfigView) -> list[SettingView]:
    found = [s for s in view.settings if s.key == key or s.key.startswith((f"{key}.", f"{key}["))]
    if found:
        return found
    near = get_close_matches(key, [one.key for one in view.settings], n=1)
    raise ConfigError(
        f"There is no setting {key}.",
        why=f"{near[0]} is the nearest" if near else "none is called like it",
        fix=f"localllm config show {near[0] if near else ''}".rstrip(),
    )


def _say_what_differs(view: ConfigView) -> None:
    """Say which variables are set here and not for the daemon, which keeps its environment."""
    has = {one.key: one for one in view.settings}
    for setting, variable, value in said_in(os.environ):
        of_daemon = has.get(setting.key)
        if of_daemon is not None and of_daemon.value != value and of_daemon.origin != "flag":
            say(f"{variable} is set here, and the daemon was started without it")
