"""Draws the settings for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

from localllm.api.config_views import ConfigView, ReloadView, SettingView
from localllm.cli.tables import table
from localllm.config.toml_text import toml_of
from localllm.wording.config import what_is_wrong

_EFFECTS = {
    "live": "counts now",
    "model": "models that it concerns are started anew",
    "daemon": "counts once the daemon is started again",
}


def render_settings(view: ConfigView, *, origin: bool) -> list[str]:
    """Draw them as a file would have them, or with a column for where each came from."""
    wrong = [
        f"{level}: {text}" + (f"; fix: {fix}" if fix else "")
        for level, text, fix in what_is_wrong(view)
    ]
    if not origin:
        return [*wrong, *(f"{one.key} = {_value(one)}" for one in view.settings)]
    rows = [[one.key, _value(one), one.origin, one.where or ""] for one in view.settings]
    return [*wrong, *table([["key", "value", "from", "where"], *rows])]


def _value(one: SettingView) -> str:
    if one.value is None:
        return "(the planner decides)" if one.origin == "planner" else "(unset)"
    return toml_of(one.value)


def render_reload(view: ReloadView) -> list[str]:
    """Say what reading the file again has come to."""
    if not view.changed:
        return ["nothing has changed", *_waiting(view)]
    lines = [
        f"{one.key}: {_shown(one.old)} -> {_shown(one.new)} ({_EFFECTS[one.effect]})"
        for one in view.changed
    ]
    lines += [f"{model} is started anew, and serves as it was until then" for model in view.anew]
    return lines + _waiting(view)


def _waiting(view: ReloadView) -> list[str]:
    return [f"waits: {text}" for text in view.waiting]


def _shown(value: object) -> str:
    return "unset" if value is None else toml_of(value)
