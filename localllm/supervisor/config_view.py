"""Draws the settings, and how they stand, as views. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from localllm.api.config_views import ChangeView, ConfigErrorView, ConfigStateView, ReloadView
from localllm.errors import ConfigError
from localllm.supervisor.reloading import Reloaded, Reloading


def render_state(reloading: Reloading) -> ConfigStateView:
    """Say whether the file is right, and what of it does not count yet."""
    file, error = str(reloading.current.loaded.file), reloading.error
    shown = None if error is None else render_error(error)
    return ConfigStateView(file=file, error=shown, waiting=[*reloading.waiting])


def render_error(error: ConfigError) -> ConfigErrorView:
    """Say why what is written now does not count."""
    return ConfigErrorView(message=error.what, why=error.why, fix=error.fix)


def render_reloaded(reloaded: Reloaded, state: ConfigStateView) -> ReloadView:
    """Say what reading the file again has come to."""
    return ReloadView(
        file=state.file,
        error=state.error,
        waiting=state.waiting,
        changed=[*_changes(reloaded)],
        anew=[*reloaded.anew],
    )


def _changes(reloaded: Reloaded) -> Iterable[ChangeView]:
    for one in reloaded.changes:
        yield ChangeView(key=one.key, old=one.old, new=one.new, effect=one.effect.value)
